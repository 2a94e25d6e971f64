/**
 * Tells a modality what we commit to (PS3.4 J.3.3): on an association of its own while one is open that can carry it,
 * else on one to where it listens. Only its 0x0000 ends it; anything else is a failure, noted in the record.
 */
import { formatStatus } from '../dicom/store-status.js';
import type { CommitmentResult } from '../dimse/commitment-data-set.js';
import { reportCommitment } from '../dimse/commitment-messages.js';
import { COMMITMENT_STATUS } from '../dimse/commitment-service.js';
import type { ServicePeer } from '../dimse/service.js';
import { advanceCommitmentRequest, type CommitmentRequest } from '../domain/commitment-request.js';
import { GatewayError, toGatewayError } from '../errors/gateway-error.js';
import type { CommitmentParts } from './commitment-parts.js';
import { readResult } from './commitment-request.js';

const FIRST_WAIT_MS = 15_000;
const LONGEST_WAIT_MS = 3_600_000;

/** Associations of modalities that reports can be told on. */
export class CommitmentPeers {
  readonly #byAe = new Map<string, Set<ServicePeer>>();

  /** Returns whether it is a new one. It is forgotten when it ends. */
  add(peer: ServicePeer): boolean {
    const callingAe = peer.association?.callingAe;
    if (callingAe === undefined || peer.signal.aborted) return false;
    const known = this.#byAe.get(callingAe) ?? new Set();
    if (known.has(peer)) return false;
    this.#byAe.set(callingAe, known.add(peer));
    peer.signal.addEventListener('abort', () => this.forget(peer), { once: true });
    return true;
  }

  /** Newest first: the one that asked is mostly still there. */
  of(callingAe: string): readonly ServicePeer[] {
    return [...(this.#byAe.get(callingAe) ?? [])].reverse();
  }

  forget(peer: ServicePeer): void {
    const callingAe = peer.association?.callingAe ?? '';
    const known = this.#byAe.get(callingAe);
    known?.delete(peer);
    if (known?.size === 0) this.#byAe.delete(callingAe);
  }
}

/** Whether there is a way to tell it now. */
export function isTellable(
  parts: CommitmentParts,
  peers: CommitmentPeers,
  request: CommitmentRequest,
): boolean {
  return (
    request.progress === 'judged' && (peers.of(request.callingAe).length > 0 || isCallable(parts, request))
  );
}

/** @returns the record as it is then: reported, or with the failure; as it was when there was no way */
export async function tellRequest(
  parts: CommitmentParts,
  peers: CommitmentPeers,
  request: CommitmentRequest,
  signal: AbortSignal,
): Promise<CommitmentRequest> {
  const { requests, clock, log } = parts;
  const { id, callingAe, failedCount } = request;
  try {
    const result = await readResult(parts, id);
    if (!(await tellOnOpen(parts, peers, request, result))) {
      if (!isCallable(parts, request)) return request;
      assertTaken(await parts.report(request, result, signal));
    }
  } catch (error) {
    return signal.aborted ? request : noteFailure(parts, request, toGatewayError(error));
  }
  log.info({ event: 'commitment.reported', request: id, callingAe, failed: failedCount });
  return requests.update(id, (record) => advanceCommitmentRequest(record, { type: 'reported' }, clock.now()));
}

async function tellOnOpen(
  { log }: CommitmentParts,
  peers: CommitmentPeers,
  { id, callingAe, transactionUid }: CommitmentRequest,
  result: CommitmentResult,
): Promise<boolean> {
  for (const peer of peers.of(callingAe)) {
    try {
      assertTaken(await reportCommitment(peer, transactionUid, result));
      return true;
    } catch (error) {
      peers.forget(peer);
      log.info({ event: 'commitment.not_told', request: id }, toGatewayError(error).message);
    }
  }
  return false;
}

/** The config says where it listens, and the last failure is long enough ago. */
function isCallable(parts: CommitmentParts, { callingAe, lastError }: CommitmentRequest): boolean {
  return parts.isReachable(callingAe) && parts.clock.now() >= (lastError?.nextAttemptAtMs ?? 0);
}

async function noteFailure(
  { requests, clock, log }: CommitmentParts,
  { id, callingAe, lastError }: CommitmentRequest,
  { code, message }: GatewayError,
): Promise<CommitmentRequest> {
  const attempt = (lastError?.attempt ?? 0) + 1;
  const atMs = clock.now();
  const waitMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(attempt - 1, 20));
  const error = { code, message, attempt, atMs, nextAttemptAtMs: atMs + waitMs };
  log.warn({ event: 'commitment.unreported', request: id, callingAe, code, attempt }, message);
  return requests.update(id, (record) => advanceCommitmentRequest(record, { type: 'failed', error }, atMs));
}

/** Anything else than success is no confirmation: the modality is told again. */
function assertTaken(status: number): void {
  if (status === COMMITMENT_STATUS.success) return;
  throw new GatewayError('PACS_REFUSED', `the modality answers the report with ${formatStatus(status)}`);
}
