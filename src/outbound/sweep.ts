/**
 * Forgets studies whose every delivery ended long enough ago, with their attachments and sealed envelopes. What is not proved
 * to be in the far PACS is never removed, unless the config says that this peer proves nothing. Records and receipts are kept.
 */
import { type Delivery, envelopesOf, isEnded } from '../domain/delivery.js';
import { isGathering } from '../domain/study.js';
import { discardFolder } from '../spool/envelope-store.js';
import type { CompletionParts } from './complete-study.js';

/** @returns the number of studies forgotten */
export async function sweepStudies(parts: CompletionParts, keepMs: number): Promise<number> {
  let forgotten = 0;
  for (const key of await parts.studies.keys()) {
    const study = await parts.studies.find(key);
    if (study === undefined || isGathering(study) || study.freezes.length === 0) continue;
    const planned = study.freezes.flatMap((freeze) => freeze.deliveries);
    const chains = await Promise.all(planned.map(({ id }) => chainOf(parts, id)));
    const beforeMs = parts.clock.now() - keepMs;
    if (!chains.every((chain) => isOld(chain.at(-1), beforeMs))) continue;
    for (const delivery of chains.flat()) await discardEnvelopes(parts, delivery);
    if (!(await parts.studies.forget(key))) continue;
    parts.log.info({ event: 'study.swept', study: key });
    forgotten += 1;
  }
  return forgotten;
}

/** The delivery, and those that were made to replace it, the last one last. */
async function chainOf(parts: CompletionParts, id: Delivery['id']): Promise<readonly Delivery[]> {
  const delivery = await parts.deliveries.read(id);
  if (delivery === undefined) return [];
  return [delivery, ...(delivery.replacedBy === undefined ? [] : await chainOf(parts, delivery.replacedBy))];
}

/** Those of deliveries that share one are discarded once; that is no error. */
async function discardEnvelopes(parts: CompletionParts, delivery: Delivery): Promise<void> {
  const ids = envelopesOf(delivery).map((envelope) => envelope.id);
  const outer = delivery.sealed?.outer?.id;
  for (const id of outer === undefined ? ids : [...ids, outer]) {
    await discardFolder(parts.layout, parts.layout.sealedEnvelope(id));
  }
}

function isOld(delivery: Delivery | undefined, beforeMs: number): boolean {
  if (delivery === undefined || !isEnded(delivery)) return false;
  const endedAtMs = delivery.steps.findLast(({ event }) => event === delivery.receipt)?.atMs;
  return endedAtMs !== undefined && endedAtMs <= beforeMs;
}
