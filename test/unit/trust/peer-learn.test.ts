/** What a peer states of its keys: what is believed, and, first, what is not. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgeKeys } from '../../../src/trust/peer-keys.js';
import { learnStatements } from '../../../src/trust/peer-learn.js';
import { emptyPeerRecord, type PeerRecord } from '../../../src/trust/peer-record.js';
import {
  DAY_MS,
  encryptionKey,
  learnContext,
  NOW,
  peerEntry,
  signingKey,
  statement,
  type TestKey,
} from './support/peer-statements.js';

const [k1, k2, k3, stranger] = [signingKey(), signingKey(), signingKey(), signingKey()];
const [e1, e2, e3] = [encryptionKey(), encryptionKey(), encryptionKey()];
const entry = peerEntry({ signingKeys: [k1.text], encryptionKey: e1.text });
const context = learnContext(entry);
const nothing = emptyPeerRecord('site-b');

function learn(statements: readonly string[], record: PeerRecord = nothing, more = context) {
  return learnStatements(record, statements, more);
}

/** Kids whose signatures count. */
function signers(record: PeerRecord, nowMs = NOW, more = entry): readonly string[] {
  return judgeKeys(more, record, { ...context, nowMs }).signing.map(({ kid }) => kid);
}

function sealedTo(record: PeerRecord, more = entry): string | undefined {
  return judgeKeys(more, record, context).encryption?.kid;
}

function kids(...keys: readonly TestKey[]): readonly string[] {
  return keys.map(({ kid }) => kid);
}

describe('nothing is learned', () => {
  it.each([
    ['from a statement that a stranger signed', statement(stranger, { signing: [stranger] })],
    ['from a statement about the keys of another site', statement(k1, { signing: [k2], site: 'site-c' })],
    ['from a statement out of the future', statement(k1, { signing: [k2], atMs: NOW + DAY_MS })],
    ['from what is no statement', 'e30.e30.AAAA'],
    ['from a statement whose payload was exchanged', exchangedPayload()],
    ['from a text above the limit', 'x'.repeat(100_000)],
    ['when the new key is the old one', statement(k1, { signing: [k1] })],
  ])('%s', (_, jws) => {
    const { record } = learn([jws]);
    expect(record).toBe(nothing);
    expect(signers(record)).toEqual(kids(k1));
  });

  it('when it names a key that counts for another peer, since nobody takes that for his own', () => {
    const { record, news } = learn(
      [statement(k1, { signing: [k2] })],
      nothing,
      learnContext(entry, { foreign: new Set([k2.kid]) }),
    );
    expect(record).toBe(nothing);
    expect(news).toMatchObject([{ event: 'peer.statement_refused', by: k1.kid }]);
  });

  it('when the same statement comes again', () => {
    const jws = statement(k1, { signing: [k2], encryption: [e2] });
    const once = learn([jws]).record;
    const again = learn([jws, jws], once);
    expect(again.record).toBe(once);
    expect(again.news).toEqual([]);
  });

  it('when the link between a known key and a new one is missing', () => {
    expect(learn([statement(k2, { signing: [k3] })]).record).toBe(nothing);
  });

  it('where the config says that nothing is to be taken, but revocations', () => {
    const off = peerEntry({ ...entry, jwks: 'off' });
    const rotation = statement(k1, { signing: [k2], encryption: [e2] });
    expect(learn([rotation], nothing, learnContext(off)).record).toBe(nothing);
    const { record } = learn([statement(k1, { signing: [k2], revoked: [k1] })], nothing, learnContext(off));
    expect(signers(record, NOW, off)).toEqual([]);
    expect(sealedTo(record, off)).toBe(e1.kid);
  });
});

describe('a key that has named its successor', () => {
  const { record: rotated } = learn([statement(k1, { signing: [k2] })]);

  it('leads no second line: what it names is offered, so that people find out which line is a thief’s', () => {
    const fork = statement(k1, { signing: [stranger], encryption: [e3] });
    const { record, news } = learn([fork], rotated);
    expect(signers(record)).toEqual(kids(k1, k2));
    expect(sealedTo(record)).toBe(e1.kid);
    expect(record.offered.map(({ kid }) => kid)).toEqual(kids(stranger, e3));
    expect(news).toMatchObject(Array(2).fill({ event: 'peer.key_offered', by: k1.kid }));
    expect(learn([fork], record).record).toBe(record);
    expect(learn([statement(k1, { signing: [k1], encryption: [e3] })], rotated).record).toBe(rotated);
  });

  it('cannot come back, so that no line runs in a circle', () => {
    const { record } = learn([statement(k2, { signing: [k1] })], rotated);
    expect(record).toBe(rotated);
    const longer = learn(
      [statement(k2, { signing: [k3] }), statement(k3, { signing: [k1] })],
      rotated,
    ).record;
    expect(signers(longer)).toEqual(kids(k1, k2, k3));
    expect(longer.superseded.map(({ kid }) => kid)).toEqual(kids(k1, k2));
  });

  it('cannot revoke its successor, but itself', () => {
    expect(learn([statement(k1, { revoked: [k2] })], rotated).record).toBe(rotated);
    expect(signers(learn([statement(k1, { revoked: [k1] })], rotated).record)).toEqual(kids(k2));
  });

  it('is honoured for the age that an envelope may have, and then no more', () => {
    const paired = { ...rotated, paired: pairedWith(k1) };
    const bare = peerEntry();
    const end = NOW - DAY_MS + context.maxAgeMs;
    expect(signers(paired, end - 1, bare)).toEqual(kids(k1, k2));
    expect(signers(paired, end, bare)).toEqual(kids(k2));
  });

  it('stays when the config names it, since a pin is a person’s word', () => {
    expect(signers(rotated, NOW + 1000 * DAY_MS)).toEqual(kids(k1, k2));
  });
});

describe('a chain', () => {
  const chain = [
    statement(k1, { signing: [k2], encryption: [e2], atMs: NOW - 3 * DAY_MS }),
    statement(k2, { signing: [k3], encryption: [e3], atMs: NOW - 2 * DAY_MS }),
  ];

  it.each([
    ['oldest first', chain],
    ['newest first', chain.toReversed()],
  ])('is followed, %s', (_, statements) => {
    const { record, news } = learn(statements);
    expect(signers(record)).toEqual(kids(k1, k2, k3));
    expect(sealedTo(record)).toBe(e3.kid);
    expect(record.statements.map(({ jws }) => jws)).toEqual(chain);
    expect(news.map(({ event }) => event)).toEqual(Array(4).fill('peer.key_learned'));
  });

  it('is followed in any order, with the same result', () => {
    const keys = [k1, ...Array.from({ length: 6 }, signingKey)];
    const long = keys.slice(1).map((key, index) => statement(keys[index] ?? k1, { signing: [key] }));
    fc.assert(
      fc.property(fc.shuffledSubarray(long, { minLength: long.length }), (statements) => {
        expect(signers(learn(statements).record).toSorted()).toEqual(kids(...keys).toSorted());
      }),
      { numRuns: 30 },
    );
  });

  it('gives the newest encryption key, also when an older statement comes later', () => {
    const late = statement(k1, { signing: [k1], encryption: [e3], atMs: NOW - 9 * DAY_MS });
    const newer = learn([statement(k1, { signing: [k1], encryption: [e2] })]).record;
    expect(sealedTo(learn([late], newer).record)).toBe(e2.kid);
  });

  it('of two changes within a second gives the later one', () => {
    const [first, second] = [e2, e3].map((key) => statement(k1, { signing: [k1], encryption: [key] }));
    expect(sealedTo(learn([first ?? '', second ?? '']).record)).toBe(e3.kid);
  });

  it('of more statements than anybody needs is cut', () => {
    const keys = [k1, ...Array.from({ length: 60 }, signingKey)];
    const long = keys.slice(1).map((key, index) => statement(keys[index] ?? k1, { signing: [key] }));
    expect(learn(long).record).toBe(nothing);
    expect(learn(long.slice(0, 32)).record.keys).toHaveLength(32);
  });

  it('counts no more when the pin that it hangs on is taken out of the config', () => {
    const { record } = learn(chain);
    const other = peerEntry({ signingKeys: [stranger.text], encryptionKey: e1.text });
    expect(signers(record, NOW, other)).toEqual(kids(stranger));
    expect(sealedTo(record, other)).toBe(e1.kid);
  });

  it('gives way to another encryption key that somebody puts into the config', () => {
    const { record } = learn(chain);
    const own = encryptionKey();
    expect(sealedTo(record, peerEntry({ ...entry, encryptionKey: own.text }))).toBe(own.kid);
    expect(sealedTo(record, peerEntry({ ...entry, encryptionKey: e2.text }))).toBe(e3.kid);
  });
});

describe('a revocation', () => {
  const { record: rotated } = learn([statement(k1, { signing: [k2], encryption: [e2] })]);

  it('by a successor drops the key at once, though the config pins it, and tells', () => {
    const { record, news } = learn([statement(k2, { revoked: [k1, e1] })], rotated);
    expect(signers(record)).toEqual(kids(k2));
    expect(judgeKeys(entry, record, context).revokedInConfig).toEqual(kids(k1, e1));
    expect(news).toMatchObject([
      { event: 'peer.key_revoked', kid: k1.kid, by: k2.kid },
      { event: 'peer.key_revoked', kid: e1.kid, by: k2.kid },
    ]);
  });

  it('of the key in use leaves none: whoever stole it may have the ones before it too', () => {
    const { record } = learn([statement(k2, { revoked: [k2, e2] })], rotated);
    expect(sealedTo(record)).toBeUndefined();
    const paired = { ...record, paired: pairedWith(k1) };
    expect(sealedTo(paired, peerEntry({ signingKeys: [k1.text] }))).toBeUndefined();
  });

  it('of the key in use leaves none, in whatever order its line was learned', () => {
    const line = [
      statement(k1, { signing: [k1], encryption: [e3], atMs: NOW - DAY_MS }),
      statement(k1, { signing: [k1], encryption: [e2], atMs: NOW - 2 * DAY_MS }),
    ];
    expect(sealedTo(learn(line).record)).toBe(e3.kid);
    expect(sealedTo(learn([...line, statement(k1, { revoked: [e3] })]).record)).toBeUndefined();
  });

  it('of the encryption key alone leads on to the next one, that is announced with it', () => {
    const next = statement(k2, { signing: [k2], encryption: [e3] });
    for (const told of [
      [next, statement(k2, { revoked: [e2] })],
      [statement(k2, { revoked: [e2] }), next],
    ]) {
      expect(sealedTo(learn(told, rotated).record)).toBe(e3.kid);
    }
  });

  it('of every key leaves none', () => {
    const { record } = learn([statement(k1, { revoked: [k1, e1] })]);
    expect(signers(record)).toEqual([]);
    expect(sealedTo(record)).toBeUndefined();
  });

  it('by a key beside it does nothing', () => {
    const both = peerEntry({ signingKeys: [k1.text, k3.text] });
    const { record } = learn([statement(k3, { revoked: [k1] })], nothing, learnContext(both));
    expect(record).toBe(nothing);
  });

  it('is for ever: the key is not learned again', () => {
    const { record } = learn([statement(k2, { revoked: [k1] })], rotated);
    const back = learn([statement(k2, { signing: [k1, k2] })], record).record;
    expect(signers(back)).toEqual(kids(k2));
  });

  it('comes with its successor in one statement', () => {
    const { record } = learn([statement(k1, { signing: [k2], encryption: [e2], revoked: [k1, e1] })]);
    expect(signers(record)).toEqual(kids(k2));
    expect(sealedTo(record)).toBe(e2.kid);
  });
});

function exchangedPayload(): string {
  const [head, , tail] = statement(k1, { signing: [k2] }).split('.');
  const [, payload] = statement(stranger, { signing: [stranger] }).split('.');
  return [head, payload, tail].join('.');
}

function pairedWith(key: TestKey): NonNullable<PeerRecord['paired']> {
  return {
    card: {
      id: 'site-b',
      name: 'Hospital B',
      contact: 'pacs@b.example',
      encryptionKey: e1.text,
      signingKeys: [key.text],
      certificateFingerprints: ['ab'.repeat(32)],
    },
    atMs: NOW - 100 * DAY_MS,
    words: 'one two three four five six',
  };
}
