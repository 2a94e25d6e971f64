/**
 * What a PACS reports about a transaction of ours (PS3.4 J.3.3), on whichever association it comes, and before the
 * answer to our request or long after. Commit point: the transaction's record, with what failed written before it; only
 * then does the PACS hear 0x0000. The first report counts. An instance that it does not mention is not committed to.
 */
import type { CommitmentReported } from '../dimse/commitment-service.js';
import { COMMITMENT_STATUS } from '../dimse/commitment-service.js';
import type { ServiceReply } from '../dimse/service.js';
import { FAILURE_REASONS, type FailedReference, type InstanceReference } from '../domain/commitment.js';
import {
  advanceTransaction,
  type CommitmentTransaction,
  transactionIdOf,
} from '../domain/commitment-transaction.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { advanceReception } from '../domain/reception.js';
import { GatewayError, toGatewayError } from '../errors/gateway-error.js';
import type { RecordStore } from '../spool/record-store.js';
import { enqueueNext, type InboundParts } from './parts.js';

const REFERENCES_DOCUMENT = 'references.json';
const FAILED_DOCUMENT = 'failed.json';

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
  if (transaction.progress !== 'reported') await keepReport(parts, transaction, reported);
  await wake(parts, transaction);
  return { status: COMMITMENT_STATUS.success };
}

const UNKNOWN_TRANSACTION: ServiceReply = {
  status: COMMITMENT_STATUS.noSuchInstance,
  comment: 'this transaction UID is not one that we asked you by',
};

/** Starts a transaction: what is asked is durable before it is asked. */
export async function prepareTransaction(
  transactions: RecordStore<CommitmentTransaction>,
  transaction: Omit<CommitmentTransaction, 'revision' | 'progress' | 'referenceCount'>,
  references: readonly InstanceReference[],
): Promise<void> {
  await transactions.writeDocument(transaction.id, REFERENCES_DOCUMENT, JSON.stringify(references));
  await transactions.create({
    ...transaction,
    revision: 1,
    progress: 'prepared',
    referenceCount: references.length,
  });
}

/** What a transaction asked for. @throws FAULT when the list is missing */
export function readTransactionReferences(
  transactions: RecordStore<CommitmentTransaction>,
  id: EnvelopeId,
): Promise<readonly InstanceReference[]> {
  return readDocument<InstanceReference>(transactions, id, REFERENCES_DOCUMENT);
}

/** What a reported transaction did not come to. @throws FAULT when the list is missing */
export function readTransactionFailures(
  transactions: RecordStore<CommitmentTransaction>,
  id: EnvelopeId,
): Promise<readonly FailedReference[]> {
  return readDocument<FailedReference>(transactions, id, FAILED_DOCUMENT);
}

async function readDocument<T>(
  transactions: RecordStore<CommitmentTransaction>,
  id: EnvelopeId,
  name: string,
): Promise<readonly T[]> {
  const bytes = await transactions.readDocument(id, name);
  if (bytes === undefined) throw new GatewayError('FAULT', `${name} of a transaction is missing`);
  return JSON.parse(bytes.toString('utf8')) as readonly T[];
}

async function keepReport(
  parts: InboundParts,
  { id, pacs, receptionId, referenceCount }: CommitmentTransaction,
  reported: CommitmentReported,
): Promise<void> {
  const failed = await failuresOf(parts, id, reported);
  await parts.transactions.writeDocument(id, FAILED_DOCUMENT, JSON.stringify(failed));
  await parts.transactions.update(id, (record) =>
    advanceTransaction(record, { type: 'reported', failedCount: failed.length }),
  );
  parts.log.info({
    event: 'commitment.received',
    reception: receptionId,
    pacs,
    transaction: id,
    instances: referenceCount,
    failed: failed.length,
  });
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
