/** What a failed step does to the delivery's record: a note while it is tried again, parked when it is not. */
import { advanceDelivery, nextDeliveryStage } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { GatewayError } from '../errors/gateway-error.js';
import type { OutboundParts, OutboundStage } from './parts.js';
import { wakeMembers } from './seal-shared.js';

/** Asking for a receipt that is not there yet is no failure. */
const QUIET_STAGE: OutboundStage = 'receipt';

export async function noteDeliveryFailure(
  parts: OutboundParts,
  stage: OutboundStage,
  id: EnvelopeId,
  error: GatewayError,
  attempt: number,
  nextAttemptAtMs: number,
): Promise<void> {
  if (stage === QUIET_STAGE && error.code === 'PEER_BUSY') return;
  const { code, message } = error;
  const atMs = parts.clock.now();
  await parts.deliveries.update(id, (record) =>
    advanceDelivery(
      record,
      { type: 'failed', error: { code, message, stage, atMs, attempt, nextAttemptAtMs } },
      atMs,
    ),
  );
}

export async function parkDelivery(
  parts: OutboundParts,
  stage: OutboundStage,
  id: EnvelopeId,
  error: GatewayError,
): Promise<void> {
  const atMs = parts.clock.now();
  const parked = await parts.deliveries.update(id, (record) =>
    // A receipt may have come while the step was failing, or another run have done it; then nothing is stuck.
    nextDeliveryStage(record) !== stage
      ? record
      : advanceDelivery(
          record,
          { type: 'parked', parking: { code: error.code, message: error.message, stage, atMs } },
          atMs,
        ),
  );
  if (parked.parked === undefined) {
    parts.log.info({ event: 'stage.passed', delivery: id, stage, code: error.code });
    return;
  }
  parts.log.warn({ event: 'delivery.parked', delivery: id, stage, code: error.code });
  // What is not told now, recovery makes up for.
  await wakeMembers(parts, parked).catch((error: unknown) => {
    parts.log.warn({ event: 'queue.add_failed', delivery: id, reason: String(error) });
  });
}
