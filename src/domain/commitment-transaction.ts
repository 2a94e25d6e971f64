/**
 * What we asked a PACS to commit to, until it has reported: prepared → asked → reported. Its id is the transaction UID
 * (PS3.5 §B.2: a UUID below 2.25), so that a report finds its record. The instances stand in documents beside it.
 */
import { type EnvelopeId, isEnvelopeId } from './envelope-id.js';
import { isUid } from './uid.js';

export interface CommitmentTransaction {
  readonly id: EnvelopeId;
  readonly revision: number;
  readonly receptionId: EnvelopeId;
  /** By its name in the config. */
  readonly pacs: string;
  readonly referenceCount: number;
  readonly createdAtMs: number;
  /** `prepared`: no answer to our request yet; the report may come before it. */
  readonly progress: 'prepared' | 'asked' | 'reported';
  /** Instances that the PACS does not commit to, or does not mention; present when it has reported. */
  readonly failedCount?: number;
}

export type CommitmentTransactionEvent =
  | { readonly type: 'asked' }
  | { readonly type: 'reported'; readonly failedCount: number };

/** The record after an event; the very same record when the event changes nothing: the first report counts. Pure. */
export function advanceTransaction(
  transaction: CommitmentTransaction,
  event: CommitmentTransactionEvent,
): CommitmentTransaction {
  if (transaction.progress === 'reported') return transaction;
  if (event.type === 'reported')
    return { ...transaction, progress: 'reported', failedCount: event.failedCount };
  return transaction.progress === 'asked' ? transaction : { ...transaction, progress: 'asked' };
}

const UUID_ROOT = '2.25.';

export function transactionUidOf(id: EnvelopeId): string {
  return `${UUID_ROOT}${BigInt(`0x${id.replaceAll('-', '')}`)}`;
}

/** The record that a transaction UID names; undefined when it is none of ours. */
export function transactionIdOf(transactionUid: string): EnvelopeId | undefined {
  if (!isUid(transactionUid) || !transactionUid.startsWith(UUID_ROOT)) return undefined;
  const digits = transactionUid.slice(UUID_ROOT.length);
  if (digits.includes('.')) return undefined;
  const hex = BigInt(digits).toString(16).padStart(32, '0');
  const id = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join(
    '-',
  );
  return isEnvelopeId(id) ? id : undefined;
}
