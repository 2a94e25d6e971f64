/**
 * A study is complete: fix the list of its instances and attachments and the deliveries that carry it (the freeze, which
 * is the commit point), then write one delivery record per peer and put each to work. What a crash leaves undone after
 * the freeze, `openDeliveries` makes up for: it derives everything from the freeze.
 */
import type { Delivery } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { type CompletionReason, type Freeze, isGathering, type Study } from '../domain/study.js';
import { GatewayError } from '../errors/gateway-error.js';
import { writeOwners } from '../spool/envelope-owners.js';
import { openDelivery } from './open-delivery.js';
import type { FreezeParts } from './parts.js';
import { contentOf, newDelivery, planFreeze } from './plan-freeze.js';
import { type SealedAhead, withEnvelopeAhead } from './seal-ahead.js';
import type { ShippedAhead } from './ship-ahead.js';

export interface CompletionParts extends FreezeParts {
  /** Envelopes of studies that are quiet; none are made ahead without it. */
  readonly sealedAhead?: SealedAhead;
  /** Those of them that have left but for their ends. */
  readonly shippedAhead?: ShippedAhead;
}

/**
 * Freezes what has gathered, and starts its deliveries. Of a study that has gone before, new instances come first; what
 * was attached to it still gathers then, and is the next freeze.
 * @throws ROUTE_MISSING when no route fits (the study stays as it is), STATE_INVALID when nothing has gathered
 */
export async function completeStudy(
  parts: CompletionParts,
  study: Study,
  reason: CompletionReason,
): Promise<readonly EnvelopeId[]> {
  if (!isGathering(study)) throw new GatewayError('STATE_INVALID', 'nothing of this study waits');
  await parts.refresh();
  const { basis, ...planned } = planFreeze(parts, study);
  const ahead = parts.sealedAhead?.take(study.key, basis);
  const freeze: Freeze = { ...(ahead?.plan ?? planned), frozenAtMs: parts.clock.now(), reason };
  try {
    await parts.studies.freeze(study.key, freeze);
  } catch (error) {
    ahead?.discard();
    throw error;
  }
  parts.log.info({
    event: 'study.completed',
    study: study.key,
    reason,
    instances: freeze.sopInstanceUids.length,
    attachments: freeze.attachments?.length ?? 0,
    deliveries: freeze.deliveries.map((delivery) => delivery.id),
  });
  await ahead?.place();
  await openDeliveries(parts, study, freeze);
  return freeze.deliveries.map((delivery) => delivery.id);
}

/** Writes the delivery records of a freeze that are not there yet, and puts them to work. Safe to repeat. */
export async function openDeliveries(parts: CompletionParts, study: Study, freeze: Freeze): Promise<void> {
  const content = contentOf(study, freeze);
  for (const planned of freeze.deliveries) {
    if ((await parts.deliveries.read(planned.id)) !== undefined) continue;
    const delivery = newDelivery(study, freeze, planned, content);
    if (delivery.shared !== undefined)
      await writeOwners(parts.layout, delivery.shared.id, delivery.shared.members);
    const isShipped = (record: Delivery) => parts.shippedAhead?.finish(record) ?? false;
    await openDelivery(parts, await withEnvelopeAhead(parts, delivery), content, isShipped);
  }
}
