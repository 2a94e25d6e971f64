/**
 * An operator says: again. A parked delivery goes on where it stopped, under a new envelope id if the old one is taken; one whose receipt does not come is sent again if
 * it is not there any more. A refused one becomes a new delivery of the same frozen list to that peer alone, under a new
 * id, since the old envelope was judged; the new record names the one that it replaces.
 */
import { randomUUID } from 'node:crypto';
import { advanceDelivery, type Delivery, deliveryState, nextDeliveryStage } from '../domain/delivery.js';
import { type EnvelopeId, parseEnvelopeId } from '../domain/envelope-id.js';
import { GatewayError } from '../errors/gateway-error.js';
import { readFrozenContent } from './frozen-content.js';
import { openDelivery } from './open-delivery.js';
import type { OutboundParts } from './parts.js';
import { withdraw } from './withdraw.js';

/**
 * @returns the id of the delivery that goes on
 * @throws ENVELOPE_NOT_FOUND, STATE_INVALID when it waits for no operator
 */
export async function retryDelivery(parts: OutboundParts, id: EnvelopeId): Promise<EnvelopeId> {
  const delivery = await parts.deliveries.read(id);
  if (delivery === undefined) throw new GatewayError('ENVELOPE_NOT_FOUND', 'there is no such delivery');
  const state = deliveryState(delivery);
  if (state === 'refused') return replaceDelivery(parts, delivery);
  if (state !== 'parked' && state !== 'acknowledged')
    throw new GatewayError('STATE_INVALID', `a delivery that is ${state} needs no retry`);
  // Under its id the far side has another envelope, and will not take this one, however often it comes.
  if (delivery.parked?.code === 'ENVELOPE_EXISTS') {
    await withdraw(parts, delivery);
    return id;
  }
  const record = await parts.deliveries.update(id, (current) =>
    advanceDelivery(current, { type: 'retried' }, parts.clock.now()),
  );
  parts.log.info({ event: 'delivery.retried', delivery: id });
  const stage = nextDeliveryStage(record);
  if (stage !== undefined) await parts.enqueue(stage, id);
  return id;
}

async function replaceDelivery(parts: OutboundParts, refused: Delivery): Promise<EnvelopeId> {
  if (refused.replacedBy !== undefined) {
    throw new GatewayError('STATE_INVALID', 'this delivery was sent again before, under another id');
  }
  const id = parseEnvelopeId(randomUUID());
  // Claimed in the record first: two operators, or two clicks, make one new delivery.
  const claimed = await parts.deliveries.update(refused.id, (current) =>
    current.replacedBy === undefined ? { ...current, replacedBy: id } : current,
  );
  if (claimed.replacedBy !== id)
    throw new GatewayError('STATE_INVALID', 'this delivery is being sent again already');
  await openReplacement(parts, claimed, id);
  return id;
}

/** Opens the delivery that replaces a refused one. Safe to repeat: `recover` calls it after a crash. */
export async function openReplacement(
  parts: OutboundParts,
  refused: Delivery,
  id: EnvelopeId,
): Promise<void> {
  const {
    shared: _shared,
    sealed: _sealed,
    resealAs: _resealAs,
    formerEnvelopes: _formerEnvelopes,
    refusal: _refusal,
    replacedBy: _replacedBy,
    lastError: _lastError,
    sentBytes: _sentBytes,
    ...kept
  } = refused;
  await openDelivery(
    parts,
    {
      ...kept,
      id,
      replaces: refused.id,
      createdAtMs: parts.clock.now(),
      carriage: 'accepted',
      receipt: 'awaited',
      steps: [],
    },
    await readFrozenContent(parts, refused.id),
  );
}
