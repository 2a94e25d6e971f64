/**
 * The same envelope again, when we have told its sender how it ended: then the sender does not know, and hears it again.
 * Where nothing has been told yet, what is under way will tell.
 */
import type { EnvelopeId } from '../domain/envelope-id.js';
import { advanceReception, type Reception } from '../domain/reception.js';
import { enqueueNext, type InboundParts } from './parts.js';

/** Does nothing for a reception that we do not have, and for one that was a receipt itself. */
export async function remind(parts: InboundParts, id: EnvelopeId): Promise<void> {
  const known = await parts.receptions.read(id);
  if (known === undefined || !hasTold(known)) return;
  const record = await parts.receptions.update(id, (current) =>
    hasTold(current) ? advanceReception(current, { type: 'reminded' }, parts.clock.now()) : current,
  );
  parts.log.info({ event: 'receipt.asked_again', reception: id, sender: record.senderId });
  await enqueueNext(parts, record).catch((error: unknown) => {
    parts.log.warn({ event: 'queue.add_failed', reception: id, reason: String(error) });
  });
}

/** How often it has been asked for again. */
export function reminders({ steps }: Reception): number {
  return steps.filter(({ event }) => event === 'reminded').length;
}

function hasTold({ receiptFor, progress, refusalConfirmed }: Reception): boolean {
  return receiptFor === undefined && (progress === 'confirmed' || refusalConfirmed === true);
}
