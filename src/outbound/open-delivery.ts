/** A delivery begins: what it carries is written first, then its record, which is the commit point; then it is put to work. */
import { type Delivery, nextDeliveryStage } from '../domain/delivery.js';
import { type FrozenContent, writeFrozenContent } from './frozen-content.js';
import type { OutboundParts } from './parts.js';

/**
 * Does nothing when it has begun before.
 * @param isAtWork whether its next step is being done already, and is not for the queue
 */
export async function openDelivery(
  parts: OutboundParts,
  delivery: Delivery,
  content: FrozenContent,
  isAtWork: (delivery: Delivery) => boolean = () => false,
): Promise<void> {
  await writeFrozenContent(parts, delivery.id, content);
  if (!(await parts.deliveries.create(delivery))) return;
  parts.log.info({ event: 'delivery.opened', delivery: delivery.id, peer: delivery.peerId });
  if (isAtWork(delivery)) return;
  await parts.enqueue(nextDeliveryStage(delivery) ?? 'pack', delivery.id);
}
