/** The hub's own step in the audit trail of what it passes on, signed and chained (jmix/custody-step.ts). */
import type { KeyObject } from 'node:crypto';
import { formatTimestamp } from '../domain/clock.js';
import { type AuditEntry, type AuditParty, formatAuditTrail, parseAuditTrail } from '../jmix/audit-trail.js';
import { judgeCustody } from '../jmix/custody.js';
import { type CustodySubject, withSteps } from '../jmix/custody-step.js';

const FORWARDED = 'forwarded';

export interface Forwarding {
  readonly subject: CustodySubject;
  readonly by: AuditParty;
  readonly receiverIds: readonly string[];
  readonly atMs: number;
  readonly signingKey: KeyObject;
  /** Of `signingKey`: an envelope that comes round again gets no second step. */
  readonly publicKey: KeyObject;
}

/**
 * The bytes of audit.json with one step for each receiver behind what is there, good or bad: a hub judges nobody's
 * steps, but its own fix what it found.
 * @param trail as the sender wrote it; undefined when there is none
 * @throws ENVELOPE_MALFORMED when the trail cannot be read
 */
export function withForwardedSteps(trail: Buffer | undefined, forwarding: Forwarding): Buffer {
  const { subject, by, atMs, signingKey } = forwarding;
  const entries = trail === undefined ? [] : parseAuditTrail(trail);
  const forwarded = receiversForwardedTo(entries, forwarding);
  const missing = forwarding.receiverIds.filter((receiverId) => !forwarded.has(receiverId));
  if (trail !== undefined && missing.length === 0) return trail;
  const steps = missing.map((receiverId) => ({
    event: FORWARDED,
    by: { id: by.id, ...(by.name === undefined ? {} : { name: by.name }) },
    to: { id: receiverId },
    timestamp: formatTimestamp(atMs),
  }));
  return formatAuditTrail(withSteps(entries, steps, subject, signingKey));
}

/** Those for whom our step stands there already, signed by us and chained. */
function receiversForwardedTo(
  entries: readonly AuditEntry[],
  { subject, by, publicKey }: Forwarding,
): ReadonlySet<string> {
  const { steps } = judgeCustody(entries, subject, [{ key: publicKey, id: by.id }]);
  return new Set(
    steps
      .filter(({ standing, entry }) => standing === 'proven' && entry.event === FORWARDED)
      .map(({ entry }) => entry.to?.id ?? ''),
  );
}
