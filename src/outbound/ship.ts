/**
 * ship: the sealed envelope → the peer, or the place where the peer takes it. Commit point: the far side's
 * acknowledgement, which it gives only when it has the whole envelope. A put that broke after its last byte is probed
 * first, not blindly repeated; one that broke before goes on where it stopped, wherever the far side allows it. One that
 * the far side would refuse as expired or for its key, or a hub because of another receiver, goes back to seal (withdraw.ts).
 */
import { advanceDelivery, type Delivery, envelopeIdOf } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { windowState } from '../domain/time-window.js';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import { afterProgress } from '../transport/broken-line.js';
import type { Outbox, OutgoingEnvelope } from '../transport/transport.js';
import { dueDelivery, type OutboundParts } from './parts.js';
import { isExpiring, isForRevokedKey, isHeldUpByOthers, withdraw } from './withdraw.js';

/**
 * @throws what `Outbox.put` throws; ENVELOPE_EXISTS when the peer holds another envelope under this id; OUTSIDE_WINDOW
 *   (fact `retryAfterMs`) while nothing may go to the peer, and when its window closes
 */
export async function ship(parts: OutboundParts, id: EnvelopeId, signal: AbortSignal): Promise<void> {
  const delivery = dueDelivery(await parts.deliveries.read(id), ['sealed', 'sent']);
  if (delivery !== undefined) {
    const outbox = parts.lines.outboxTo(delivery.peerId);
    let isUseless = false;
    await withinWindow(parts, delivery, signal, async (whileOpen) => {
      if (await arrivedBefore(parts, outbox, delivery, whileOpen)) return;
      isUseless = isExpiring(parts, delivery) || isForRevokedKey(parts, delivery);
      if (isUseless) return;
      await put(parts, outbox, delivery, whileOpen).catch((error: unknown) => {
        isUseless = isHeldUpByOthers(delivery, error);
        if (!isUseless) throw error;
      });
    });
    if (isUseless) return withdraw(parts, delivery);
    await noteAcknowledged(parts, delivery);
  }
  await parts.enqueue('receipt', id);
}

/** The last byte of its envelope has left. */
export async function noteSent(parts: OutboundParts, id: EnvelopeId): Promise<void> {
  await parts.deliveries.update(id, (record) =>
    record.carriage === 'sealed' ? advanceDelivery(record, { type: 'sent' }, parts.clock.now()) : record,
  );
}

/** The far side has all of it. */
export async function noteAcknowledged(
  parts: OutboundParts,
  { id, peerId }: Pick<Delivery, 'id' | 'peerId'>,
): Promise<void> {
  await parts.deliveries.update(id, (record) =>
    record.receipt === 'awaited' && record.carriage !== 'acknowledged'
      ? advanceDelivery(record, { type: 'acknowledged' }, parts.clock.now())
      : record,
  );
  parts.log.info({ event: 'envelope.acknowledged', delivery: id, peer: peerId });
}

/** Runs `work` while the peer's window is open, and stops it when the window closes. Urgent studies do not wait. */
async function withinWindow(
  parts: OutboundParts,
  { peerId, priority }: Delivery,
  signal: AbortSignal,
  work: (whileOpen: AbortSignal) => Promise<void>,
): Promise<void> {
  const windows = priority === 'stat' ? [] : (parts.peers.get(peerId)?.limits.windows ?? []);
  const state = windowState(windows, parts.clock.now());
  if (!state.open) throw closed(parts, windows, parts.clock.now());
  if (state.closesAtMs === Number.POSITIVE_INFINITY) {
    await work(signal);
    return;
  }
  const closing = new AbortController();
  const timer = setTimeout(() => closing.abort(), state.closesAtMs - parts.clock.now());
  try {
    await work(AbortSignal.any([signal, closing.signal]));
  } catch (error) {
    throw closing.signal.aborted && !signal.aborted ? closed(parts, windows, state.closesAtMs, error) : error;
  } finally {
    clearTimeout(timer);
  }
}

function closed(
  parts: OutboundParts,
  windows: Parameters<typeof windowState>[0],
  atMs: number,
  cause?: unknown,
): GatewayError {
  const state = windowState(windows, atMs);
  const opensAtMs = state.open ? atMs : state.opensAtMs;
  const opens = new Date(opensAtMs).toLocaleString('sv-SE', { dateStyle: 'short', timeStyle: 'short' });
  return new GatewayError('OUTSIDE_WINDOW', `waits for the time window of the peer, which opens ${opens}`, {
    cause,
    facts: { retryAfterMs: Math.max(0, opensAtMs - parts.clock.now()) },
  });
}

async function put(
  parts: OutboundParts,
  outbox: Outbox,
  delivery: Delivery,
  signal: AbortSignal,
): Promise<void> {
  const pace = parts.lines.paceTo(delivery.peerId);
  const before = delivery.sentBytes ?? 0;
  let resumed = 0;
  let bytes = 0;
  let sentBytes = before;
  try {
    await outbox.put(outgoing(parts, delivery), {
      signal,
      ...(pace === undefined ? {} : { pace }),
      onResume: (count) => {
        resumed = count;
      },
      onBytes: (count) => {
        bytes += count;
      },
      onSent: () => noteSent(parts, delivery.id),
    });
    sentBytes = resumed + bytes;
  } catch (error) {
    // What has left may have been lost; how much of it arrived shows at the next attempt.
    sentBytes = Math.max(before, resumed);
    // Another envelope under our id is a refusal; the same one is what we wanted.
    if (!(isGatewayError(error) && error.code === 'ENVELOPE_EXISTS')) {
      const isFirst = delivery.lastError?.stage !== 'ship';
      throw afterProgress(error, isFirst || resumed > before ? bytes : 0);
    }
    if (!(await arrivedBefore(parts, outbox, { ...delivery, carriage: 'sent' }, signal))) throw error;
  } finally {
    if (sentBytes !== before)
      await parts.deliveries.update(delivery.id, (record) => ({ ...record, sentBytes }));
    if (bytes > 0) parts.log.info({ event: 'envelope.bytes_sent', delivery: delivery.id, resumed, bytes });
  }
}

/** Whether the far side has exactly this envelope. Asks only where some put may have reached it. */
async function arrivedBefore(
  parts: OutboundParts,
  outbox: Outbox,
  delivery: Delivery,
  signal: AbortSignal,
): Promise<boolean> {
  // A hub has it for this peer too, when it came for another one of those that share it.
  const isShared = delivery.sealed?.envelopeId !== undefined;
  if (delivery.carriage !== 'sent' && !isShared) return false;
  const there = await outbox.probe(outgoing(parts, delivery), signal);
  if (there === 'other') {
    throw new GatewayError('ENVELOPE_EXISTS', 'the peer holds another envelope under this id');
  }
  return there === 'same';
}

/** What travels: the envelope, or the one around it. */
function outgoing(parts: OutboundParts, delivery: Delivery): OutgoingEnvelope {
  const { sealed } = delivery;
  if (sealed === undefined)
    throw new GatewayError('FAULT', 'a delivery that is not sealed cannot be shipped');
  const { id, manifestSha256 } = sealed.outer ?? { ...sealed, id: envelopeIdOf(delivery) };
  return { id, manifestSha256, folder: parts.layout.sealedEnvelope(id) };
}
