/**
 * What a receipt tells of the way there: the audit trail in it must begin with the steps that the envelope left with, as
 * they were, and hold together up to the receiver's own. A trail that does not is told, and refuses nothing: whoever
 * passes an envelope on can garble audit.json, and must not be able to make a study that was stored look undelivered.
 */
import { isGatewayError } from '../errors/gateway-error.js';
import { type AuditEntry, parseAuditTrail } from '../jmix/audit-trail.js';
import { beginsWith, type Custody, judgeCustody, type KnownKey } from '../jmix/custody.js';
import type { CustodySubject } from '../jmix/custody-step.js';
import type { Receipt } from './receipt.js';

export interface ReceiptCustody extends Custody {
  /** `unchained`: the receiver's software chains no steps, so the trail says nothing of the way. */
  readonly state: 'whole' | 'broken' | 'unchained';
  /** What is wrong, for people; present when broken. */
  readonly problem?: string;
}

/**
 * @param start the trail that the envelope left with, or came with; empty when it is not known
 * @param known keys of the parties; the receiver's by its id
 */
export function judgeReceiptTrail(
  receipt: Receipt,
  start: readonly AuditEntry[],
  subject: CustodySubject,
  known: readonly KnownKey[],
): ReceiptCustody {
  const trail = trailOf(receipt);
  if (trail === undefined) return broken({ result: 'failed', steps: [] }, 'the trail cannot be read');
  const custody = judgeCustody(trail, subject, known);
  const own = custody.steps.filter(({ entry }) => entry.by.id === receipt.receiver.id);
  if (!own.some(({ chained, signature }) => chained || signature === 'failed'))
    return { ...custody, state: 'unchained' };
  if (!beginsWith(trail, start))
    return broken(custody, 'a step that the envelope left with was changed or left out');
  if (custody.brokenAt !== undefined) return broken(custody, `step ${custody.brokenAt + 1} does not hold`);
  return { ...custody, state: 'whole' };
}

function broken(custody: Custody, problem: string): ReceiptCustody {
  return { ...custody, result: 'failed', state: 'broken', problem };
}

function trailOf({ audit }: Receipt): readonly AuditEntry[] | undefined {
  try {
    return parseAuditTrail(Buffer.from(JSON.stringify({ audit })));
  } catch (error) {
    if (isGatewayError(error)) return undefined;
    throw error;
  }
}
