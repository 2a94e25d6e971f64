/** Which peers get a study, which of them may share an envelope, and what several routes say together. */
import { describe, expect, it } from 'vitest';
import { type Destination, type Route, routePeers } from '../../../src/domain/route.js';

const CT = { callingAe: 'CT1', calledAe: 'BRIDGE', modality: 'CT' };
const MR = { callingAe: 'MR1', calledAe: 'BRIDGE', modality: 'MR' };

const route = (to: readonly string[], more: Partial<Route> = {}): Route => ({
  to,
  priority: 'routine',
  together: true,
  classification: 'confidential',
  extensions: {},
  match: {},
  ...more,
});
const only = (destinations: readonly Destination[], ...keys: (keyof Destination)[]) =>
  destinations.map((each) => Object.fromEntries(['peerId' as const, ...keys].map((key) => [key, each[key]])));

describe('routes', () => {
  it('that fit give each peer once, as urgently as the most urgent of them says', () => {
    const routes = [
      route(['b', 'c'], { priority: 'low' }),
      route(['b'], { priority: 'stat', match: { modality: ['CT'] } }),
      route(['b', 'd']),
    ];
    expect(only(routePeers(routes, [CT]), 'priority')).toEqual([
      { peerId: 'b', priority: 'stat' },
      { peerId: 'c', priority: 'low' },
      { peerId: 'd', priority: 'routine' },
    ]);
    expect(routePeers(routes, [MR])[0]).toMatchObject({ peerId: 'b', priority: 'routine' });
  });

  it('need one instance that fits all of their lists', () => {
    const routes = [route(['b'], { match: { callingAe: ['CT1'], modality: ['MR'] } })];
    expect(routePeers(routes, [CT, MR])).toEqual([]);
  });

  it('put those of one route together, and nobody with whom another route does not name them', () => {
    const routes = [route(['b', 'c']), route(['d', 'e']), route(['c', 'd'], { together: true })];
    expect(only(routePeers(routes, [CT]), 'together')).toEqual([
      { peerId: 'b', together: 0 },
      { peerId: 'c', together: 0 },
      { peerId: 'd', together: 1 },
      { peerId: 'e', together: 1 },
    ]);
  });

  it('one that wants an envelope for each outweighs all others', () => {
    const routes = [route(['b', 'c']), route(['c'], { together: false })];
    expect(only(routePeers(routes, [CT]), 'together')).toEqual([
      { peerId: 'b', together: 0 },
      { peerId: 'c', together: undefined },
    ]);
  });

  it('call a payload de-identified only if all of them do, and sensitive if one does', () => {
    const said = (...all: Route['classification'][]) =>
      routePeers(
        all.map((classification) => route(['b'], { classification })),
        [CT],
      )[0]?.classification;
    expect(said('de-identified')).toBe('de-identified');
    expect(said('de-identified', 'confidential')).toBe('confidential');
    expect(said('confidential', 'sensitive', 'de-identified')).toBe('sensitive');
  });

  it('say all their tags, and of several consents the most restrictive one', () => {
    const denied = { status: 'denied', scope: ['research'] } as const;
    const routes = [
      route(['b'], { extensions: { customTags: ['x', 'y'], consent: { status: 'granted' } } }),
      route(['b'], {
        extensions: { customTags: ['y', 'z'], consent: denied, deid: { keys: ['PatientName'] } },
      }),
      route(['b'], { extensions: { consent: { status: 'unknown' }, deid: { keys: ['PatientID'] } } }),
    ];
    expect(routePeers(routes, [CT])[0]?.extensions).toEqual({
      customTags: ['x', 'y', 'z'],
      consent: denied,
      deid: { keys: ['PatientName', 'PatientID'] },
    });
  });
});
