/**
 * Derives from the disk what is still to be done, and puts it on the queues. Run at start and now and then: it makes
 * up for a crash between two lines, and for a Redis that forgot everything. Adding what is there already is harmless.
 */
import { type Delivery, nextDeliveryStage } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { windowState } from '../domain/time-window.js';
import { type CompletionParts, openDeliveries } from './complete-study.js';
import type { OutboundParts } from './parts.js';
import { openReplacement } from './retry.js';

/**
 * Puts unfinished deliveries to work.
 * @param ids those that may be unfinished; what they are is read from the disk
 * @returns how many there are
 */
export async function recoverDeliveries(parts: CompletionParts, ids: readonly EnvelopeId[]): Promise<number> {
  let unfinished = 0;
  for (const id of ids) {
    const delivery = await parts.deliveries.read(id);
    if (delivery === undefined) continue;
    const { replacedBy } = delivery;
    if (replacedBy !== undefined && (await parts.deliveries.read(replacedBy)) === undefined) {
      await openReplacement(parts, delivery, replacedBy);
    }
    const stage = nextDeliveryStage(delivery);
    if (stage === undefined) continue;
    unfinished += 1;
    if (parts.shippedAhead?.isUnderWay(id) === true) continue;
    if (waitsInVain(parts, delivery)) await parts.hurry(stage, id);
    else await parts.enqueue(stage, id);
  }
  return unfinished;
}

/** For a time window that is open by now, or that the config has no more. */
function waitsInVain(parts: OutboundParts, { peerId, lastError }: Delivery): boolean {
  if (lastError?.code !== 'OUTSIDE_WINDOW') return false;
  return windowState(parts.peers.get(peerId)?.limits.windows ?? [], parts.clock.now()).open;
}

/** Writes the delivery records that a crash kept from following their freeze. Only at start. */
export async function recoverFreezes(parts: CompletionParts): Promise<void> {
  for (const key of await parts.studies.keys()) {
    const study = await parts.studies.find(key);
    for (const freeze of study?.freezes ?? []) {
      if (study !== undefined) await openDeliveries(parts, study, freeze);
    }
  }
}
