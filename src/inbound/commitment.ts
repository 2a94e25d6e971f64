/**
 * The second half of `deliver`: when a PACS has answered every C-STORE, it is asked to commit to the instances
 * (PS3.4 Annex J), and its word decides. What is asked stands on the disk first; each instance that is committed to is
 * journalled as such; nobody waits in a worker's place for longer than `REPORT_WAIT_MS`. The rest of the time the step is put
 * off by COMMITMENT_PENDING, and the report itself brings it back (`commitment-report`). One that comes when the delivery has
 * gone on is taken in by `commitment-late`.
 *
 * | the PACS | `offered` | `required` |
 * |---|---|---|
 * | takes no storage commitment | goes on, noted | parked, COMMITMENT_FAILED |
 * | turns us away without a word on why | after `TURNED_AWAY` times the same | after `commitmentTimeoutMs` the same |
 * | says nothing, or "not now", for `commitmentTimeoutMs` | goes on, noted | parked, COMMITMENT_PENDING; a late report takes it up again |
 * | does not commit to some | refused by this PACS, COMMITMENT_FAILED; retry sends those again | the same |
 */
import type { FailedReference, InstanceReference } from '../domain/commitment.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Pacs } from '../domain/peer.js';
import { advanceReception } from '../domain/reception.js';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import { askToCommit, isTurnedAway } from './commitment-asking.js';
import {
  type Commitment,
  commitmentOf,
  describeUncommitted,
  noteCommitment,
  openTransactions,
  type Uncommitted,
  waitedMs,
} from './commitment-state.js';
import { readTransactionFailures, readTransactionReferences } from './commitment-transactions.js';
import type { InboundParts } from './parts.js';

/** A step that waits looks by itself after so long, should the word that wakes it be lost. */
const FIRST_WAIT_MS = 5_000;
const LONGEST_WAIT_MS = 60_000;
/** One that restarts is back by then; one that does not know us shall not hold up a study for minutes. */
const TURNED_AWAY = 3;

/** Why the PACS has not been asked. */
interface Without {
  readonly state: 'not-offered' | 'unreported';
  readonly message: string;
}

/**
 * @returns whether the delivery goes on; false: an operator is waited for
 * @throws COMMITMENT_PENDING while the report is awaited, with `retryAfterMs`; COMMITMENT_FAILED when there are instances
 * that the PACS does not commit to; PACS_UNREACHABLE, PACS_BUSY, CANCELLED
 */
export async function commitStored(
  parts: InboundParts,
  id: EnvelopeId,
  pacs: Pacs,
  uncommitted: Uncommitted,
  signal: AbortSignal,
): Promise<boolean> {
  if (pacs.commitment === 'off') return true;
  const commitment: Commitment = { parts, id, pacs, uncommitted, signal };
  await takeReports(commitment);
  const unasked = await unaskedOf(commitment);
  if (unasked.length > 0) {
    const without = await ask(commitment, unasked);
    if (without !== undefined) return goOnWithout(commitment, without);
    await takeReports(commitment);
  }
  if (uncommitted.list().length === 0) {
    await noteCommitment(commitment, ({ askedAtMs }) => ({
      state: 'committed',
      ...(askedAtMs === undefined ? {} : { askedAtMs }),
    }));
    parts.log.info({ event: 'study.committed', reception: id, pacs: pacs.name });
    return true;
  }
  return waitOn(commitment);
}

async function ask(
  commitment: Commitment,
  references: readonly InstanceReference[],
): Promise<Without | undefined> {
  const { parts, pacs } = commitment;
  const known =
    pacs.commitment === 'offered'
      ? parts.commitmentMemory.refusalOf(pacs.name, parts.clock.now())
      : undefined;
  if (known !== undefined) return { state: 'not-offered', message: known };
  try {
    const refusal = await askToCommit(commitment, references);
    return refusal === undefined ? undefined : takesNoPart(commitment, refusal);
  } catch (error) {
    return notNow(commitment, error);
  }
}

function takesNoPart({ parts, pacs }: Commitment, message: string): Without {
  parts.commitmentMemory.remember(pacs.name, message, parts.clock.now());
  return { state: 'not-offered', message };
}

/** What keeps us from asking is borne for as long as a report would be waited for. @throws while there is time */
async function notNow(commitment: Commitment, error: unknown): Promise<Without> {
  if (!isGatewayError(error) || error.code === 'CANCELLED' || error.kind === 'fault') throw error;
  const { pacs } = commitment;
  const waited = await waitedMs(commitment);
  const isOver = waited >= pacs.commitmentTimeoutMs;
  if (isTurnedAway(error)) {
    const turnedAway = ((await commitmentOf(commitment))?.turnedAway ?? 0) + 1;
    await noteCommitment(commitment, (before) => ({ ...before, turnedAway }));
    const message = `${pacs.name} turns storage commitment away, as if ${pacs.callingAe} were unknown there: ${error.message}`;
    if (isOver || (pacs.commitment === 'offered' && turnedAway >= TURNED_AWAY))
      return takesNoPart(commitment, message);
    throw pending(pacs, waited, message);
  }
  if (isOver) return { state: 'unreported', message: error.message };
  throw error.code === 'PACS_BUSY' ? pending(pacs, waited, error.message) : error;
}

/** Takes in what has been reported. @throws COMMITMENT_FAILED */
async function takeReports(commitment: Commitment): Promise<void> {
  const { parts, pacs, uncommitted } = commitment;
  const failures: FailedReference[] = [];
  const taken = new Set<EnvelopeId>();
  for (const id of await openTransactions(commitment)) {
    const transaction = await parts.transactions.read(id);
    if (transaction?.progress !== 'reported') continue;
    const failed = await readTransactionFailures(parts.transactions, id);
    const isFailed = new Set(failed.map(({ sopInstanceUid }) => sopInstanceUid));
    const references = await readTransactionReferences(parts.transactions, id);
    await uncommitted.note(
      references.filter(({ sopInstanceUid }) => !isFailed.has(sopInstanceUid)),
      failed,
    );
    failures.push(...failed);
    taken.add(id);
  }
  if (taken.size === 0) return;
  await noteCommitment(commitment, ({ transactions = [], ...rest }) => ({
    ...rest,
    state: failures.length > 0 ? 'failed' : 'asked',
    transactions: transactions.filter((id) => !taken.has(id)),
  }));
  if (failures.length === 0) return;
  throw new GatewayError('COMMITMENT_FAILED', describeUncommitted(pacs.name, failures));
}

/** Those that no open transaction has asked for; all of them after an operator's retry. */
async function unaskedOf(commitment: Commitment): Promise<readonly InstanceReference[]> {
  const { parts, uncommitted } = commitment;
  const rest = uncommitted.list();
  if ((await commitmentOf(commitment))?.askedAtMs === undefined) return rest;
  const asked = new Set<string>();
  for (const transactionId of await openTransactions(commitment)) {
    // Without an answer to our request: nobody knows whether it arrived.
    if ((await parts.transactions.read(transactionId))?.progress === 'prepared') continue;
    const references = await readTransactionReferences(parts.transactions, transactionId);
    for (const { sopInstanceUid } of references) asked.add(sopInstanceUid);
  }
  return rest.filter(({ sopInstanceUid }) => !asked.has(sopInstanceUid));
}

/** The report is still to come. @throws COMMITMENT_PENDING while there is time */
async function waitOn(commitment: Commitment): Promise<boolean> {
  const { pacs, uncommitted } = commitment;
  const waited = await waitedMs(commitment);
  const message = `${pacs.name} has not yet reported whether it commits to ${uncommitted.list().length} instances`;
  if (waited >= pacs.commitmentTimeoutMs) return goOnWithout(commitment, { state: 'unreported', message });
  throw pending(pacs, waited, message);
}

function pending({ commitmentTimeoutMs }: Pacs, waited: number, message: string): GatewayError {
  const waitMs = Math.min(LONGEST_WAIT_MS, Math.max(FIRST_WAIT_MS, waited / 4));
  const retryAfterMs = Math.ceil(Math.min(waitMs, commitmentTimeoutMs - waited));
  return new GatewayError('COMMITMENT_PENDING', message, { facts: { retryAfterMs } });
}

/** The PACS has not committed, and will not in time. @returns whether the delivery goes on all the same */
async function goOnWithout(commitment: Commitment, { state, message }: Without): Promise<boolean> {
  const { parts, id, pacs } = commitment;
  const fields = { reception: id, pacs: pacs.name, state };
  if (pacs.commitment === 'offered') {
    await noteCommitment(commitment, (before) => ({ ...before, state }));
    if (state === 'unreported') parts.log.warn({ event: 'study.uncommitted', ...fields }, message);
    else parts.log.info({ event: 'study.uncommitted', ...fields }, message);
    return true;
  }
  const code = state === 'unreported' ? 'COMMITMENT_PENDING' : 'COMMITMENT_FAILED';
  const parking = { code, message, stage: 'deliver', atMs: parts.clock.now() } as const;
  await noteCommitment(commitment, (before) => ({
    ...before,
    state: state === 'unreported' ? 'asked' : state,
  }));
  await parts.receptions.update(id, (record) =>
    advanceReception(record, { type: 'parked', parking }, parts.clock.now()),
  );
  parts.log.warn({ event: 'reception.parked', ...fields, stage: 'deliver', code }, message);
  return false;
}
