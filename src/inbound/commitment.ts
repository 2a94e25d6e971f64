/**
 * The second half of `deliver`: when a PACS has answered every C-STORE, it is asked to commit to the instances
 * (PS3.4 Annex J), and its word decides. What is asked stands on the disk first; each instance that is committed to is
 * journalled as such; nobody waits in a worker's place for longer than `REPORT_WAIT_MS`. The rest of the time the step is put
 * off by COMMITMENT_PENDING, and the report itself brings it back (`commitment-report`).
 *
 * | the PACS | `offered` | `required` |
 * |---|---|---|
 * | takes no storage commitment, or refuses the request | goes on, noted | parked, COMMITMENT_FAILED |
 * | says nothing for `commitmentTimeoutMs` | goes on, noted | parked, COMMITMENT_PENDING; a late report takes it up again |
 * | does not commit to some | refused by this PACS, COMMITMENT_FAILED; retry sends those again | the same |
 */
import { randomUUID } from 'node:crypto';
import { formatStatus } from '../dicom/store-status.js';
import { requestCommitment } from '../dimse/commitment-messages.js';
import { withCommitmentAssociation } from '../dimse/commitment-scu.js';
import { COMMITMENT_STATUS, createCommitmentService } from '../dimse/commitment-service.js';
import type { ServicePeer } from '../dimse/service.js';
import { describeFailures, type FailedReference, type InstanceReference } from '../domain/commitment.js';
import { advanceTransaction, transactionUidOf } from '../domain/commitment-transaction.js';
import { type EnvelopeId, parseEnvelopeId } from '../domain/envelope-id.js';
import type { Pacs } from '../domain/peer.js';
import { advanceReception, type PacsCommitment } from '../domain/reception.js';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import {
  acceptCommitmentReport,
  prepareTransaction,
  readTransactionFailures,
  readTransactionReferences,
} from './commitment-report.js';
import type { InboundParts } from './parts.js';

/** References of one transaction: a study of 10,000 instances is 5 of them. */
const CHUNK = 2_000;
/** Most PACS report within a second, on this association or on one of their own. */
const REPORT_WAIT_MS = 2_000;
const LOOK_EVERY_MS = 100;
/** A step that waits looks by itself after so long, should the word that wakes it be lost. */
const FIRST_WAIT_MS = 5_000;
const LONGEST_WAIT_MS = 60_000;

/** Instances that the PACS has answered for by C-STORE, and not yet committed to. */
export interface Uncommitted {
  /** Those that are not committed to by now. */
  list(): readonly InstanceReference[];
  /** Journals what a report says. */
  note(committed: readonly InstanceReference[], failed: readonly FailedReference[]): Promise<void>;
}

interface Commitment {
  readonly parts: InboundParts;
  readonly id: EnvelopeId;
  readonly pacs: Pacs;
  readonly uncommitted: Uncommitted;
  readonly signal: AbortSignal;
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
    const refusal = await ask(commitment, unasked).catch((error: unknown) => tired(commitment, error));
    if (refusal instanceof GatewayError) return goOnWithout(commitment, 'unreported', refusal.message);
    if (refusal !== undefined) return goOnWithout(commitment, 'not-offered', refusal);
    await takeReports(commitment);
  }
  if (uncommitted.list().length === 0) {
    await note(commitment, ({ atMs: _atMs, transactions: _reported, ...rest }) => ({
      ...rest,
      state: 'committed',
    }));
    parts.log.info({ event: 'study.committed', reception: id, pacs: pacs.name });
    return true;
  }
  return waitOn(commitment);
}

/** What keeps us from asking is borne for as long as a report would be waited for. */
async function tired(commitment: Commitment, error: unknown): Promise<GatewayError> {
  const isPassing = isGatewayError(error) && error.code !== 'CANCELLED' && error.kind !== 'fault';
  if (isPassing && (await waitedMs(commitment)) >= commitment.pacs.commitmentTimeoutMs) return error;
  throw error;
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
  await note(commitment, ({ transactions = [], ...rest }) => ({
    ...rest,
    state: failures.length > 0 ? 'failed' : 'asked',
    transactions: transactions.filter((id) => !taken.has(id)),
  }));
  if (failures.length === 0) return;
  throw new GatewayError(
    'COMMITMENT_FAILED',
    `${pacs.name} does not commit to ${failures.length} instances: ${describeFailures(failures)}`,
  );
}

/** Those that no open transaction has asked for; all of them after an operator's retry. */
async function unaskedOf(commitment: Commitment): Promise<readonly InstanceReference[]> {
  const { parts, id, pacs, uncommitted } = commitment;
  const rest = uncommitted.list();
  const reception = await parts.receptions.read(id);
  if (reception?.pacs[pacs.name]?.commitment?.askedAtMs === undefined) return rest;
  const asked = new Set<string>();
  for (const transactionId of await openTransactions(commitment)) {
    // Without an answer to our request: nobody knows whether it arrived.
    if ((await parts.transactions.read(transactionId))?.progress === 'prepared') continue;
    const references = await readTransactionReferences(parts.transactions, transactionId);
    for (const { sopInstanceUid } of references) asked.add(sopInstanceUid);
  }
  return rest.filter(({ sopInstanceUid }) => !asked.has(sopInstanceUid));
}

/**
 * Asks for these, and waits a little for the report.
 * @returns why the PACS takes no part; undefined when it does
 */
async function ask(
  commitment: Commitment,
  references: readonly InstanceReference[],
): Promise<string | undefined> {
  const { parts, pacs, signal } = commitment;
  const nowMs = parts.clock.now();
  await note(commitment, (before) => ({ ...before, state: 'asked', askedAtMs: before.askedAtMs ?? nowMs }));
  const service = createCommitmentService(
    { reported: (reported) => acceptCommitmentReport(parts, reported, async (name) => name === pacs.name) },
    parts.log,
  );
  const connect = parts.connectorTo(pacs);
  try {
    return await withCommitmentAssociation(
      {
        pacs,
        callingAe: pacs.callingAe,
        ...pacs.timeouts,
        ...(connect === undefined ? {} : { connect }),
        service,
        signal,
      },
      'scu',
      (peer) => askOn(commitment, peer, references),
    );
  } catch (error) {
    if (isGatewayError(error) && TAKES_NO_PART.has(error.code)) return error.message;
    throw error;
  }
}

/** Source of an A-ABORT. */
const ABORTED_BY_APPLICATION = 0;
/** The PACS says no, to the association or to the context. */
const TAKES_NO_PART: ReadonlySet<string> = new Set(['CONTEXT_UNSUPPORTED', 'PACS_REFUSED']);

async function askOn(
  commitment: Commitment,
  peer: ServicePeer,
  references: readonly InstanceReference[],
): Promise<string | undefined> {
  const { parts, id: receptionId, pacs } = commitment;
  const asked: EnvelopeId[] = [];
  for (let at = 0; at < references.length; at += CHUNK) {
    const chunk = references.slice(at, at + CHUNK);
    const id = parseEnvelopeId(randomUUID());
    const createdAtMs = parts.clock.now();
    await prepareTransaction(parts.transactions, { id, receptionId, pacs: pacs.name, createdAtMs }, chunk);
    await note(commitment, (before) => ({ ...before, transactions: [...(before.transactions ?? []), id] }));
    const refusal = await refusalOf(requestCommitment(peer, transactionUidOf(id), chunk));
    if (refusal !== undefined)
      return `${pacs.name} refuses storage commitment, as if ${pacs.callingAe} were unknown there: ${refusal}`;
    await parts.transactions.update(id, (record) => advanceTransaction(record, { type: 'asked' }));
    asked.push(id);
  }
  await reported(commitment, asked);
  return undefined;
}

/** How a request was refused; undefined when it was taken. @throws what else became of it */
async function refusalOf(answer: Promise<number>): Promise<string | undefined> {
  try {
    const status = await answer;
    return status === COMMITMENT_STATUS.success ? undefined : formatStatus(status);
  } catch (error) {
    // Orthanc's answer to an AE title that it does not know: its application aborts the association (PS3.8 §9.3.8).
    const isAborted = isGatewayError(error) && error.facts['source'] === ABORTED_BY_APPLICATION;
    if (isAborted) return error.message;
    throw error;
  }
}

/** Waits until all have been reported, on this association or by way of the gateway, or for `REPORT_WAIT_MS`. */
async function reported({ parts, signal }: Commitment, ids: readonly EnvelopeId[]): Promise<void> {
  const untilMs = performance.now() + REPORT_WAIT_MS;
  const open = new Set(ids);
  while (open.size > 0 && performance.now() < untilMs && !signal.aborted) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    for (const id of open) {
      if ((await parts.transactions.read(id))?.progress === 'reported') open.delete(id);
    }
  }
}

/** The report is still to come. @throws COMMITMENT_PENDING while there is time */
async function waitOn(commitment: Commitment): Promise<boolean> {
  const { pacs, uncommitted } = commitment;
  const waited = await waitedMs(commitment);
  const message = `${pacs.name} has not yet reported whether it commits to ${uncommitted.list().length} instances`;
  if (waited >= pacs.commitmentTimeoutMs) return goOnWithout(commitment, 'unreported', message);
  const waitMs = Math.min(LONGEST_WAIT_MS, Math.max(FIRST_WAIT_MS, waited / 4));
  const retryAfterMs = Math.ceil(Math.min(waitMs, pacs.commitmentTimeoutMs - waited));
  throw new GatewayError('COMMITMENT_PENDING', message, { facts: { retryAfterMs } });
}

/** The PACS has not committed, and will not in time. @returns whether the delivery goes on all the same */
async function goOnWithout(
  commitment: Commitment,
  state: 'not-offered' | 'unreported',
  message: string,
): Promise<boolean> {
  const { parts, id, pacs } = commitment;
  const fields = { reception: id, pacs: pacs.name, state };
  if (pacs.commitment === 'offered') {
    await note(commitment, (before) => ({ ...before, state }));
    if (state === 'unreported') parts.log.warn({ event: 'study.uncommitted', ...fields }, message);
    else parts.log.info({ event: 'study.uncommitted', ...fields }, message);
    return true;
  }
  const code = state === 'unreported' ? 'COMMITMENT_PENDING' : 'COMMITMENT_FAILED';
  const parking = { code, message, stage: 'deliver', atMs: parts.clock.now() } as const;
  await note(commitment, (before) => ({ ...before, state: state === 'unreported' ? 'asked' : state }));
  await parts.receptions.update(id, (record) =>
    advanceReception(record, { type: 'parked', parking }, parts.clock.now()),
  );
  parts.log.warn({ event: 'reception.parked', ...fields, stage: 'deliver', code }, message);
  return false;
}

async function waitedMs({ parts, id, pacs }: Commitment): Promise<number> {
  const nowMs = parts.clock.now();
  const askedAtMs = (await parts.receptions.read(id))?.pacs[pacs.name]?.commitment?.askedAtMs;
  return nowMs - (askedAtMs ?? nowMs);
}

async function openTransactions({ parts, id, pacs }: Commitment): Promise<readonly EnvelopeId[]> {
  return (await parts.receptions.read(id))?.pacs[pacs.name]?.commitment?.transactions ?? [];
}

async function note(
  { parts, id, pacs }: Commitment,
  change: (before: PacsCommitment) => Omit<PacsCommitment, 'atMs'>,
): Promise<void> {
  const atMs = parts.clock.now();
  await parts.receptions.update(id, (record) => {
    const outcome = record.pacs[pacs.name];
    if (record.progress !== 'verified' || outcome === undefined) return record;
    const commitment = { ...change(outcome.commitment ?? { state: 'asked', atMs }), atMs };
    return advanceReception(record, { type: 'commitment', name: pacs.name, commitment }, atMs);
  });
}
