/** Which peers share an envelope: those for whom it would say the very same, and who can all be reached with it. */
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type EnvelopeId, parseEnvelopeId } from '../../../src/domain/envelope-id.js';
import type { Exchange } from '../../../src/domain/exchange.js';
import type { Peer } from '../../../src/domain/peer.js';
import type { Destination } from '../../../src/domain/route.js';
import { MAX_RECIPIENTS } from '../../../src/jmix/content-key.js';
import { x25519PublicKey } from '../../../src/jmix/raw-keys.js';
import { planDeliveries, presentMembers, sharedEnvelopeOf } from '../../../src/outbound/sharing.js';

const KEY = generateKeyPairSync('x25519').publicKey;
const peer = (id: string, more: Partial<Peer> = {}): Peer => ({
  id,
  name: id,
  contact: 'unknown',
  encryptionKey: KEY,
  signingKeys: [],
  certificateFingerprints: [],
  deliverTo: [],
  allowUnsigned: false,
  limits: { places: 4, windows: [] },
  ...more,
});
const hub = (name: string): readonly [string, Exchange] => [
  name,
  { type: 'hub', name } as unknown as Exchange,
];
const site = (...peers: readonly Peer[]) => ({
  peers: new Map(peers.map((each) => [each.id, each])),
  exchanges: new Map([hub('one'), hub('two'), ['share', { type: 'folder' } as unknown as Exchange]]),
  hubTo: (id: string) => (id.startsWith('nested') ? { id: 'hub', encryptionKey: KEY } : undefined),
});
const to = (peerId: string, more: Partial<Destination> = {}): Destination => ({
  peerId,
  priority: 'routine',
  together: 0,
  classification: 'confidential',
  extensions: {},
  ...more,
});
/** The groups of those that share, by peer. */
const groups = (
  parts: ReturnType<typeof site>,
  destinations: readonly Destination[],
  first: ReadonlyMap<string, EnvelopeId> = new Map(),
) => {
  const planned = planDeliveries(parts, destinations, first);
  const shared = planned.map((each) => sharedEnvelopeOf(each, planned));
  return [...new Map(shared.flatMap((each) => (each === undefined ? [] : [[each.id, each]]))).values()].map(
    ({ members }) => members.map(({ peerId }) => peerId),
  );
};
const B = peer('b');
const C = peer('c');
const D = peer('d');

describe('peers share an envelope', () => {
  it('when one route sends it to them; each delivery has an id that nobody learns', () => {
    const planned = planDeliveries(site(B, C, D), [to('b'), to('c'), to('d')], new Map());
    const [first] = planned;
    expect(planned.map(({ sharedEnvelopeId }) => sharedEnvelopeId)).toEqual(
      Array(3).fill(first?.sharedEnvelopeId),
    );
    expect(new Set([...planned.map(({ id }) => id), first?.sharedEnvelopeId]).size).toBe(4);
  });

  it('not when there is only one, when different routes name them, or when one is to have its own', () => {
    const parts = site(B, C, D);
    expect(groups(parts, [to('b')])).toEqual([]);
    expect(groups(parts, [to('b'), to('c', { together: 1 })])).toEqual([]);
    const { together: _, ...alone } = to('c');
    expect(groups(parts, [to('b'), alone, to('d')])).toEqual([['b', 'd']]);
  });

  it.each([
    ['priority', { priority: 'stat' }],
    ['classification', { classification: 'sensitive' }],
    ['extensions', { extensions: { customTags: ['x'] } }],
  ] as const)('not where it would say another %s', (_what, more) => {
    expect(groups(site(B, C, D), [to('b'), to('c', more), to('d')])).toEqual([['b', 'd']]);
  });

  it('not where it adds to another envelope', () => {
    const id = parseEnvelopeId(randomUUID());
    const first = new Map([
      ['b', id],
      ['c', id],
    ]);
    expect(groups(site(B, C, D), [to('b'), to('c'), to('d')], first)).toEqual([['b', 'c']]);
  });

  it.each([
    ['speaks another dialect', { dialect: 'php' }],
    ['gets OpenPGP', { seal: 'openpgp' }],
    ['has a key of low order', { encryptionKey: x25519PublicKey(Buffer.alloc(32)) }],
  ] as const)('not with one that %s', (_what, more) => {
    expect(groups(site(B, peer('c', more), D), [to('b'), to('c'), to('d')])).toEqual([['b', 'd']]);
  });

  it('at one hub, but not across hubs, nor where the hub shall not see whom it is for', () => {
    const parts = site(
      peer('b', { via: 'one' }),
      peer('c', { via: 'one' }),
      peer('d', { via: 'two' }),
      peer('e', { via: 'share' }),
      peer('f', { url: 'https://f.example' }),
      peer('nested-1', { via: 'one' }),
      peer('nested-2', { via: 'one' }),
    );
    const all = [...parts.peers.keys()].map((id) => to(id));
    expect(groups(parts, all)).toEqual([
      ['b', 'c'],
      ['e', 'f'],
    ]);
  });

  it('as many as one envelope serves', () => {
    const peers = Array.from({ length: MAX_RECIPIENTS + 2 }, (_, index) => peer(`p${index}`));
    const sizes = groups(
      site(...peers),
      peers.map(({ id }) => to(id)),
    ).map((members) => members.length);
    expect(sizes).toEqual([MAX_RECIPIENTS, 2]);
  });

  it('as long as the config still lets them when it is sealed', () => {
    const planned = planDeliveries(site(B, C, D), [to('b'), to('c'), to('d')], new Map());
    const shared = planned[0] === undefined ? undefined : sharedEnvelopeOf(planned[0], planned);
    if (shared === undefined) throw new Error('nothing is shared');
    const present = (peerId: string, ...peers: readonly Peer[]) =>
      presentMembers(site(...peers), shared, peerId).map((member) => member.peerId);
    expect(present('b', B, C, D)).toEqual(['b', 'c', 'd']);
    expect(present('b', B, D)).toEqual(['b', 'd']);
    expect(present('b', B, C, peer('d', { via: 'one' }))).toEqual(['b', 'c']);
    expect(present('c', B, peer('c', { seal: 'openpgp' }), D)).toEqual([]);
  });
});
