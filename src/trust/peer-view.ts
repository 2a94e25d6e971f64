/** A peer's keys as people see them: which count and why, which are only offered, and what somebody has to do. */
import { keyFingerprint } from '../jmix/raw-keys.js';
import { parsePublicKey } from './key-files.js';
import type { PeerKey } from './peer-keys.js';
import type { PeerRecord } from './peer-record.js';
import type { KnownPeer } from './peers.js';

export interface PeerKeyView {
  /** RFC 7638 thumbprint, as the key sets have it. */
  readonly kid: string;
  readonly purpose: 'encryption' | 'signing';
  /** What people compare by telephone: `SHA256:` and 64 hex digits. */
  readonly fingerprint: string;
  /** `config`, `paired`, `directory`, `announced`, `tls`, `accepted`; `offered` counts for nothing yet. */
  readonly source: PeerKey['source'] | 'offered';
  /** When it was learned, or first seen. */
  readonly sinceMs?: number;
  /** A signing key that has a successor: honoured until then. */
  readonly untilMs?: number;
}

export interface PeerNotice {
  /** Tells it from every other one. */
  readonly key: string;
  /** `act`: somebody has to look; `know`: nothing to do. */
  readonly level: 'act' | 'know';
  readonly text: string;
  /** What to do; empty where there is nothing. */
  readonly advice: string;
  /** What to type when that is done. */
  readonly command?: string;
  readonly atMs?: number;
}

export interface PeerView {
  readonly id: string;
  readonly name: string;
  readonly contact: string;
  readonly url?: string;
  readonly via?: string;
  readonly isConfigured: boolean;
  readonly pairedAtMs?: number;
  /** What is sealed to. */
  readonly encryption?: PeerKeyView;
  /** Whose signatures count. */
  readonly signing: readonly PeerKeyView[];
  readonly offered: readonly PeerKeyView[];
  readonly revoked: PeerRecord['revoked'];
  /** When the keys that it publishes were asked for. */
  readonly published?: PeerRecord['published'];
  readonly notices: readonly PeerNotice[];
}

export function viewPeer(known: KnownPeer): PeerView {
  const { peer, record, keys, isConfigured } = known;
  const offered = record.offered.map((each) =>
    viewKey({ ...each, source: 'offered', sinceMs: each.firstSeenMs }),
  );
  return {
    id: peer.id,
    name: peer.name,
    contact: peer.contact,
    ...(peer.url === undefined ? {} : { url: peer.url }),
    ...(peer.via === undefined ? {} : { via: peer.via }),
    isConfigured,
    ...(record.paired === undefined ? {} : { pairedAtMs: record.paired.atMs }),
    ...(keys.encryption === undefined ? {} : { encryption: viewCounting(keys.encryption) }),
    signing: keys.signing.map(viewCounting),
    offered,
    revoked: record.revoked,
    ...(record.published === undefined ? {} : { published: record.published }),
    notices: noticesOf(known, offered),
  };
}

function noticesOf(known: KnownPeer, offered: readonly PeerKeyView[]): readonly PeerNotice[] {
  const { peer, keys } = known;
  return [
    ...keys.revokedInConfig.map((kid) =>
      act(`${peer.id} ${kid}`, `${peer.name} has revoked the key ${kid}, which the config still names`, {
        advice: 'take it out of peers in the config; it counts no more',
      }),
    ),
    ...keyless(known),
    ...offered.map(({ kid, purpose, fingerprint, sinceMs }) =>
      act(
        `${peer.id} ${kid}`,
        `${peer.name} publishes a new ${purpose} key that no known key of theirs vouches for; it is not used`,
        {
          advice: `compare the fingerprint ${fingerprint} with them by telephone (${peer.contact}), then run`,
          // A kid may begin like an option.
          command: `drawbridge peers accept ${peer.id} ${kid.startsWith('-') ? fingerprint : kid}`,
          ...(sinceMs === undefined ? {} : { atMs: sinceMs }),
        },
      ),
    ),
    ...[newestLearned(keys.signing), newestLearned(keys.encryption === undefined ? [] : [keys.encryption])]
      .filter((each) => each !== undefined)
      .map(({ kid, purpose, source, learnedAtMs }) => ({
        key: `${peer.id} ${kid}`,
        level: 'know' as const,
        text:
          source === 'tls'
            ? `a new ${purpose} key is used, on the word of their TLS certificate: ${kid}`
            : `a new ${purpose} key is used, which their key before it vouched for: ${kid}`,
        advice: '',
        ...(learnedAtMs === undefined ? {} : { atMs: learnedAtMs }),
      })),
  ];
}

/** Of the keys that nobody typed in; the older ones were news once. */
function newestLearned(keys: readonly PeerKey[]): PeerKey | undefined {
  return keys
    .filter(({ source }) => source === 'announced' || source === 'tls')
    .toReversed()
    .sort((a, b) => (b.learnedAtMs ?? 0) - (a.learnedAtMs ?? 0))[0];
}

/** What no key is left for. */
function keyless({ peer, entry, keys, record }: KnownPeer): readonly PeerNotice[] {
  if (peer.seal === 'openpgp') return [];
  const isAwaited = entry.directory && record.directory === undefined && keys.known.size === 0;
  const reason = isAwaited ? 'the directory has not answered for it yet' : 'none of its keys counts';
  const signingReason = isAwaited ? reason : 'none of its signing keys counts';
  const advice = isAwaited
    ? 'it is asked again by itself; if this stays, look at directory in the config, or ask whoever runs it'
    : `pair with them again (${peer.contact})`;
  const isSentTo = (peer.url ?? peer.via) !== undefined;
  return [
    ...(isSentTo && keys.encryption === undefined
      ? [
          act(`${peer.id} encryption`, `nothing can be sealed to ${peer.name}: ${reason}`, {
            advice: `${advice}; studies for it wait, and go on when they are retried`,
          }),
        ]
      : []),
    ...(keys.signing.length === 0 && !entry.allowUnsigned
      ? [
          act(`${peer.id} signing`, `nothing from ${peer.name} is accepted: ${signingReason}`, {
            advice,
          }),
        ]
      : []),
  ];
}

function act(key: string, text: string, more: Pick<PeerNotice, 'advice' | 'command' | 'atMs'>): PeerNotice {
  return { key, level: 'act', text, ...more };
}

function viewCounting({ learnedAtMs, ...key }: PeerKey): PeerKeyView {
  return viewKey({ ...key, ...(learnedAtMs === undefined ? {} : { sinceMs: learnedAtMs }) });
}

function viewKey(
  key: Pick<PeerKey, 'kid' | 'purpose' | 'key' | 'untilMs'> & Pick<PeerKeyView, 'source' | 'sinceMs'>,
): PeerKeyView {
  return {
    kid: key.kid,
    purpose: key.purpose,
    fingerprint: keyFingerprint(parsePublicKey(key.key, key.purpose)),
    source: key.source,
    ...(key.sinceMs === undefined ? {} : { sinceMs: key.sinceMs }),
    ...(key.untilMs === undefined ? {} : { untilMs: key.untilMs }),
  };
}
