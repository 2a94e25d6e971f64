/**
 * The two messages of storage commitment, said on an open association (PS3.4 J.3.2, J.3.3): "do you commit to these?"
 * and "this is what we commit to". Each resolves with the status of its answer, and is waited for within a bound.
 */
import type { InstanceReference } from '../domain/commitment.js';
import { GatewayError } from '../errors/gateway-error.js';
import { COMMAND_FIELDS } from './command-set.js';
import {
  type CommitmentResult,
  formatCommitmentReport,
  formatCommitmentRequest,
} from './commitment-data-set.js';
import {
  COMMITMENT_FAILURES_EXIST,
  COMMITMENT_SUCCESSFUL,
  REQUEST_COMMITMENT,
  STORAGE_COMMITMENT_SOP_CLASS,
  STORAGE_COMMITMENT_SOP_INSTANCE,
} from './commitment-service.js';
import type { OwnRequest, ServicePeer } from './service.js';

/** Whoever commits may look at a large study first, before it answers. */
const ANSWER_MS = 60_000;

/** N-ACTION. @throws CONTEXT_UNSUPPORTED; PACS_UNREACHABLE when the association ends, or says nothing for a minute */
export function requestCommitment(
  peer: ServicePeer,
  transactionUid: string,
  references: readonly InstanceReference[],
): Promise<number> {
  return invoke(peer, {
    ...WELL_KNOWN,
    commandField: COMMAND_FIELDS.nActionRequest,
    typeId: REQUEST_COMMITMENT,
    dataSet: (transferSyntaxUid) => formatCommitmentRequest(transactionUid, references, transferSyntaxUid),
  });
}

/** N-EVENT-REPORT. @throws as `requestCommitment` */
export function reportCommitment(
  peer: ServicePeer,
  transactionUid: string,
  result: CommitmentResult,
): Promise<number> {
  return invoke(peer, {
    ...WELL_KNOWN,
    commandField: COMMAND_FIELDS.nEventReportRequest,
    typeId: result.failed.length === 0 ? COMMITMENT_SUCCESSFUL : COMMITMENT_FAILURES_EXIST,
    dataSet: (transferSyntaxUid) => formatCommitmentReport(transactionUid, result, transferSyntaxUid),
  });
}

const WELL_KNOWN = {
  sopClassUid: STORAGE_COMMITMENT_SOP_CLASS,
  sopInstanceUid: STORAGE_COMMITMENT_SOP_INSTANCE,
} as const;

async function invoke(peer: ServicePeer, request: OwnRequest): Promise<number> {
  let timer: NodeJS.Timeout | undefined;
  const missing = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new GatewayError('PACS_UNREACHABLE', `no answer within ${ANSWER_MS} ms`)),
      ANSWER_MS,
    );
  });
  try {
    const { status } = await Promise.race([peer.invoke(request), missing]);
    if (status === undefined) throw new GatewayError('PACS_REFUSED', 'an answer without a status');
    return status;
  } finally {
    clearTimeout(timer);
  }
}
