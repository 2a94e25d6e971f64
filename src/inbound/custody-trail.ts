/**
 * The audit trail that goes into a receipt: as it came with the envelope, with our own steps chained to it. What came
 * is not judged here: the receipt says what we were given, and the sender compares. A trail that cannot be read, or is
 * too long for a receipt, is left out, and our steps begin one of their own; the sender then sees that its step is
 * missing.
 */
import type { KeyObject } from 'node:crypto';
import { formatTimestamp } from '../domain/clock.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Reception } from '../domain/reception.js';
import { isGatewayError } from '../errors/gateway-error.js';
import { type AuditEntry, formatAuditEntry, parseAuditTrail } from '../jmix/audit-trail.js';
import { withSteps } from '../jmix/custody-step.js';
import { AUDIT_FILE } from '../jmix/envelope-names.js';
import { RECEIPT_MAX_STEPS } from '../trust/receipt.js';
import type { InboundParts } from './parts.js';

/** An honest step takes less than 1 KiB. */
const MAX_TRAIL_BYTES = RECEIPT_MAX_STEPS * 2048;

export async function custodyTrail(
  parts: InboundParts,
  { id, manifestSha256 }: Reception,
  own: readonly { readonly event: string; readonly atMs: number }[],
  signingKey: KeyObject,
): Promise<ReturnType<typeof formatAuditEntry>[]> {
  const by = { id: parts.site.id, name: parts.site.name };
  const steps = own.map(({ event, atMs }) => ({ event, by, timestamp: formatTimestamp(atMs) }));
  const received = await trailAsItCame(parts, id, RECEIPT_MAX_STEPS - steps.length);
  return withSteps(received, steps, { envelopeId: id, manifestSha256 }, signingKey).map(formatAuditEntry);
}

async function trailAsItCame(
  parts: InboundParts,
  id: EnvelopeId,
  maxSteps: number,
): Promise<readonly AuditEntry[]> {
  const bytes = await parts.receptions.readDocument(id, AUDIT_FILE);
  if (bytes === undefined || bytes.length > MAX_TRAIL_BYTES) return [];
  try {
    const trail = parseAuditTrail(bytes);
    return trail.length > maxSteps ? [] : trail;
  } catch (error) {
    if (isGatewayError(error)) return [];
    throw error;
  }
}
