/**
 * The envelope that several deliveries share. The first of them that is not parked seals for all, the others wait for
 * it; should two think that they are the first, one rename decides (see seal-study.ts). Whoever seals tells the others'
 * records before its own, so that none of them hears of its own envelope from outside. A peer that cannot share any more
 * when it is sealed, by its config, gets an envelope of its own and holds nobody up.
 */
import { rm } from 'node:fs/promises';
import { advanceDelivery, type Delivery, type Sealed } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Peer } from '../domain/peer.js';
import { jwkThumbprint } from '../jmix/jwk-thumbprint.js';
import { readSealedFolder, type SealedFolder } from '../spool/sealed-folder.js';
import { dueDelivery, type OutboundParts } from './parts.js';
import { presentMembers } from './sharing.js';

const UNSEALED = ['accepted', 'packed'] as const;

/** What becomes of a delivery: it has its part in an envelope, waits for another one to seal, or needs its own. */
export type Share = { readonly sealed: Sealed } | 'waits' | 'alone';

/**
 * @param sealFor seals for these peers, under the id of the shared envelope
 * @throws what `sealFor` throws
 */
export async function takeShare(
  parts: OutboundParts,
  delivery: Delivery,
  sealFor: (id: EnvelopeId, peers: readonly Peer[]) => Promise<void>,
): Promise<Share> {
  const { shared, peerId } = delivery;
  if (shared === undefined || !hasNoEnvelope(delivery)) return 'alone';
  let envelope = await readSealedFolder(parts.layout, shared.id);
  if (envelope === undefined) {
    const members = presentMembers(parts, shared, peerId);
    if (members.length === 0) return 'alone';
    if ((await sealerOf(parts, members)) !== delivery.id) return 'waits';
    await sealFor(
      shared.id,
      members.flatMap((member) => parts.peers.get(member.peerId) ?? []),
    );
    envelope = await readSealedFolder(parts.layout, shared.id);
  }
  if (envelope === undefined || !envelope.receiverIds.includes(peerId)) return 'alone';
  for (const member of shared.members) {
    if (member.deliveryId !== delivery.id) await tellMember(parts, member.deliveryId, shared.id, envelope);
  }
  return { sealed: await keepSealed(parts, delivery, shared.id, envelope) };
}

/**
 * Lets those go on that wait for this delivery to seal for them, since it will not.
 * @throws REDIS_UNAVAILABLE
 */
export async function wakeMembers(parts: OutboundParts, { id, shared }: Delivery): Promise<void> {
  for (const { deliveryId } of shared?.members ?? []) {
    const waits = deliveryId !== id && isUnsealed(await parts.deliveries.read(deliveryId));
    if (waits) await parts.enqueue('pack', deliveryId);
  }
}

/**
 * The record of a delivery whose shared envelope was sealed by another one, and which has not been told: it died in
 * between. Parked or not: what the far side has is not stuck.
 */
export async function withItsShare(parts: OutboundParts, delivery: Delivery): Promise<Delivery> {
  const { id, shared, peerId } = delivery;
  if (shared === undefined || !hasNoEnvelope(delivery)) return delivery;
  const envelope = await readSealedFolder(parts.layout, shared.id);
  if (envelope?.receiverIds.includes(peerId) !== true) return delivery;
  const sealed = await keepSealed(parts, delivery, shared.id, envelope);
  return parts.deliveries.update(id, (record) =>
    hasNoEnvelope(record) ? advanceDelivery(record, { type: 'sealed', sealed }, parts.clock.now()) : record,
  );
}

/**
 * What a record says of the envelope that lies in `sealed/`. Its documents are kept beside the record: they prove the
 * delivery when the envelope is gone.
 */
export async function keepSealed(
  parts: OutboundParts,
  { id, peerId }: Delivery,
  envelopeId: EnvelopeId,
  { sizeBytes, manifestSha256, expiresAtMs, documents }: SealedFolder,
): Promise<Sealed> {
  const peer = parts.peers.get(peerId);
  const key = peer?.seal === 'openpgp' ? undefined : peer?.encryptionKey;
  for (const [name, bytes] of documents) await parts.deliveries.writeDocument(id, name, bytes);
  return {
    ...(envelopeId === id ? {} : { envelopeId }),
    sizeBytes,
    manifestSha256,
    ...(key === undefined ? {} : { sealedTo: jwkThumbprint(key) }),
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
  };
}

async function tellMember(
  parts: OutboundParts,
  id: EnvelopeId,
  envelopeId: EnvelopeId,
  envelope: SealedFolder,
): Promise<void> {
  const member = await parts.deliveries.read(id);
  if (!isUnsealed(member) || !envelope.receiverIds.includes(member.peerId)) return;
  const sealed = await keepSealed(parts, member, envelopeId, envelope);
  await parts.deliveries.update(id, (record) =>
    isUnsealed(record) ? advanceDelivery(record, { type: 'sealed', sealed }, parts.clock.now()) : record,
  );
  await rm(parts.layout.draft(id), { force: true });
  await parts.enqueue('ship', id);
}

/** The delivery that seals for these members: the first that is on its way and has no envelope. */
async function sealerOf(
  parts: OutboundParts,
  members: readonly { readonly deliveryId: EnvelopeId }[],
): Promise<EnvelopeId | undefined> {
  for (const { deliveryId } of members) {
    if (isUnsealed(await parts.deliveries.read(deliveryId))) return deliveryId;
  }
  return undefined;
}

function isUnsealed(delivery: Delivery | undefined): delivery is Delivery {
  return delivery !== undefined && hasNoEnvelope(delivery) && dueDelivery(delivery, UNSEALED) !== undefined;
}

function hasNoEnvelope({ sealed, resealAs, carriage }: Delivery): boolean {
  return sealed === undefined && resealAs === undefined && (carriage === 'accepted' || carriage === 'packed');
}
