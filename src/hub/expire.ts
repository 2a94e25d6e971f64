/**
 * What nobody takes: parked after a while, removed after as long again. And what an operator can do about a parcel
 * that is parked. Nothing goes without a line in the log.
 */
import type { EnvelopeId } from '../domain/envelope-id.js';
import {
  advanceParcel,
  isParked,
  isWaiting,
  type Parcel,
  parcelState,
  type Removal,
} from '../domain/parcel.js';
import { GatewayError } from '../errors/gateway-error.js';
import { discardFolder } from '../spool/envelope-store.js';
import type { HubParts } from './parts.js';

/** Looks at all that is held once. */
export async function expireParcels(parts: HubParts): Promise<void> {
  for (const parcel of parts.parcels.held()) {
    const nowMs = parts.clock.now();
    const isOld = ({ atMs }: { readonly atMs: number }) => nowMs - atMs >= parts.expiryMs;
    for (const [receiverId, box] of Object.entries(parcel.boxes)) {
      if (box.state !== 'waiting' || !isOld(box)) continue;
      await parts.parcels.update(parcel.id, (record) =>
        record.boxes[receiverId]?.state === 'waiting' && record.removed === undefined
          ? advanceParcel(record, { type: 'expired', receiverId }, nowMs)
          : record,
      );
      parts.log.warn({ event: 'parcel.expired', parcel: parcel.id, from: parcel.senderId, to: receiverId });
    }
    const parked = Object.values(parcel.boxes).filter(isParked);
    if (!isWaiting(parcel) && parked.length > 0 && parked.every(isOld))
      await remove(parts, parcel, 'expired');
  }
}

/** Lets those who have not taken a parked parcel try again. @throws ENVELOPE_NOT_FOUND, STATE_INVALID */
export async function retryParcel(parts: HubParts, id: EnvelopeId): Promise<Parcel> {
  await heldParcel(parts, id);
  const parcel = await parts.parcels.update(id, (record) => {
    if (!Object.values(record.boxes).some(isParked)) {
      throw new GatewayError('STATE_INVALID', `a parcel that is ${parcelState(record)} needs no retry`);
    }
    return advanceParcel(record, { type: 'retried' }, parts.clock.now());
  });
  parts.log.info({ event: 'parcel.retried', parcel: id });
  return parcel;
}

/** Removes a parcel, whoever waits for it. @throws ENVELOPE_NOT_FOUND, STATE_INVALID when it is not held any more */
export async function discardParcel(parts: HubParts, id: EnvelopeId): Promise<Parcel> {
  const parcel = await heldParcel(parts, id);
  await remove(parts, parcel, 'discarded');
  return parcel;
}

async function heldParcel(parts: HubParts, id: EnvelopeId): Promise<Parcel> {
  const parcel = await parts.parcels.read(id);
  if (parcel === undefined) throw new GatewayError('ENVELOPE_NOT_FOUND', 'there is no such parcel');
  if (parcel.removed !== undefined) {
    throw new GatewayError('STATE_INVALID', `the envelope is not held any more: ${parcel.removed.why}`);
  }
  return parcel;
}

async function remove(parts: HubParts, parcel: Parcel, why: Removal): Promise<void> {
  const { id, senderId, boxes } = parcel;
  const isGone = await parts.parcels.alone(id, async () => {
    const { removed } = await parts.parcels.update(id, (record) => {
      // An operator may have let it wait again meanwhile.
      const stays = record.removed !== undefined || (why === 'expired' && isWaiting(record));
      return stays ? record : advanceParcel(record, { type: 'removed', why }, parts.clock.now());
    });
    if (removed?.why === why) await discardFolder(parts.layout, parts.layout.heldEnvelope(id));
    return removed?.why === why;
  });
  if (!isGone) return;
  const to = Object.keys(boxes).filter((receiverId) => boxes[receiverId]?.state !== 'taken');
  parts.log.warn({ event: 'parcel.removed', parcel: id, from: senderId, to, why });
}
