/**
 * How a bridge hears of new keys of its peers: by statements that envelopes and receipts carry, by asking the peer itself
 * when something is signed by a key that nobody knows, and by asking each now and then. Whatever goes wrong, what was known
 * before stays.
 */
import { setTimeout } from 'node:timers/promises';
import { isGatewayError } from '../errors/gateway-error.js';
import { keyFingerprint } from '../jmix/raw-keys.js';
import type { Log } from '../observe/log.js';
import { JWKS_PATH, parseJwks } from './jwks.js';
import { parsePublicKey } from './key-files.js';
import { ASK_EVERY_MS, type PeerBook } from './peer-book.js';
import type { KnownPeer } from './peers.js';

/** Keys are rotated once a year, and announced anyway. */
const ASK_ANYWAY_MS = 24 * 3_600_000;
/** Above what one fetch may take; who asked has died when there is no answer by then. */
const LONGEST_ANSWER_MS = 30_000;
const LOOK_EVERY_MS = 100;
const LEAST_WAIT_MS = 1_000;

export interface KeyNews {
  /** Statements that something of this peer carries. @returns false when they bring nothing new */
  learn(peerId: string, announcements: readonly string[]): Promise<boolean>;
  /** Asks a peer for its published keys, unless that was done a short while ago. */
  ask(peerId: string, question?: Question): Promise<KeyAnswer>;
  /** The keys that this peer has revoked: their thumbprints, and the fingerprints of those that we knew. */
  revokedBy(peerId: string): ReadonlySet<string>;
  /** Asks each peer that has not been asked for a day. */
  askAll(signal: AbortSignal): Promise<void>;
}

export interface Question {
  /** An answer counts only if it was asked for at this time or later; any when absent. Milliseconds since the epoch. */
  readonly sinceMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * `nothing`: what was known is all there is. With `retryAfterMs`, it cannot be said before then: the peer was asked a
 * short while ago, before `sinceMs`, and may not be asked again yet.
 */
export type KeyAnswer = 'learned' | 'nothing' | { readonly retryAfterMs: number };

/** The document that a peer publishes, from where the config or a pairing says; ends within a time of its own. */
export type FetchKeySet = (peer: KnownPeer, url: string, signal?: AbortSignal) => Promise<Buffer>;

export function createKeyNews(
  book: PeerBook,
  fetchKeySet: FetchKeySet,
  { log, now }: { readonly log: Log; readonly now: () => number },
): KeyNews {
  const ask = async (peerId: string, question: Question = {}): Promise<KeyAnswer> => {
    const known = book.known().find(({ peer }) => peer.id === peerId);
    const url = known === undefined ? undefined : keySetUrl(known);
    if (known === undefined || url === undefined) return 'nothing';
    if (!(await book.claimAsking(peerId))) return untilAnswered(book, peerId, now, question);
    try {
      const bytes = await fetchKeySet(known, url, question.signal);
      return (await book.learnPublished(peerId, parseJwks(bytes))) ? 'learned' : 'nothing';
    } catch (error) {
      const reason = isGatewayError(error) ? `${error.code}: ${error.message}` : String(error);
      log.warn({ event: 'peer.keys_not_fetched', peer: peerId, reason });
      await book.noteUnpublished(peerId, reason);
      return 'nothing';
    }
  };
  return {
    learn: (peerId, announcements) => book.learn(peerId, announcements),
    ask,
    revokedBy(peerId) {
      const known = book.known().find(({ peer }) => peer.id === peerId);
      const kids = known?.record.revoked.map(({ kid }) => kid) ?? [];
      const keys = kids.flatMap((kid) => known?.keys.known.get(kid) ?? []);
      return new Set([
        ...kids,
        ...keys.map(({ key, purpose }) => keyFingerprint(parsePublicKey(key, purpose))),
      ]);
    },
    async askAll(signal) {
      for (const { peer, record } of book.known()) {
        if (signal.aborted) return;
        if (now() - (record.published?.askedAtMs ?? 0) >= ASK_ANYWAY_MS) await ask(peer.id, { signal });
      }
    },
  };
}

/**
 * Somebody has asked a short while ago. What waits for the same answer, in whichever process, must not be judged before it.
 * What came before the question counts for nothing.
 */
async function untilAnswered(
  book: PeerBook,
  peerId: string,
  now: () => number,
  { sinceMs = 0, signal }: Question,
): Promise<KeyAnswer> {
  const published = () => book.known().find(({ peer }) => peer.id === peerId)?.record.published;
  const isUnderWay = () => {
    const { askedAtMs = 0, cameAtMs = 0, error } = published() ?? {};
    const isOpen = error === undefined && cameAtMs < askedAtMs && now() - askedAtMs < LONGEST_ANSWER_MS;
    return isOpen && signal?.aborted !== true;
  };
  while (isUnderWay()) {
    await setTimeout(LOOK_EVERY_MS);
    await book.refresh();
  }
  const { askedAtMs = 0, error } = published() ?? {};
  if (askedAtMs < sinceMs) {
    return {
      retryAfterMs: Math.min(ASK_EVERY_MS, Math.max(LEAST_WAIT_MS, askedAtMs + ASK_EVERY_MS - now())),
    };
  }
  // It may have come only just now, and be news to whoever asks.
  return error === undefined ? 'learned' : 'nothing';
}

/** Undefined where the config wants none, or the peer cannot be called. */
function keySetUrl({ entry, peer }: KnownPeer): string | undefined {
  if (entry.jwks === 'off') return undefined;
  return (
    entry.jwksUrl ?? (peer.url === undefined ? undefined : `${peer.url.replace(/\/+$/, '')}${JWKS_PATH}`)
  );
}
