/**
 * Which keys of a peer count, and why: those of the config, else those that pairing or the directory brought, and what
 * was learned since, as far as it leads back to one of these. Pure: no disk, no clock.
 *
 * - A pin in the config is added to, never replaced, and never lapses.
 * - A signing key that has named its successor is honoured for `trust.maxAgeDays` more, counted from that statement's
 *   date: for as long as an envelope that was on its way then would be taken.
 * - Studies are sealed to the newest encryption key that was announced, as long as the config (or the pairing) still
 *   names the key that it came instead of, or one of its line: whoever puts another key there is obeyed.
 * - An encryption key that has a successor is never sealed to again, also when that successor was revoked: whoever stole
 *   the one has the other too. Until a newer one is known, studies wait.
 * - A key that was revoked counts nowhere, not even in the config.
 */
import type { PeerSettings } from '../config/settings.js';
import { jwkThumbprint } from '../jmix/jwk-thumbprint.js';
import { type KeyPurpose, parsePublicKey } from './key-files.js';
import type { LearnedKey, PeerRecord } from './peer-record.js';

export type KeySource = 'config' | 'paired' | 'directory' | LearnedKey['source'];

export interface PeerKey {
  /** RFC 7638 thumbprint. */
  readonly kid: string;
  readonly purpose: KeyPurpose;
  /** Raw 32 bytes in base64. */
  readonly key: string;
  readonly source: KeySource;
  /** Signing keys that have a successor: honoured until then. */
  readonly untilMs?: number;
  readonly learnedAtMs?: number;
}

export interface PeerKeys {
  /** Whose signatures count. */
  readonly signing: readonly PeerKey[];
  /** What is sealed to. */
  readonly encryption?: PeerKey;
  /** Everything known, whether or not it counts, by kid: what a statement may be about. */
  readonly known: ReadonlyMap<string, PeerKey>;
  /** Kids that the config still names although the peer has revoked them. */
  readonly revokedInConfig: readonly string[];
}

/** What `judgeKeys` goes by; `maxAgeMs` is `trust.maxAgeDays`. */
export interface KeyRules {
  readonly nowMs: number;
  readonly maxAgeMs: number;
}

/** What of a config entry bears on its keys. */
export type PinnedKeys = Pick<PeerSettings, 'signingKeys' | 'encryptionKey' | 'jwks' | 'directory'>;

export function judgeKeys(
  entry: PinnedKeys | undefined,
  record: PeerRecord | undefined,
  { nowMs, maxAgeMs }: KeyRules,
): PeerKeys {
  const pins = pinsOf(entry, record);
  const learned = rooted(record?.keys ?? [], pins, entry?.jwks ?? 'announced');
  const revoked = new Set(record?.revoked.map(({ kid }) => kid));
  const superseded = new Map(record?.superseded.map(({ kid, atMs }) => [kid, atMs]));

  const known = new Map<string, PeerKey>();
  for (const each of [...pins, ...learned.map(toPeerKey)]) {
    if (!known.has(each.kid)) known.set(each.kid, each);
  }
  const signing = [...known.values()].flatMap((each) => {
    if (each.purpose !== 'signing' || revoked.has(each.kid)) return [];
    const since = superseded.get(each.kid);
    if (since === undefined || each.source === 'config') return [each];
    const untilMs = since + maxAgeMs;
    return nowMs < untilMs ? [{ ...each, untilMs }] : [];
  });
  const pin = pins.find(({ purpose }) => purpose === 'encryption');
  const encryption = sealedTo(pin, learned, revoked);
  return {
    signing,
    ...(encryption === undefined ? {} : { encryption }),
    known,
    revokedInConfig: pins
      .filter(({ source, kid }) => source === 'config' && revoked.has(kid))
      .map(({ kid }) => kid),
  };
}

/** @param text raw key in base64 */
export function kidOf(text: string, purpose: KeyPurpose): string {
  return jwkThumbprint(parsePublicKey(text, purpose));
}

/** For each purpose: of the config, else of the pairing, else of the directory, where the config asks it. */
function pinsOf(entry: PinnedKeys | undefined, record: PeerRecord | undefined): readonly PeerKey[] {
  const paired = record?.paired?.card;
  const listed = entry?.directory === true ? record?.directory?.card : undefined;
  const sources = [
    { source: 'config', signing: entry?.signingKeys, encryption: entry?.encryptionKey },
    { source: 'paired', signing: paired?.signingKeys, encryption: paired?.encryptionKey },
    { source: 'directory', signing: listed?.signingKeys, encryption: listed?.encryptionKey },
  ] as const;
  const signers = sources.find(({ signing }) => signing !== undefined && signing.length > 0);
  const sealer = sources.find(({ encryption }) => encryption !== undefined);
  return [
    ...(signers?.signing ?? []).map((key) => pin(key, 'signing', signers?.source ?? 'config')),
    ...(sealer?.encryption === undefined ? [] : [pin(sealer.encryption, 'encryption', sealer.source)]),
  ];
}

function pin(key: string, purpose: KeyPurpose, source: KeySource): PeerKey {
  return { kid: kidOf(key, purpose), purpose, key, source };
}

/**
 * The learned keys that lead back to a pin. A person who takes a pin out of the config takes away what was believed on
 * its word alone.
 */
function rooted(
  keys: readonly LearnedKey[],
  pins: readonly PeerKey[],
  mode: PeerSettings['jwks'],
): readonly LearnedKey[] {
  const roots = new Set(pins.map(({ kid }) => kid));
  let waiting = keys.filter(({ source }) => source === 'accepted' || mode === 'tls' || source === mode);
  const found: LearnedKey[] = [];
  for (let isGrowing = true; isGrowing; ) {
    const next = waiting.filter(
      ({ source, by }) => source !== 'announced' || (by !== undefined && roots.has(by)),
    );
    for (const { kid } of next) roots.add(kid);
    found.push(...next);
    waiting = waiting.filter((each) => !next.includes(each));
    isGrowing = next.length > 0;
  }
  // In the order in which they were learned, whatever the order of the search.
  return keys.filter((each) => found.includes(each));
}

function sealedTo(
  pinned: PeerKey | undefined,
  learned: readonly LearnedKey[],
  revoked: ReadonlySet<string>,
): PeerKey | undefined {
  const line = learned.filter(({ purpose }) => purpose === 'encryption');
  // Of two of the same second, the one that was learned later.
  const [last] = line.toReversed().sort((a, b) => b.issuedAtMs - a.issuedAtMs);
  // Not the one before it, where it was revoked.
  const newest = last === undefined || revoked.has(last.kid) ? undefined : toPeerKey(last);
  if (pinned === undefined || revoked.has(pinned.kid)) return newest;
  const isOfThisLine = line.some(({ kid, insteadOf }) => kid === pinned.kid || insteadOf === pinned.kid);
  return isOfThisLine ? newest : pinned;
}

function toPeerKey({ kid, purpose, key, source, learnedAtMs }: LearnedKey): PeerKey {
  return { kid, purpose, key, source, learnedAtMs };
}
