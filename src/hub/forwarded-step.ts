/** The hub's own step in the audit trail of what it passes on, signed over the envelope's id. */
import type { KeyObject } from 'node:crypto';
import { formatTimestamp } from '../domain/clock.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { isGatewayError } from '../errors/gateway-error.js';
import {
  type AuditEntry,
  type AuditParty,
  formatAuditTrail,
  parseAuditTrail,
  signAuditEntry,
  verifyAuditEntry,
} from '../jmix/audit-trail.js';

const FORWARDED = 'forwarded';

export interface Forwarding {
  readonly envelopeId: EnvelopeId;
  readonly by: AuditParty;
  readonly receiverIds: readonly string[];
  readonly atMs: number;
  readonly signingKey: KeyObject;
  /** Of `signingKey`: an envelope that comes round again gets no second step. */
  readonly publicKey: KeyObject;
}

/**
 * The bytes of audit.json with one step for each receiver behind what is there.
 * @param trail as the sender wrote it; undefined when there is none
 * @throws ENVELOPE_MALFORMED when the trail cannot be read
 */
export function withForwardedSteps(trail: Buffer | undefined, forwarding: Forwarding): Buffer {
  const { envelopeId, by, atMs, signingKey } = forwarding;
  const entries = trail === undefined ? [] : parseAuditTrail(trail);
  const missing = forwarding.receiverIds.filter(
    (receiverId) => !entries.some((entry) => isOurs(entry, receiverId, forwarding)),
  );
  if (trail !== undefined && missing.length === 0) return trail;
  const steps = missing.map((receiverId) =>
    signAuditEntry(
      {
        event: FORWARDED,
        by: { id: by.id, ...(by.name === undefined ? {} : { name: by.name }) },
        to: { id: receiverId },
        timestamp: formatTimestamp(atMs),
      },
      signingKey,
      envelopeId,
    ),
  );
  return formatAuditTrail([...entries, ...steps]);
}

function isOurs(entry: AuditEntry, receiverId: string, forwarding: Forwarding): boolean {
  if (entry.event !== FORWARDED || entry.by.id !== forwarding.by.id || entry.to?.id !== receiverId)
    return false;
  try {
    verifyAuditEntry(entry, [forwarding.publicKey], forwarding.envelopeId);
    return true;
  } catch (error) {
    if (isGatewayError(error)) return false;
    throw error;
  }
}
