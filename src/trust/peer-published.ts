/**
 * The keys that a peer publishes (JWKS, RFC 7517) become part of its record. That they came over TLS from where the config
 * or the pairing says is not enough, unless the config says that it is: what nobody vouches for is offered, that is shown,
 * and used only after a person has accepted it.
 */
import { GatewayError } from '../errors/gateway-error.js';
import { rawPublicKey } from '../jmix/raw-keys.js';
import type { KeySet } from './jwks.js';
import { judgeKeys } from './peer-keys.js';
import { type LearnContext, type Learned, learnStatements, MAX_KEPT, MAX_OFFERED } from './peer-learn.js';
import type { LearnedKey, PeerRecord } from './peer-record.js';

/** Pure; see `learnStatements`. */
export function learnKeySet(record: PeerRecord, set: KeySet, context: LearnContext): Learned {
  const { entry, nowMs } = context;
  const told =
    entry.jwks === 'off' ? { record, news: [] } : learnStatements(record, set.announcements, context);
  const { known } = judgeKeys(entry, told.record, context);
  const revoked = new Set(told.record.revoked.map(({ kid }) => kid));
  const strangers = set.keys
    .filter(({ kid }) => !known.has(kid) && !revoked.has(kid) && !context.foreign.has(kid))
    .slice(0, MAX_OFFERED)
    .map(({ kid, purpose, key }) => ({ kid, purpose, key: rawPublicKey(key).toString('base64') }));
  const next = {
    ...told.record,
    published: { askedAtMs: told.record.published?.askedAtMs ?? nowMs, cameAtMs: nowMs },
  };

  // What a statement named waits for a person, whatever is published: it may be a thief's line.
  const stated = next.offered.filter(
    ({ kid, by }) => by !== undefined && !known.has(kid) && !revoked.has(kid),
  );

  if (entry.jwks === 'tls') {
    const learned = strangers
      .slice(0, Math.max(0, MAX_KEPT - next.keys.length))
      .map((each) => learnedFrom(each, 'tls', next, context));
    return {
      record: {
        ...next,
        keys: [...next.keys.filter(({ kid }) => !learned.some((each) => each.kid === kid)), ...learned],
        superseded: withdrawn(next, set, nowMs),
        offered: stated.filter(({ kid }) => !learned.some((each) => each.kid === kid)),
      },
      news: [
        ...told.news,
        ...learned.map(
          ({ kid, purpose, source }) => ({ event: 'peer.key_learned', kid, purpose, source }) as const,
        ),
      ],
    };
  }
  const before = new Map(next.offered.map((each) => [each.kid, each]));
  const published = strangers.filter(({ kid }) => !stated.some((each) => each.kid === kid));
  const offered = [
    ...stated,
    ...published.map((each) => before.get(each.kid) ?? { ...each, firstSeenMs: nowMs }),
  ];
  return {
    record: { ...next, offered },
    news: [
      ...told.news,
      ...offered
        .filter(({ kid }) => !before.has(kid))
        .map(({ kid, purpose }) => ({ event: 'peer.key_offered', kid, purpose }) as const),
    ],
  };
}

/**
 * An offered key counts from now on, on a person's word.
 * @throws KEY_UNREADABLE when no such key is offered, KEY_REVOKED
 */
export function acceptOffered(record: PeerRecord, kid: string, context: LearnContext): PeerRecord {
  if (record.revoked.some((each) => each.kid === kid)) {
    throw new GatewayError('KEY_REVOKED', `${record.id} has revoked the key ${kid}`);
  }
  const offer = record.offered.find((each) => each.kid === kid);
  if (offer === undefined) {
    throw new GatewayError(
      'KEY_UNREADABLE',
      `${record.id} offers no key ${kid}; see \`drawbridge peers show\``,
    );
  }
  return {
    ...record,
    keys: [
      ...record.keys.filter((each) => each.kid !== kid),
      learnedFrom(offer, 'accepted', record, context),
    ],
    offered: record.offered.filter((each) => each !== offer),
  };
}

function learnedFrom(
  { kid, purpose, key }: Pick<LearnedKey, 'kid' | 'purpose' | 'key'>,
  source: 'tls' | 'accepted',
  record: PeerRecord,
  context: LearnContext,
): LearnedKey {
  const { encryption } = judgeKeys(context.entry, record, context);
  // On the word of TLS alone, nothing takes the place of what somebody wrote into the config.
  const isReplacing = purpose === 'encryption' && !(source === 'tls' && encryption?.source === 'config');
  return {
    kid,
    purpose,
    key,
    source,
    learnedAtMs: context.nowMs,
    // Newer than what was announced before, also by a clock that is ahead of ours.
    issuedAtMs: Math.max(context.nowMs, ...record.keys.map(({ issuedAtMs }) => issuedAtMs)),
    ...(isReplacing && encryption !== undefined ? { insteadOf: encryption.kid } : {}),
  };
}

/**
 * Signing keys that count because they were published lapse, as if a successor had been announced, when they no longer
 * are; and do not when they are again.
 */
function withdrawn({ keys, superseded }: PeerRecord, set: KeySet, nowMs: number): PeerRecord['superseded'] {
  const published = new Set(set.keys.map(({ kid }) => kid));
  const believed = new Set(
    keys.filter(({ source, purpose }) => source === 'tls' && purpose === 'signing').map(({ kid }) => kid),
  );
  const ended = superseded.filter(({ kid }) => !(believed.has(kid) && published.has(kid)));
  const gone = [...believed].filter((kid) => !published.has(kid) && !ended.some((each) => each.kid === kid));
  return [...ended, ...gone.map((kid) => ({ kid, atMs: nowMs }))];
}
