/**
 * receipt: the far side's proof → the delivery's end. Commit point: the record says `verified`. The peer brings the
 * receipt as soon as it has one; this step asks for it too, so that neither a lost message nor a site that cannot be
 * called keeps a delivery open.
 */
import { advanceDelivery, type Delivery, envelopeIdOf, envelopesOf, type Sent } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Instance } from '../domain/instance.js';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import { findOwner } from '../spool/envelope-owners.js';
import { readSealedFolder } from '../spool/sealed-folder.js';
import { type Receipt, readReceipt, receiptAnnouncements } from '../trust/receipt.js';
import { custodyMark } from './custody-mark.js';
import { readFrozenList } from './frozen-content.js';
import { discardPairingTest } from './pairing-test.js';
import { dueDelivery, type OutboundParts } from './parts.js';
import { keepSealed, withItsShare } from './seal-shared.js';

export const RECEIPT_DOCUMENT = 'receipt.jws';

/** Asking again: soon at first, then at a tenth of the time waited so far, at most this. */
const FIRST_WAIT_MS = 2_000;
const LONGEST_WAIT_MS = 5 * 60_000;

/** @throws PEER_BUSY while there is no receipt yet, RECEIPT_INVALID, and what the transport throws */
export async function receipt(parts: OutboundParts, id: EnvelopeId, signal: AbortSignal): Promise<void> {
  const delivery = dueDelivery(await parts.deliveries.read(id), ['acknowledged']);
  if (delivery === undefined) return;
  if (parts.peers.get(delivery.peerId)?.receipts === 'none') {
    await parts.deliveries.update(id, (record) =>
      record.receipt === 'awaited' ? advanceDelivery(record, { type: 'waived' }, parts.clock.now()) : record,
    );
    return;
  }
  // Of a peer that cannot be called the receipt comes in an envelope of its own.
  const jws = await parts.lines.receiptDeskOf(delivery.peerId)?.fetchReceipt(envelopeIdOf(delivery), signal);
  if (jws === undefined) {
    const since =
      delivery.steps.findLast((step) => step.event === 'acknowledged')?.atMs ?? delivery.createdAtMs;
    const retryAfterMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS + (parts.clock.now() - since) / 10);
    throw new GatewayError('PEER_BUSY', 'the peer has no receipt yet: its PACS does not have the study', {
      facts: { retryAfterMs: Math.round(retryAfterMs) },
    });
  }
  await settleReceipt(parts, delivery, envelopeIdOf(delivery), jws);
}

/**
 * A receipt that a peer brings.
 * @param id of the envelope; of several deliveries that share it, the one to this peer is meant
 * @throws ENVELOPE_NOT_FOUND when we sent that peer no such envelope, RECEIPT_INVALID
 */
export async function acceptReceipt(
  parts: OutboundParts,
  peerId: string,
  id: EnvelopeId,
  jws: Buffer,
): Promise<void> {
  const owner = (await findOwner(parts.layout, id, peerId)) ?? id;
  const known = await parts.deliveries.read(owner);
  const delivery = known?.peerId === peerId ? await withItsShare(parts, known) : undefined;
  if (delivery === undefined || !envelopesOf(delivery).some((envelope) => envelope.id === id)) {
    throw new GatewayError('ENVELOPE_NOT_FOUND', 'no envelope with this id was sent to this peer');
  }
  if (delivery.receipt !== 'verified') await settleReceipt(parts, delivery, id, jws);
}

async function settleReceipt(
  parts: OutboundParts,
  delivery: Delivery,
  envelopeId: EnvelopeId,
  jws: Buffer,
): Promise<void> {
  const { id } = delivery;
  const envelope = envelopesOf(delivery).find((each) => each.id === envelopeId);
  if (envelope === undefined) throw new GatewayError('FAULT', 'a receipt for an envelope of nobody');
  const checked = await readWithNewKeys(parts, delivery, envelope, jws);
  const isFormer = delivery.sealed === undefined || envelopeId !== envelopeIdOf(delivery);
  // It was withdrawn, and came too late as we thought; the one that was sealed again decides.
  if (isFormer && checked.outcome === 'refused') return;
  if (checked.outcome === 'stored') assertComplete(checked, await readFrozenList(parts, id));
  if (isFormer) {
    const former = await readSealedFolder(parts.layout, envelopeId);
    if (former !== undefined) await keepSealed(parts, delivery, envelopeId, former);
  }
  // It was on its way when the PACS was asked again, and took it.
  if (checked.outcome === 'refused' && (await parts.deliveries.read(id))?.receipt === 'verified') return;
  await parts.deliveries.writeDocument(id, RECEIPT_DOCUMENT, jws);
  const custody = await custodyMark(parts, delivery, envelope, checked);
  const { code, message } = checked.reason ?? { code: 'UNKNOWN', message: 'no reason given' };
  await parts.deliveries.update(id, (record) => {
    if (record.receipt === 'verified') return record;
    const event =
      checked.outcome === 'stored'
        ? ({ type: 'verified' } as const)
        : ({ type: 'refused', code, message } as const);
    return { ...advanceDelivery(record, event, parts.clock.now()), ...custody };
  });
  if (delivery.purpose === 'pairing-test') await discardPairingTest(parts, delivery);
  parts.log.info({
    event: checked.outcome === 'stored' ? 'delivery.verified' : 'delivery.refused',
    delivery: id,
    peer: delivery.peerId,
    ...(checked.outcome === 'stored' ? { instances: checked.instances.length } : { code }),
  });
}

/** By a key that we do not know, it may still be good: it brings word of that key, or the peer publishes it. */
async function readWithNewKeys(
  parts: OutboundParts,
  { peerId }: Delivery,
  { id, manifestSha256 }: Sent,
  jws: Buffer,
): Promise<Receipt> {
  const read = () =>
    readReceipt(jws, {
      keys: parts.peers.get(peerId)?.signingKeys ?? [],
      id,
      receiverId: peerId,
      manifestSha256,
    });
  await parts.keyNews.learn(peerId, receiptAnnouncements(jws));
  try {
    return read();
  } catch (error) {
    const isStranger =
      isGatewayError(error) && isGatewayError(error.cause) && error.cause.code === 'SIGNER_NOT_PINNED';
    if (!isStranger || (await parts.keyNews.ask(peerId)) !== 'learned') throw error;
    return read();
  }
}

/** Every instance that we took from the modality, with the very bytes, and a PACS that said yes to each. */
function assertComplete(receipt: Receipt, frozen: readonly Instance[]): void {
  const stored = new Map(receipt.instances.map((instance) => [instance.sop_instance_uid, instance]));
  const missing = frozen.filter(({ sopInstanceUid, sha256 }) => {
    const instance = stored.get(sopInstanceUid);
    return instance?.sha256 !== sha256 || Object.keys(instance.status).length === 0;
  });
  if (missing.length > 0) {
    throw new GatewayError(
      'RECEIPT_INVALID',
      `the receipt does not match what was sent: ${missing.length} of ${frozen.length} instances differ or are missing`,
    );
  }
}
