/**
 * What a PACS reports about a transaction of ours (PS3.4 J.3.3), on whichever association it comes, and before the
 * answer to our request or long after. Commit point: the transaction's record, with what failed written before it; only
 * then does the PACS hear 0x0000. The first report counts; another one that says more failed is logged. An instance that it
 * does not mention is not committed to.
 */
import type { CommitmentReported } from '../dimse/commitment-service.js';
import { COMMITMENT_STATUS } from '../dimse/commitment-service.js';
import type { ServiceReply } from '../dimse/service.js';
import { FAILURE_REASONS, type FailedReference } from '../domain/commitment.js';
import {
  advanceTransaction,
  type CommitmentTransaction,
  transactionIdOf,
} from '../domain/commitment-transaction.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { advanceReception } from '../domain/reception.js';
import { toGatewayError } from '../errors/gateway-error.js';
import { takeLateReports } from './commitment-late.js';
import {
  readTransactionFailures,
  readTransactionReferences,
  writeTransactionFailures,
} from './commitment-transactions.js';
import { enqueueNext, type InboundParts } from './parts.js';

/**
 * @param mayReport whether the one who reports is this PACS
 * @returns what the PACS is answered: 0x0112 for a transaction that is none of ours, or not its own
 */
export async function acceptCommitmentReport(
  parts: InboundParts,
  reported: CommitmentReported,
  mayReport: (pacsName: string) => Promise<boolean>,
): Promise<ServiceReply> {
  const id = transactionIdOf(reported.transactionUid);
  const transaction = id === undefined ? undefined : await parts.transactions.read(id);
  if (transaction === undefined || !(await mayReport(transaction.pacs))) return UNKNOWN_TRANSACTION;
  if (transaction.progress === 'reported') await compareReport(parts, transaction, reported);
  else await keepReport(parts, transaction, reported);
  await takeLateReports(parts, transaction.receptionId, transaction.pacs);
  await wake(parts, transaction);
  return { status: COMMITMENT_STATUS.success };
}

const UNKNOWN_TRANSACTION: ServiceReply = {
  status: COMMITMENT_STATUS.noSuchInstance,
  comment: 'this transaction UID is not one that we asked you by',
};

async function keepReport(
  parts: InboundParts,
  { id, pacs, receptionId, referenceCount }: CommitmentTransaction,
  reported: CommitmentReported,
): Promise<void> {
  const failed = await failuresOf(parts, id, reported);
  await writeTransactionFailures(parts.transactions, id, failed);
  await parts.transactions.update(id, (record) =>
    advanceTransaction(record, { type: 'reported', failedCount: failed.length }),
  );
  const write = failed.length === 0 ? parts.log.info : parts.log.warn;
  write.call(parts.log, {
    event: 'commitment.received',
    reception: receptionId,
    pacs,
    transaction: id,
    instances: referenceCount,
    failed: failed.length,
  });
}

/** The same report may come twice, when our answer to the first was lost. */
async function compareReport(
  parts: InboundParts,
  { id, pacs, receptionId }: CommitmentTransaction,
  reported: CommitmentReported,
): Promise<void> {
  const known = await readTransactionFailures(parts.transactions, id);
  const isKnown = new Set(known.map(({ sopInstanceUid }) => sopInstanceUid));
  const failed = await failuresOf(parts, id, reported);
  const more = failed.filter(({ sopInstanceUid }) => !isKnown.has(sopInstanceUid)).length;
  if (more === 0) return;
  parts.log.error(
    { event: 'commitment.contradicted', reception: receptionId, pacs, transaction: id, failed: more },
    `${pacs} has reported on this before, and says now that ${more} more failed: look for them there`,
  );
}

async function failuresOf(
  parts: InboundParts,
  id: EnvelopeId,
  { committed, failed }: CommitmentReported,
): Promise<readonly FailedReference[]> {
  const isCommitted = new Set(committed.map(({ sopInstanceUid }) => sopInstanceUid));
  const reasons = new Map(failed.map(({ sopInstanceUid, reason }) => [sopInstanceUid, reason]));
  const references = await readTransactionReferences(parts.transactions, id);
  return references.flatMap((reference) => {
    const reason = reasons.get(reference.sopInstanceUid);
    if (reason === undefined && isCommitted.has(reference.sopInstanceUid)) return [];
    return [{ ...reference, reason: reason ?? FAILURE_REASONS.processingFailure }];
  });
}

/** The step that waits for it goes on at once. Where that fails it goes on a little later: it looks by itself. */
async function wake(parts: InboundParts, { receptionId, pacs }: CommitmentTransaction): Promise<void> {
  try {
    const reception = await parts.receptions.read(receptionId);
    if (reception === undefined) return;
    if (reception.parked?.code === 'COMMITMENT_PENDING') {
      const record = await parts.receptions.update(receptionId, (current) =>
        current.parked?.code === 'COMMITMENT_PENDING'
          ? advanceReception(current, { type: 'retried' }, parts.clock.now())
          : current,
      );
      await enqueueNext(parts, record);
    } else if (reception.pacs[pacs]?.commitment?.state === 'asked') {
      await parts.hurry({ stage: 'deliver', pacs }, receptionId);
    }
  } catch (error) {
    const { code, message } = toGatewayError(error);
    parts.log.warn({ event: 'commitment.not_woken', reception: receptionId, code }, message);
  }
}
