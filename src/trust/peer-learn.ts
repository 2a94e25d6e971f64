/**
 * What a peer states of its keys becomes part of its record: announcements, each signed by the key before the new one.
 * Pure: the record goes in, the record comes out; the very same one where nothing is new.
 *
 * - A statement counts if a signing key that is honoured for this very peer has signed it, and it is about this peer.
 *   Chains are followed, within bounds; statements come oldest first, but a gap is bridged when it closes.
 * - A key that has named its successor has spoken its last word: no further new key counts on it, only its own
 *   revocation. Whoever finds an old key can lead no second line from it, and no line runs in a circle. What it names
 *   nevertheless is offered: then one of two lines is a thief's, and people have to find out which.
 * - A signing key is revoked by itself, or by one that came after it; an encryption key by any signing key in use.
 */
import { ANNOUNCEMENT_MAX_BYTES } from './announcement.js';
import { type KeyPurpose, parsePublicKey } from './key-files.js';
import { judgeKeys, type KeyRules, type PeerKeys, type PinnedKeys } from './peer-keys.js';
import type { LearnedKey, PeerRecord } from './peer-record.js';
import { readStatement, type Statement } from './peer-statement.js';

/** Looked at in one go; a site that rotates each month has fewer. */
const MAX_STATEMENTS = 32;
/** Kept for one peer, of keys, revocations and statements each; far above what years of rotation bring. */
export const MAX_KEPT = 256;
/** Offered at one time, of published keys and of those that a statement named each. */
export const MAX_OFFERED = 16;

export interface LearnContext extends KeyRules {
  readonly entry: PinnedKeys;
  /** How far a statement's date may be ahead of our clock. */
  readonly maxFutureMs: number;
  /** Kids that count for other peers: nobody can take them for his own. */
  readonly foreign: ReadonlySet<string>;
}

/** For the log, and for whoever asks what happened. */
export interface PeerNews {
  readonly event: 'peer.key_learned' | 'peer.key_revoked' | 'peer.key_offered' | 'peer.statement_refused';
  readonly kid?: string;
  readonly purpose?: KeyPurpose;
  readonly source?: LearnedKey['source'];
  /** The key that said so. */
  readonly by?: string;
  readonly reason?: string;
}

export interface Learned {
  readonly record: PeerRecord;
  readonly news: readonly PeerNews[];
}

export function learnStatements(
  record: PeerRecord,
  announcements: readonly string[],
  context: LearnContext,
): Learned {
  const seen = new Set(record.statements.map(({ jws }) => jws));
  let waiting = [...new Set(announcements)]
    .filter((jws) => !seen.has(jws) && jws.length <= ANNOUNCEMENT_MAX_BYTES)
    .slice(-MAX_STATEMENTS);
  let current: Learned = { record, news: [] };
  // Each round takes at least one statement out, so there are no more rounds than statements.
  for (let isGrowing = true; isGrowing && waiting.length > 0; ) {
    const left: string[] = [];
    for (const jws of waiting) {
      const next = takeStatement(current, jws, context);
      if (next === undefined) left.push(jws);
      else current = next;
    }
    isGrowing = left.length < waiting.length;
    waiting = left;
  }
  return current;
}

/** @returns undefined when no key that counts has signed it, so far */
function takeStatement({ record, news }: Learned, jws: string, context: LearnContext): Learned | undefined {
  const judged = judgeKeys(context.entry, record, context);
  const statement = readStatement(
    jws,
    judged.signing.map(({ key }) => parsePublicKey(key, 'signing')),
  );
  if (statement === undefined) return undefined;
  const reason = reasonAgainst(statement, record, context);
  if (reason !== undefined) {
    return { record, news: [...news, { event: 'peer.statement_refused', by: statement.by, reason }] };
  }
  const taken = apply(record, statement, judged, context);
  if (taken.record === record) return { record, news: [...news, ...taken.news] };
  return {
    record: {
      ...taken.record,
      statements: [...record.statements, { jws, learnedAtMs: context.nowMs }],
    },
    news: [...news, ...taken.news],
  };
}

function reasonAgainst(statement: Statement, record: PeerRecord, context: LearnContext): string | undefined {
  const { site, issuedAtMs, keys } = statement;
  if (site !== record.id) return `it is about the keys of ${site}`;
  if (issuedAtMs > context.nowMs + context.maxFutureMs) return 'it is from the future';
  if (keys.some(({ kid }) => context.foreign.has(kid))) return 'it names a key of another peer';
  if (Math.max(record.keys.length, record.revoked.length, record.statements.length) >= MAX_KEPT) {
    return 'there are too many statements already';
  }
  return undefined;
}

function apply(record: PeerRecord, statement: Statement, judged: PeerKeys, context: LearnContext): Learned {
  const { by, issuedAtMs } = statement;
  const ended = new Set([...record.superseded, ...record.revoked].map(({ kid }) => kid));
  const hasSuccessor = record.superseded.some(({ kid }) => kid === by);
  const isDeaf = hasSuccessor || context.entry.jwks === 'off';
  const living = isDeaf ? [] : statement.keys.filter(({ kid }) => !ended.has(kid));
  const added: LearnedKey[] = living
    .filter(({ kid }) => kid !== by && !record.keys.some((each) => each.kid === kid))
    .map(({ kid, purpose, key }) => ({
      kid,
      purpose,
      key,
      source: 'announced',
      learnedAtMs: context.nowMs,
      issuedAtMs,
      by,
      ...(purpose === 'encryption' && judged.encryption !== undefined
        ? { insteadOf: judged.encryption.kid }
        : {}),
    }));
  const stray = hasSuccessor ? strayKeys(statement, record, judged, context) : [];
  const signers = living.filter(({ purpose }) => purpose === 'signing');
  const isSucceeded = signers.length > 0 && !signers.some(({ kid }) => kid === by);

  const keys = [...record.keys, ...added];
  const revoked = statement.revoked.filter(
    (kid) =>
      !record.revoked.some((each) => each.kid === kid) &&
      (kid === by ||
        cameAfter(by, kid, keys) ||
        (!hasSuccessor && judged.known.get(kid)?.purpose !== 'signing')),
  );
  if (added.length + revoked.length + stray.length === 0 && !isSucceeded) return { record, news: [] };
  return {
    record: {
      ...record,
      keys,
      superseded: isSucceeded ? [...record.superseded, { kid: by, atMs: issuedAtMs }] : record.superseded,
      revoked: [...record.revoked, ...revoked.map((kid) => ({ kid, atMs: context.nowMs, by }))],
      offered: [...record.offered, ...stray].filter(
        ({ kid }) => !revoked.includes(kid) && !added.some((each) => each.kid === kid),
      ),
    },
    news: [
      ...added
        .filter(({ kid }) => !judged.known.has(kid))
        .map(
          ({ kid, purpose, source }) => ({ event: 'peer.key_learned', kid, purpose, source, by }) as const,
        ),
      ...stray.map(({ kid, purpose }) => ({ event: 'peer.key_offered', kid, purpose, by }) as const),
      ...revoked.map((kid) => ({ event: 'peer.key_revoked', kid, by }) as const),
    ],
  };
}

/** What a key names after it has named its successor, and nobody else vouches for. */
function strayKeys(
  { keys, by }: Statement,
  { superseded, revoked, offered }: PeerRecord,
  { known }: PeerKeys,
  { entry, nowMs }: LearnContext,
): PeerRecord['offered'] {
  if (entry.jwks === 'off') return [];
  const settled = new Set([...superseded, ...revoked, ...offered].map(({ kid }) => kid));
  const stray = keys.filter(({ kid }) => !known.has(kid) && !settled.has(kid));
  // Without another signing key it leads no second line: it is older than what came before it.
  if (!stray.some(({ purpose }) => purpose === 'signing')) return [];
  const stated = offered.filter((each) => each.by !== undefined);
  return stray
    .slice(0, Math.max(0, MAX_OFFERED - stated.length))
    .map((key) => ({ ...key, firstSeenMs: nowMs, by }));
}

/** Whether the line of announcements leads from the key `earlier` to the key `later`. */
function cameAfter(later: string, earlier: string, keys: readonly LearnedKey[]): boolean {
  const passed = new Set<string>();
  let at: string | undefined = later;
  while (at !== undefined && !passed.has(at)) {
    passed.add(at);
    const here: string = at;
    at = keys.find(({ kid }) => kid === here)?.by;
    if (at === earlier) return true;
  }
  return false;
}
