/** A delivery begins: what it carries is written first, then its record, which is the commit point; then it is put to work. */
import { type Delivery, nextDeliveryStage } from '../domain/delivery.js';
import { type FrozenContent, writeFrozenContent } from './frozen-content.js';
import type { OutboundParts } from './parts.js';

/** Does nothing when it has begun before. */
export async function openDelivery(
  parts: OutboundParts,
  delivery: Delivery,
  content: FrozenContent,
): Promise<void> {
  await writeFrozenContent(parts, delivery.id, content);
  if (!(await parts.deliveries.create(delivery))) return;
  parts.log.info({ event: 'delivery.opened', delivery: delivery.id, peer: delivery.peerId });
  await parts.enqueue(nextDeliveryStage(delivery) ?? 'pack', delivery.id);
}
