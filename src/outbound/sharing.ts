/**
 * Who may share an envelope: peers that one route sends a study to, and for whom the envelope would say the very same.
 * Planned when the study is complete; looked at again when it is sealed, since peers and their keys may have changed.
 */
import { randomUUID } from 'node:crypto';
import type { SharedEnvelope } from '../domain/delivery.js';
import { type EnvelopeId, parseEnvelopeId } from '../domain/envelope-id.js';
import type { Destination } from '../domain/route.js';
import type { PlannedDelivery } from '../domain/study.js';
import { MAX_RECIPIENTS } from '../jmix/content-key.js';
import { isLowOrderPoint } from '../jmix/key-agreement.js';
import { rawPublicKey } from '../jmix/raw-keys.js';
import type { OutboundParts } from './parts.js';

type Sharing = Pick<OutboundParts, 'peers' | 'exchanges' | 'hubTo'>;

/**
 * One delivery for each destination, with a common envelope where several may have one. Those of another priority, or
 * for whom it adds to another envelope, have their own: all of that stands in the sealed part.
 * @param first the first envelope of the study to each peer that got one
 */
export function planDeliveries(
  parts: Sharing,
  destinations: readonly Destination[],
  first: ReadonlyMap<string, EnvelopeId>,
): readonly PlannedDelivery[] {
  const planned = destinations.map(({ together, ...destination }) => {
    const { peerId, ...said } = destination;
    const addendumTo = first.get(peerId);
    const place = sharedPlace(parts, peerId);
    const isShared = together !== undefined && place !== undefined;
    return {
      group: isShared ? JSON.stringify([together, place, addendumTo, said]) : undefined,
      delivery: {
        id: parseEnvelopeId(randomUUID()),
        ...destination,
        ...(addendumTo === undefined ? {} : { addendumTo }),
      },
    };
  });
  const envelopes = new Map<PlannedDelivery, EnvelopeId>();
  for (const group of new Set(planned.flatMap((each) => each.group ?? []))) {
    const all = planned.filter((each) => each.group === group).map(({ delivery }) => delivery);
    for (let start = 0; start < all.length; start += MAX_RECIPIENTS) {
      const members = all.slice(start, start + MAX_RECIPIENTS);
      const envelopeId = parseEnvelopeId(randomUUID());
      if (members.length > 1) for (const member of members) envelopes.set(member, envelopeId);
    }
  }
  return planned.map(({ delivery }) => {
    const sharedEnvelopeId = envelopes.get(delivery);
    return sharedEnvelopeId === undefined ? delivery : { ...delivery, sharedEnvelopeId };
  });
}

/** The shared envelope of a planned delivery, with all its members. */
export function sharedEnvelopeOf(
  { sharedEnvelopeId }: PlannedDelivery,
  all: readonly PlannedDelivery[],
): SharedEnvelope | undefined {
  if (sharedEnvelopeId === undefined) return undefined;
  const members = all
    .filter((other) => other.sharedEnvelopeId === sharedEnvelopeId)
    .map(({ peerId, id }) => ({ peerId, deliveryId: id }));
  return { id: sharedEnvelopeId, members };
}

/** The members that can still be served by one envelope together with `peerId`; none when it cannot share any more. */
export function presentMembers(
  parts: Sharing,
  { members }: SharedEnvelope,
  peerId: string,
): SharedEnvelope['members'] {
  const place = sharedPlace(parts, peerId);
  if (place === undefined) return [];
  return members.filter((member) => sharedPlace(parts, member.peerId) === place);
}

/**
 * Where a peer's shared envelopes are put: the same for all that may share one, undefined for a peer that has its own.
 * Only the specification's own dialect has room for several keys. A hub passes on what is for its members only, so
 * those of one hub share; but never where the hub shall not see whom an envelope is for.
 */
function sharedPlace({ peers, exchanges, hubTo }: Sharing, peerId: string): string | undefined {
  const peer = peers.get(peerId);
  if (peer?.encryptionKey === undefined || peer.seal === 'openpgp') return undefined;
  // One bad key would keep the envelope from all others.
  if (isLowOrderPoint(rawPublicKey(peer.encryptionKey))) return undefined;
  if ((peer.dialect ?? 'canon') !== 'canon' || hubTo(peerId) !== undefined) return undefined;
  const exchange = exchanges.get(peer.via ?? '');
  return exchange?.type === 'hub' ? exchange.name : '';
}
