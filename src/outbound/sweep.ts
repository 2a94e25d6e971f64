/**
 * Forgets studies whose every delivery was verified long enough ago, and sealed envelopes with them. What is not
 * proved to be in the far PACS is never removed. Records and receipts are kept.
 */
import type { Delivery } from '../domain/delivery.js';
import { discardFolder } from '../spool/envelope-store.js';
import type { CompletionParts } from './complete-study.js';

/** @returns the number of studies forgotten */
export async function sweepStudies(parts: CompletionParts, keepMs: number): Promise<number> {
  let forgotten = 0;
  for (const key of await parts.studies.keys()) {
    const study = await parts.studies.find(key);
    if (study === undefined || study.gathering.instances.size > 0 || study.freezes.length === 0) continue;
    const planned = study.freezes.flatMap((freeze) => freeze.deliveries);
    const deliveries = await Promise.all(planned.map(({ id }) => lastOf(parts, id)));
    if (!deliveries.every((delivery) => isOld(delivery, parts.clock.now() - keepMs))) continue;
    for (const delivery of deliveries) {
      const outer = delivery?.sealed?.outer?.id;
      for (const id of [delivery?.id, outer]) {
        if (id !== undefined) await discardFolder(parts.layout, parts.layout.sealedEnvelope(id));
      }
    }
    if (!(await parts.studies.forget(key))) continue;
    parts.log.info({ event: 'study.swept', study: key });
    forgotten += 1;
  }
  return forgotten;
}

/** The delivery itself, or the last of those that were made to replace it. */
async function lastOf(parts: CompletionParts, id: Delivery['id']): Promise<Delivery | undefined> {
  const delivery = await parts.deliveries.read(id);
  return delivery?.replacedBy === undefined ? delivery : lastOf(parts, delivery.replacedBy);
}

function isOld(delivery: Delivery | undefined, beforeMs: number): boolean {
  const verifiedAtMs = delivery?.steps.findLast((step) => step.event === 'verified')?.atMs;
  return delivery?.receipt === 'verified' && verifiedAtMs !== undefined && verifiedAtMs <= beforeMs;
}
