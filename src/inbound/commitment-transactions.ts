/** The documents of what we asked a PACS to commit to: the instances, and those that it does not commit to. */
import type { FailedReference, InstanceReference } from '../domain/commitment.js';
import type { CommitmentTransaction } from '../domain/commitment-transaction.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { RecordStore } from '../spool/record-store.js';

const REFERENCES_DOCUMENT = 'references.json';
const FAILED_DOCUMENT = 'failed.json';

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

/** Before the record says that it is reported. */
export function writeTransactionFailures(
  transactions: RecordStore<CommitmentTransaction>,
  id: EnvelopeId,
  failed: readonly FailedReference[],
): Promise<void> {
  return transactions.writeDocument(id, FAILED_DOCUMENT, JSON.stringify(failed));
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
