/**
 * What a failed step does to the record. A failure of the envelope itself sends it to quarantine, and its sender gets a
 * refusal receipt; what a PACS did, or did not do, is that PACS's outcome; everything else parks the reception for an
 * operator, and its sender hears nothing: it is our own affair.
 */
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { LastError, Parking } from '../domain/parking.js';
import { advanceReception, isDeliverable, type Progress, type Reception } from '../domain/reception.js';
import type { DueStep } from '../domain/reception-steps.js';
import type { ErrorCode } from '../errors/codes.js';
import type { GatewayError } from '../errors/gateway-error.js';
import { discardFolder, moveFolder } from '../spool/envelope-store.js';
import { settle } from './deliver.js';
import { enqueueNext, type InboundParts } from './parts.js';

/** The envelope is to blame, so that trying it again cannot help. */
const ENVELOPE_FAILURES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ENVELOPE_MALFORMED',
  'MANIFEST_INVALID',
  'METADATA_INVALID',
  'ARCHIVE_UNSAFE',
  'ENVELOPE_TOO_LARGE',
  'ENCRYPTION_PARAMETERS_INVALID',
  'ASSERTION_INVALID',
  'ASSERTION_EXPIRED',
  'ENVELOPE_TOO_OLD',
  'ENVELOPE_FROM_FUTURE',
  'SIGNER_NOT_PINNED',
  'RECIPIENT_MISMATCH',
  'PAYLOAD_HASH_MISMATCH',
  'PAYLOAD_DECRYPT_FAILED',
  'KEY_REVOKED',
  'PAYLOAD_INCONSISTENT',
]);

/** The PACS is to blame: it was asked and said no, or could not be reached for days. */
const PACS_FAILURES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'PACS_UNREACHABLE',
  'PACS_BUSY',
  'PACS_REFUSED',
  'CONTEXT_UNSUPPORTED',
  'STORE_UNANSWERED',
  'COMMITMENT_FAILED',
]);

/** Steps that are done once for each envelope, and where it is then. */
const DONE_ONCE: Partial<Record<DueStep['stage'], Progress>> = { open: 'received', verify: 'opened' };

/** Notes that a step failed and when it is tried again. */
export async function noteReceptionFailure(
  parts: InboundParts,
  step: DueStep,
  id: EnvelopeId,
  error: GatewayError,
  attempt: number,
  nextAttemptAtMs: number,
): Promise<void> {
  const lastError: LastError = { ...parking(parts, step, error), attempt, nextAttemptAtMs };
  await parts.receptions.update(id, (record) => {
    const outcome = step.pacs === undefined ? undefined : record.pacs[step.pacs];
    if (step.pacs !== undefined && outcome !== undefined && isDeliverable(record)) {
      const event = { type: 'pacs', name: step.pacs, outcome: { ...outcome, lastError } } as const;
      return advanceReception(record, event, parts.clock.now());
    }
    return advanceReception(record, { type: 'failed', error: lastError }, parts.clock.now());
  });
}

/** Ends a step that will not be tried again by itself; not where another run has done it meanwhile. */
export async function giveUpReception(
  parts: InboundParts,
  step: DueStep,
  id: EnvelopeId,
  error: GatewayError,
): Promise<void> {
  const reception = await parts.receptions.read(id);
  if (reception !== undefined && isPassed(reception, step)) {
    parts.log.info({ event: 'stage.passed', reception: id, stage: step.stage, code: error.code });
    return;
  }
  const parked = parking(parts, step, error);
  if (step.stage === 'deliver' && step.pacs !== undefined && PACS_FAILURES.has(error.code)) {
    await refuseByPacs(parts, step.pacs, id, parked);
  } else if ((step.stage === 'open' || step.stage === 'verify') && ENVELOPE_FAILURES.has(error.code)) {
    await quarantine(parts, id, parked);
  } else {
    await parts.receptions.update(id, (record) =>
      isPassed(record, step)
        ? record
        : advanceReception(record, { type: 'parked', parking: parked }, parts.clock.now()),
    );
    parts.log.warn({ event: 'reception.parked', reception: id, stage: step.stage, code: error.code });
  }
}

async function quarantine(parts: InboundParts, id: EnvelopeId, parked: Parking): Promise<void> {
  await discardFolder(parts.layout, parts.layout.stagingOf(id));
  await moveFolder(parts.layout.inboxEnvelope(id), parts.layout.quarantinedEnvelope(id));
  const record = await parts.receptions.update(id, (current) =>
    advanceReception(current, { type: 'quarantined', parking: parked }, parts.clock.now()),
  );
  parts.log.warn({
    event: 'reception.quarantined',
    reception: id,
    sender: record.senderId,
    code: parked.code,
  });
  await enqueueNext(parts, record);
}

async function refuseByPacs(
  parts: InboundParts,
  name: string,
  id: EnvelopeId,
  parked: Parking,
): Promise<void> {
  await parts.receptions.update(id, (record) => {
    const outcome = record.pacs[name];
    if (outcome === undefined || !isDeliverable(record)) return record;
    const lastError = { ...parked, attempt: 0 };
    return advanceReception(
      record,
      { type: 'pacs', name, outcome: { ...outcome, state: 'refused', lastError } },
      parts.clock.now(),
    );
  });
  parts.log.warn({ event: 'reception.refused_by_pacs', reception: id, pacs: name, code: parked.code });
  await settle(parts, id);
}

/** The envelope is further than where this step is due. */
function isPassed({ progress }: Reception, { stage }: DueStep): boolean {
  const dueAt = DONE_ONCE[stage];
  return dueAt !== undefined && progress !== dueAt;
}

function parking(parts: InboundParts, step: DueStep, error: GatewayError): Parking {
  return { code: error.code, message: error.message, stage: step.stage, atMs: parts.clock.now() };
}
