/** What is done for studies that are still quiet, as far as the config wants it. */
import type { Settings } from '../config/settings.js';
import type { Delivery } from '../domain/delivery.js';
import type { CompletionParts } from '../outbound/complete-study.js';
import type { FreezeParts } from '../outbound/parts.js';
import { createSealedAhead } from '../outbound/seal-ahead.js';
import { createShippedAhead } from '../outbound/ship-ahead.js';
import type { RecordIndex } from './record-index.js';

/** @param deliveries while one for a peer waits, nothing is sent to it ahead */
export function createAhead(
  parts: FreezeParts,
  wish: Settings['completion']['ahead'],
  deliveries: RecordIndex<Delivery>,
): Pick<CompletionParts, 'sealedAhead' | 'shippedAhead'> {
  if (wish === 'no') return {};
  if (wish === 'seal') return { sealedAhead: createSealedAhead(parts) };
  const isAwaited = (peerId: string) =>
    deliveries
      .all()
      .some(
        ({ peerId: other, carriage, receipt }) =>
          other === peerId && carriage !== 'acknowledged' && receipt === 'awaited',
      );
  const shippedAhead = createShippedAhead(parts, { isAwaited });
  return { sealedAhead: createSealedAhead(parts, shippedAhead), shippedAhead };
}
