/**
 * Asks a PACS to commit (N-ACTION, PS3.4 J.3.2), and says what an answer other than success means.
 *
 * | it | means |
 * |---|---|
 * | accepts no context; or a status of `TAKES_NO_PART` | it takes no part |
 * | aborts (its application), or rejects the association for good | it may not know us, or have no service; or it restarts |
 * | any other status: 0x0110, 0x0213, … | not now |
 */
import { randomUUID } from 'node:crypto';
import { formatStatus } from '../dicom/store-status.js';
import { requestCommitment } from '../dimse/commitment-messages.js';
import { withCommitmentAssociation } from '../dimse/commitment-scu.js';
import { COMMITMENT_STATUS, createCommitmentService } from '../dimse/commitment-service.js';
import type { ServicePeer } from '../dimse/service.js';
import type { InstanceReference } from '../domain/commitment.js';
import { advanceTransaction, transactionUidOf } from '../domain/commitment-transaction.js';
import { type EnvelopeId, parseEnvelopeId } from '../domain/envelope-id.js';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import { acceptCommitmentReport } from './commitment-report.js';
import { type Commitment, noteCommitment } from './commitment-state.js';
import { prepareTransaction } from './commitment-transactions.js';

/** References of one transaction: a study of 10,000 instances is 5 of them. */
const CHUNK = 2_000;
/** Most PACS report within a second, on this association or on one of their own. */
const REPORT_WAIT_MS = 2_000;
const LOOK_EVERY_MS = 100;

/** Statuses (PS3.7 Annex C) by which a PACS says that it has no such service, or none for us. */
const TAKES_NO_PART: ReadonlySet<number> = new Set([
  COMMITMENT_STATUS.noSuchInstance,
  COMMITMENT_STATUS.noSuchClass,
  COMMITMENT_STATUS.sopClassNotSupported,
  COMMITMENT_STATUS.noSuchActionType,
  COMMITMENT_STATUS.notAuthorised,
  COMMITMENT_STATUS.unrecognisedOperation,
]);
/** Source of an A-ABORT. */
const ABORTED_BY_APPLICATION = 0;

/**
 * Asks for these, and waits a little for the report.
 * @returns why the PACS takes no part; undefined when it has taken the request
 * @throws PACS_BUSY when it answers "not now"; PACS_UNREACHABLE, PACS_REFUSED, PACS_UNTRUSTED, CANCELLED
 */
export async function askToCommit(
  commitment: Commitment,
  references: readonly InstanceReference[],
): Promise<string | undefined> {
  const { parts, pacs, signal } = commitment;
  const nowMs = parts.clock.now();
  await noteCommitment(commitment, (before) => ({
    ...before,
    state: 'asked',
    askedAtMs: before.askedAtMs ?? nowMs,
  }));
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
    if (isGatewayError(error) && error.code === 'CONTEXT_UNSUPPORTED') return error.message;
    throw error;
  }
}

/**
 * Whether it ended the association, or took none, without a word on why: so answers Orthanc an AE title that it does not know
 * (A-ABORT by its application, PS3.8 §9.3.8), and many a PACS a lone context that it does not have (A-ASSOCIATE-RJ).
 */
export function isTurnedAway(error: GatewayError): boolean {
  return error.code === 'PACS_REFUSED' || error.facts['source'] === ABORTED_BY_APPLICATION;
}

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
    await noteCommitment(commitment, (before) => ({
      ...before,
      transactions: [...(before.transactions ?? []), id],
    }));
    const status = await requestCommitment(peer, transactionUidOf(id), chunk);
    if (TAKES_NO_PART.has(status))
      return `${pacs.name} refuses storage commitment to ${pacs.callingAe}: ${formatStatus(status)}`;
    if (status !== COMMITMENT_STATUS.success)
      throw new GatewayError(
        'PACS_BUSY',
        `${pacs.name} takes no request for storage commitment now: ${formatStatus(status)}`,
        { facts: { status } },
      );
    await parts.transactions.update(id, (record) => advanceTransaction(record, { type: 'asked' }));
    asked.push(id);
  }
  await reported(commitment, asked);
  return undefined;
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
