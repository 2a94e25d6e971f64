/**
 * An envelope that must not be sent any more, or cannot: its signed assertion expires before it is there, the key
 * that it is sealed to was revoked, or a hub does not take it because of another receiver. The delivery gets one for its peer alone, always under another id. Of the old
 * one a part may lie somewhere, or all of it, unheard of; the far side takes an id once, and what lies half under it
 * belongs to other bytes. Should the old one have arrived after all, its receipt counts (see receipt.ts).
 */
import { randomUUID } from 'node:crypto';
import { advanceDelivery, type Delivery } from '../domain/delivery.js';
import { parseEnvelopeId } from '../domain/envelope-id.js';
import { isGatewayError } from '../errors/gateway-error.js';
import { jwkThumbprint } from '../jmix/jwk-thumbprint.js';
import { writeOwners } from '../spool/envelope-owners.js';
import type { OutboundParts } from './parts.js';

/** The far side opens it a while after the last byte, and its clock is another one. */
const MARGIN_MS = 15 * 60_000;
/** Of the assertion's whole time, where that is short. */
const MARGIN_SHARE = 0.1;

/** Whether it is too late to send this envelope. */
export function isExpiring({ clock, assertionMs }: OutboundParts, { sealed }: Delivery): boolean {
  if (sealed?.expiresAtMs === undefined) return false;
  const marginMs = Math.min(MARGIN_MS, MARGIN_SHARE * (assertionMs ?? Number.POSITIVE_INFINITY));
  return clock.now() + marginMs >= sealed.expiresAtMs;
}

/** Whether it is sealed to a key that its peer has revoked since: whoever stole that key could open it. */
export function isForRevokedKey({ peers, keyNews }: OutboundParts, { peerId, sealed }: Delivery): boolean {
  if (sealed?.sealedTo === undefined || !keyNews.revokedBy(peerId).has(sealed.sealedTo)) return false;
  const present = peers.get(peerId)?.encryptionKey;
  return present === undefined || jwkThumbprint(present) !== sealed.sealedTo;
}

/** Whether a put may have failed for want of room, or of membership, of another receiver at the same hub. */
export function isHeldUpByOthers({ shared, sealed }: Delivery, error: unknown): boolean {
  if (shared === undefined || sealed?.envelopeId !== shared.id || !isGatewayError(error)) return false;
  return error.code === 'QUOTA_EXCEEDED' || error.facts['peerCode'] === 'RECIPIENT_MISMATCH';
}

/** Puts the delivery back to seal. Whom the new id belongs to is written first: a receipt names nothing else. */
export async function withdraw(parts: OutboundParts, { id, peerId, sealed }: Delivery): Promise<void> {
  const resealAs = parseEnvelopeId(randomUUID());
  await writeOwners(parts.layout, resealAs, [{ peerId, deliveryId: id }]);
  await parts.deliveries.update(id, (record) =>
    (record.carriage === 'sealed' || record.carriage === 'sent') &&
    record.receipt === 'awaited' &&
    record.sealed?.manifestSha256 === sealed?.manifestSha256
      ? advanceDelivery(record, { type: 'withdrawn', resealAs }, parts.clock.now())
      : record,
  );
  parts.log.info({ event: 'envelope.withdrawn', delivery: id, peer: peerId });
  await parts.enqueue('seal', id);
}
