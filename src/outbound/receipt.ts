/**
 * receipt: the far side's proof → the delivery's end. Commit point: the record says `verified`. The peer brings the
 * receipt as soon as it has one; this step asks for it too, so that neither a lost message nor a site that cannot be
 * called keeps a delivery open.
 */
import { advanceDelivery, type Delivery } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Instance } from '../domain/instance.js';
import { GatewayError } from '../errors/gateway-error.js';
import { type Receipt, readReceipt } from '../trust/receipt.js';
import { readFrozenList } from './complete-study.js';
import { dueDelivery, type OutboundParts } from './parts.js';

export const RECEIPT_DOCUMENT = 'receipt.jws';

/** Asking again: soon at first, then at a tenth of the time waited so far, at most this. */
const FIRST_WAIT_MS = 2_000;
const LONGEST_WAIT_MS = 5 * 60_000;

/** @throws PEER_BUSY while there is no receipt yet, RECEIPT_INVALID, and what the transport throws */
export async function receipt(parts: OutboundParts, id: EnvelopeId, signal: AbortSignal): Promise<void> {
  const delivery = dueDelivery(await parts.deliveries.read(id), ['acknowledged']);
  if (delivery === undefined) return;
  // Of a peer that cannot be called the receipt comes in an envelope of its own.
  const jws = await parts.lines.receiptDeskOf(delivery.peerId)?.fetchReceipt(id, signal);
  if (jws === undefined) {
    const since =
      delivery.steps.findLast((step) => step.event === 'acknowledged')?.atMs ?? delivery.createdAtMs;
    const retryAfterMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS + (parts.clock.now() - since) / 10);
    throw new GatewayError('PEER_BUSY', 'the peer has no receipt yet: its PACS does not have the study', {
      facts: { retryAfterMs: Math.round(retryAfterMs) },
    });
  }
  await settleReceipt(parts, delivery, jws);
}

/**
 * A receipt that a peer brings.
 * @throws ENVELOPE_NOT_FOUND when we sent that peer no such envelope, RECEIPT_INVALID
 */
export async function acceptReceipt(
  parts: OutboundParts,
  peerId: string,
  id: EnvelopeId,
  jws: Buffer,
): Promise<void> {
  const delivery = await parts.deliveries.read(id);
  if (delivery === undefined || delivery.peerId !== peerId || delivery.sealed === undefined) {
    throw new GatewayError('ENVELOPE_NOT_FOUND', 'no envelope with this id was sent to this peer');
  }
  if (delivery.receipt !== 'verified') await settleReceipt(parts, delivery, jws);
}

async function settleReceipt(parts: OutboundParts, delivery: Delivery, jws: Buffer): Promise<void> {
  const { id } = delivery;
  const checked = readReceipt(jws, {
    keys: parts.peers.get(delivery.peerId)?.signingKeys ?? [],
    id,
    receiverId: delivery.peerId,
    manifestSha256: delivery.sealed?.manifestSha256 ?? '',
  });
  if (checked.outcome === 'stored') assertComplete(checked, await readFrozenList(parts, id));
  await parts.deliveries.writeDocument(id, RECEIPT_DOCUMENT, jws);
  const { code, message } = checked.reason ?? { code: 'UNKNOWN', message: 'no reason given' };
  await parts.deliveries.update(id, (record) => {
    if (record.receipt === 'verified') return record;
    return advanceDelivery(
      record,
      checked.outcome === 'stored' ? { type: 'verified' } : { type: 'refused', code, message },
      parts.clock.now(),
    );
  });
  parts.log.info({
    event: checked.outcome === 'stored' ? 'delivery.verified' : 'delivery.refused',
    delivery: id,
    peer: delivery.peerId,
    ...(checked.outcome === 'stored' ? { instances: checked.instances.length } : { code }),
  });
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
