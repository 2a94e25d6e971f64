/**
 * A report that comes when the delivery has gone on without it (`offered`, after `commitmentTimeoutMs`). A PACS that
 * commits to all of it then is noted. One that does not have all of it has refused the rest, loudly, although the sender
 * may have been told otherwise: an operator's retry sends those again. The receipt that has gone out stays as it is. While
 * the receipt is being made the report waits; `confirm` takes it in afterwards.
 */
import type { FailedReference } from '../domain/commitment.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import {
  advanceReception,
  isDeliverable,
  type PacsCommitment,
  type PacsOutcome,
  type Reception,
} from '../domain/reception.js';
import { appendJournalDurably } from '../spool/journal.js';
import { describeUncommitted } from './commitment-state.js';
import { readTransactionFailures, readTransactionReferences } from './commitment-transactions.js';
import { type JournalledOutcome, journalName, readEarlierRuns } from './outcome-journal.js';
import { enqueueNext, type InboundParts } from './parts.js';

const REFUSED = {
  result: 'refused',
  code: 'COMMITMENT_FAILED',
  reason: 'PACS does not commit to it',
} as const;

/** Takes in what this PACS has reported since its delivery ended; does nothing while one is under way. */
export async function takeLateReports(parts: InboundParts, id: EnvelopeId, pacsName: string): Promise<void> {
  const reception = await parts.receptions.read(id);
  if (reception === undefined) return;
  for (const transactionId of endedOutcome(reception, pacsName)?.commitment?.transactions ?? []) {
    const transaction = await parts.transactions.read(transactionId);
    if (transaction?.progress === 'reported') await takeIn(parts, id, pacsName, transactionId);
  }
}

/** What came of a PACS that nothing is just being sent to, unless a receipt about it is being made. */
function endedOutcome(reception: Reception, pacsName: string): PacsOutcome | undefined {
  const outcome = reception.pacs[pacsName];
  return !isDeliverable(reception) || outcome?.state === 'pending' ? undefined : outcome;
}

async function takeIn(
  parts: InboundParts,
  id: EnvelopeId,
  pacsName: string,
  transactionId: EnvelopeId,
): Promise<void> {
  const failed = await readTransactionFailures(parts.transactions, transactionId);
  const isFailed = new Set(failed.map(({ sopInstanceUid }) => sopInstanceUid));
  const references = await readTransactionReferences(parts.transactions, transactionId);
  const path = parts.receptions.documentPath(id, journalName(pacsName));
  const outcomes = new Map((await readEarlierRuns(path)).outcomes);
  const entries = references.flatMap(({ sopInstanceUid }): JournalledOutcome[] => {
    if (isFailed.has(sopInstanceUid)) return [{ sopInstanceUid, ...REFUSED }];
    const outcome = outcomes.get(sopInstanceUid);
    return outcome === undefined ? [] : [{ ...outcome, committed: true }];
  });
  for (const entry of entries) outcomes.set(entry.sopInstanceUid, entry);
  // Whoever says "again" from here on finds the report where it was, or what it said in the journal.
  if (failed.length > 0 && !(await refuse(parts, id, pacsName, failed, [...outcomes.values()]))) return;
  await appendJournalDurably(path, entries);
  // Read anew: reports on other parts of the study may be taken in at the same time.
  const journalled = [...(await readEarlierRuns(path)).outcomes.values()];
  const committedCount = journalled.filter(({ committed }) => committed === true).length;
  const atMs = parts.clock.now();
  const record = await change(parts, id, pacsName, ({ instanceCount }, { commitment, ...outcome }) => ({
    ...outcome,
    ...(commitment === undefined
      ? {}
      : { commitment: taken(commitment, transactionId, committedCount === instanceCount, atMs) }),
  }));
  if (failed.length > 0) await enqueueNext(parts, record);
  else if (record.pacs[pacsName]?.commitment?.state === 'committed')
    parts.log.info({ event: 'study.committed', reception: id, pacs: pacsName });
}

/** @returns whether it was refused; if not, its delivery goes on, and takes the report in itself */
async function refuse(
  parts: InboundParts,
  id: EnvelopeId,
  pacsName: string,
  failed: readonly FailedReference[],
  outcomes: readonly JournalledOutcome[],
): Promise<boolean> {
  const atMs = parts.clock.now();
  const message = `${describeUncommitted(pacsName, failed)}; it says so after the delivery had ended`;
  const refusedCount = outcomes.filter(({ result }) => result === 'refused').length;
  const record = await change(parts, id, pacsName, (_reception, outcome) => ({
    ...outcome,
    state: 'refused',
    storedCount: outcomes.length - refusedCount,
    refusedCount,
    lastError: { code: 'COMMITMENT_FAILED', message, stage: 'deliver', atMs, attempt: 0 },
    commitment: { ...outcome.commitment, state: 'failed', atMs },
  }));
  if (endedOutcome(record, pacsName) === undefined) return false;
  parts.log.error(
    { event: 'study.not_committed', reception: id, pacs: pacsName, failed: failed.length },
    message,
  );
  return true;
}

/** Changes what came of this PACS, if it has come to an end. */
function change(
  parts: InboundParts,
  id: EnvelopeId,
  name: string,
  to: (reception: Reception, outcome: PacsOutcome) => PacsOutcome,
): Promise<Reception> {
  return parts.receptions.update(id, (record) => {
    const outcome = endedOutcome(record, name);
    if (outcome === undefined) return record;
    const { commitment, ...changed } = to(record, outcome);
    const nowMs = parts.clock.now();
    const stored = advanceReception(record, { type: 'pacs', name, outcome: changed }, nowMs);
    return commitment === undefined
      ? stored
      : advanceReception(stored, { type: 'commitment', name, commitment }, nowMs);
  });
}

function taken(
  { transactions = [], ...before }: PacsCommitment,
  id: EnvelopeId,
  isWhole: boolean,
  atMs: number,
): PacsCommitment {
  if (isWhole) return { state: 'committed', atMs };
  return { ...before, transactions: transactions.filter((each) => each !== id) };
}
