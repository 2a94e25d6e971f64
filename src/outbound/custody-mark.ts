/**
 * What a delivery's record says of the way there: whether our own step came through unchanged, and the chain holds up
 * to the receiver. A mark, never a reason to refuse the receipt (trust/receipt-custody.ts says why).
 */
import type { Delivery, Sent } from '../domain/delivery.js';
import { isGatewayError } from '../errors/gateway-error.js';
import { type AuditEntry, parseAuditTrail } from '../jmix/audit-trail.js';
import { AUDIT_FILE } from '../jmix/envelope-names.js';
import type { Receipt } from '../trust/receipt.js';
import { judgeReceiptTrail } from '../trust/receipt-custody.js';
import type { OutboundParts } from './parts.js';

/** Nothing where it cannot be told: the receiver's software chains no steps. */
export async function custodyMark(
  parts: OutboundParts,
  { id, peerId }: Delivery,
  { id: envelopeId, manifestSha256 }: Sent,
  receipt: Receipt,
): Promise<Pick<Delivery, 'custody'>> {
  const known = (parts.peers.get(peerId)?.signingKeys ?? []).map((key) => ({ key, id: peerId }));
  const start = await sealedTrail(parts, id);
  const { state, problem } = judgeReceiptTrail(receipt, start, { envelopeId, manifestSha256 }, known);
  if (state === 'unchained') return {};
  if (state === 'broken') {
    parts.log.warn({ event: 'custody.broken', delivery: id, peer: peerId, code: 'CUSTODY_BROKEN', problem });
  }
  return { custody: state };
}

/** As it left; empty for a delivery of an earlier version, which did not keep it. */
async function sealedTrail(parts: OutboundParts, id: Delivery['id']): Promise<readonly AuditEntry[]> {
  const bytes = await parts.deliveries.readDocument(id, AUDIT_FILE);
  try {
    return bytes === undefined ? [] : parseAuditTrail(bytes);
  } catch (error) {
    if (isGatewayError(error)) return [];
    throw error;
  }
}
