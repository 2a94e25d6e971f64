import { describe, expect, it } from 'vitest';
import { routePeers } from '../../../src/domain/route.js';

const CT = { callingAe: 'CT1', calledAe: 'BRIDGE', modality: 'CT' };
const MR = { callingAe: 'MR1', calledAe: 'BRIDGE', modality: 'MR' };

describe('routes', () => {
  it('that fit give each peer once, as urgently as the most urgent of them says', () => {
    const routes = [
      { to: ['b', 'c'], priority: 'low', match: {} },
      { to: ['b'], priority: 'stat', match: { modality: ['CT'] } },
      { to: ['b', 'd'], priority: 'routine', match: {} },
    ] as const;
    expect(routePeers(routes, [CT])).toEqual([
      { peerId: 'b', priority: 'stat' },
      { peerId: 'c', priority: 'low' },
      { peerId: 'd', priority: 'routine' },
    ]);
    expect(routePeers(routes, [MR])[0]).toEqual({ peerId: 'b', priority: 'routine' });
  });

  it('need one instance that fits all of their lists', () => {
    const routes = [
      { to: ['b'], priority: 'routine', match: { callingAe: ['CT1'], modality: ['MR'] } },
    ] as const;
    expect(routePeers(routes, [CT, MR])).toEqual([]);
  });
});
