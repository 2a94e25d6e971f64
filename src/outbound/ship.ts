/**
 * ship: the sealed envelope → the peer. Commit point: the peer's acknowledgement, which it gives only when the envelope
 * is durable there. A put that broke after its last byte is probed first, not blindly repeated.
 */
import { advanceDelivery, type Delivery } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import type { Transport } from '../transport/transport.js';
import { dueDelivery, type OutboundParts } from './parts.js';

/** @throws what `Transport.put` throws; ENVELOPE_EXISTS when the peer holds another envelope under this id */
export async function ship(parts: OutboundParts, id: EnvelopeId, signal: AbortSignal): Promise<void> {
  const delivery = dueDelivery(await parts.deliveries.read(id), ['sealed', 'sent']);
  if (delivery !== undefined) {
    const transport = parts.transportTo(delivery.peerId);
    if (!(await arrivedBefore(transport, delivery, signal))) await put(parts, transport, delivery, signal);
    await parts.deliveries.update(id, (record) =>
      record.receipt === 'awaited' && record.carriage !== 'acknowledged'
        ? advanceDelivery(record, { type: 'acknowledged' }, parts.clock.now())
        : record,
    );
    parts.log.info({ event: 'envelope.acknowledged', delivery: id, peer: delivery.peerId });
  }
  await parts.enqueue('receipt', id);
}

async function put(
  parts: OutboundParts,
  transport: Transport,
  delivery: Delivery,
  signal: AbortSignal,
): Promise<void> {
  const folder = parts.layout.sealedEnvelope(delivery.id);
  try {
    await transport.put(
      { id: delivery.id, folder },
      {
        signal,
        onSent: async () => {
          await parts.deliveries.update(delivery.id, (record) =>
            record.carriage === 'sealed'
              ? advanceDelivery(record, { type: 'sent' }, parts.clock.now())
              : record,
          );
        },
      },
    );
  } catch (error) {
    // Another envelope under our id is a refusal; the same one is what we wanted.
    if (isGatewayError(error) && error.code === 'ENVELOPE_EXISTS') {
      if (await arrivedBefore(transport, { ...delivery, carriage: 'sent' }, signal)) return;
    }
    throw error;
  }
}

/** Whether the peer has exactly this envelope. Asks only where an earlier put may have reached it. */
async function arrivedBefore(
  transport: Transport,
  delivery: Delivery,
  signal: AbortSignal,
): Promise<boolean> {
  if (delivery.carriage !== 'sent') return false;
  const there = await transport.probe(delivery.id, signal);
  if (there === undefined) return false;
  if (there.manifestSha256 !== delivery.sealed?.manifestSha256) {
    throw new GatewayError('ENVELOPE_EXISTS', 'the peer holds another envelope under this id');
  }
  return true;
}
