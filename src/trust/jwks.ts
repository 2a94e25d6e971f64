/**
 * Key sets (JWKS, RFC 7517 §5): what we publish of our keys, and what others publish of theirs. Ours holds the present
 * keys only: an older one still opens what was sealed to it, but nothing new is to be. Beside them stand the
 * announcements, by which a partner can tell that the new keys are by the owner of the old ones; the set itself proves
 * nothing of that kind.
 */
import { GatewayError } from '../errors/gateway-error.js';
import { parseStrictObject } from '../jmix/strict-json.js';
import { formatJwk, type PublishedKey, parseJwk } from './jwk.js';
import type { SiteKeys } from './site-keys.js';

export const JWKS_MEDIA_TYPE = 'application/jwk-set+json';
/** Where a bridge publishes its set (RFC 8615). */
export const JWKS_PATH = '/.well-known/jwks.json';
/** Member beside `keys` (RFC 7517 §5 allows more, and who does not know it ignores it). */
const ANNOUNCEMENTS = 'drawbridge_announcements';
/** More are no honest set. */
const MAX_KEYS = 100;
const MAX_ANNOUNCEMENTS = 32;

/** What a site publishes of its keys. */
export interface KeySet {
  readonly keys: readonly PublishedKey[];
  /** Compact JWS each, oldest first; not verified. */
  readonly announcements: readonly string[];
}

/** The document with our present keys. */
export function formatJwks({
  encryption,
  signing,
  announcements,
}: Pick<SiteKeys, 'encryption' | 'signing' | 'announcements'>): string {
  return JSON.stringify({
    keys: [formatJwk(encryption.publicKey, 'encryption'), formatJwk(signing.publicKey, 'signing')],
    [ANNOUNCEMENTS]: announcements.slice(-MAX_ANNOUNCEMENTS),
  });
}

/**
 * Reads a key set. Keys of other types and uses are left out, as RFC 7517 §5 asks; so is a second mention of a key.
 * @param bytes bounded by whoever fetched them
 * @throws DIRECTORY_INVALID when it is no key set, or has more than 100 keys
 */
export function parseJwks(bytes: Buffer): KeySet {
  const document = parseStrictObject(bytes, 'the key set', 'DIRECTORY_INVALID');
  const { keys, [ANNOUNCEMENTS]: announcements } = document;
  if (!Array.isArray(keys)) throw new GatewayError('DIRECTORY_INVALID', 'the key set has no list of keys');
  if (keys.length > MAX_KEYS) {
    throw new GatewayError(
      'DIRECTORY_INVALID',
      `the key set has ${keys.length} keys, at most ${MAX_KEYS} are read`,
    );
  }
  const found = new Map<string, PublishedKey>();
  for (const jwk of keys) {
    const key = parseJwk(jwk);
    if (key !== undefined) found.set(key.kid, key);
  }
  return {
    keys: [...found.values()],
    announcements: Array.isArray(announcements)
      ? announcements.filter((each) => typeof each === 'string').slice(-MAX_ANNOUNCEMENTS)
      : [],
  };
}
