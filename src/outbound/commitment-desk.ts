/**
 * Storage commitment towards modalities (PS3.4 Annex J), all of it that has a lifetime: takes requests, judges them when
 * their time has come, and has them told until the modality has confirmed. What cannot be told is kept for its next
 * association. Requests survive restarts, since they stand on the disk; after `REPORT_PATIENCE_MS` in vain a report is
 * given up, loudly, and the modality may ask again.
 */
import {
  COMMITMENT_STATUS,
  type CommitmentAsked,
  type CommitmentHandlers,
} from '../dimse/commitment-service.js';
import type { ServicePeer, ServiceReply } from '../dimse/service.js';
import {
  advanceCommitmentRequest,
  type CommitmentRequest,
  isCommitmentEnded,
} from '../domain/commitment-request.js';
import { isEnded } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { toGatewayError } from '../errors/gateway-error.js';
import { discardFolder } from '../spool/envelope-store.js';
import { DELIVERY_PATIENCE_MS } from './commitment-judge.js';
import type { CommitmentParts } from './commitment-parts.js';
import { judgeRequest, keepRequest } from './commitment-request.js';
import { CommitmentPeers, isTellable, tellRequest } from './commitment-telling.js';

/** A modality that released at once would be disturbed by a report that crosses its release. */
const SETTLE_MS = 500;
const REPORT_PATIENCE_MS = 7 * 86_400_000;
/** Ended requests are kept so long: under their transaction UIDs nothing else is taken. */
const KEEP_ENDED_MS = 30 * 86_400_000;
/** Requests that have not come to their end, of all modalities together. */
const MAX_OPEN = 10_000;
/** Whatever was missed (a delivery that another process ended, a patience that ran out) is noticed by then. */
const LOOK_EVERY_MS = 60_000;

export interface CommitmentDesk extends Required<Pick<CommitmentHandlers, 'asked' | 'opened'>> {
  /** Records have changed: receipts may be in that a request waits for. */
  recordsChanged(): void;
  /** Requests that have not come to their end. */
  open(): readonly CommitmentRequest[];
  /** Looks through the requests now; resolves when each has been given its chance. For housekeeping, and for tests. */
  look(): Promise<void>;
  close(): Promise<void>;
}

/** Reads what is open from the disk, forgets what ended long ago, and starts. */
export async function startCommitmentDesk(parts: CommitmentParts): Promise<CommitmentDesk> {
  const { requests, clock, log } = parts;
  const open = new Map<EnvelopeId, CommitmentRequest>();
  /** For undecided requests: the studies whose receipts are to come, and how many deliveries of them had ended. */
  const waitsFor = new Map<EnvelopeId, { readonly studies: ReadonlySet<string>; readonly ended: number }>();
  const peers = new CommitmentPeers();
  /** Modalities that are just being told something: one thing at a time each. */
  const telling = new Map<string, Promise<void>>();
  const closing = new AbortController();
  let taking: Promise<unknown> = Promise.resolve();
  let looking: Promise<void> | undefined;
  let lookAgain = false;
  let alarm: { readonly atMs: number; readonly timer: NodeJS.Timeout } | undefined;

  const put = (request: CommitmentRequest) => {
    if (isCommitmentEnded(request)) open.delete(request.id);
    else open.set(request.id, request);
    if (request.progress !== 'asked') waitsFor.delete(request.id);
    parts.changed();
  };

  for (const id of await requests.ids()) {
    const request = await requests.read(id);
    if (request === undefined) continue;
    if (!isCommitmentEnded(request)) open.set(id, request);
    else if (clock.now() - (request.endedAtMs ?? 0) > KEEP_ENDED_MS)
      await discardFolder(parts.layout, requests.documentPath(id, '.'));
  }

  const endedOf = (studies: ReadonlySet<string>) =>
    parts.allDeliveries().filter((delivery) => studies.has(delivery.studyKey) && isEnded(delivery)).length;

  /** Judging searches the disk: an undecided request is judged again only when something has come to an end. */
  const isJudgeable = ({ id, progress, askedAtMs }: CommitmentRequest) => {
    if (progress !== 'asked') return false;
    const awaited = waitsFor.get(id);
    return (
      awaited === undefined ||
      endedOf(awaited.studies) !== awaited.ended ||
      clock.now() - askedAtMs >= DELIVERY_PATIENCE_MS
    );
  };

  const judge = async (request: CommitmentRequest): Promise<void> => {
    const judged = await judgeRequest(parts, request);
    if (judged.waitsFor.size > 0) {
      const studies = judged.waitsFor;
      waitsFor.set(request.id, { studies, ended: endedOf(studies) });
      return;
    }
    put(judged.request);
    const { id, callingAe, referenceCount, failedCount = 0 } = judged.request;
    const fields = { request: id, callingAe, instances: referenceCount, failed: failedCount };
    if (failedCount === 0) log.info({ event: 'commitment.given', ...fields });
    else log.warn({ event: 'commitment.not_given', ...fields }, `no commitment to ${failedCount} instances`);
  };

  const giveUp = async (request: CommitmentRequest): Promise<void> => {
    put(
      await requests.update(request.id, (record) =>
        advanceCommitmentRequest(record, { type: 'given-up' }, clock.now()),
      ),
    );
    log.error(
      { event: 'commitment.given_up', request: request.id, callingAe: request.callingAe },
      'the modality could not be told for days what we commit to; it may ask again',
    );
  };

  /** One after the other for each modality, side by side for several: one that is off delays no other. */
  const tellAll = async (): Promise<void> => {
    const byAe = new Map<string, CommitmentRequest[]>();
    for (const request of open.values()) {
      if (request.progress !== 'judged') continue;
      if (clock.now() - (request.judgedAtMs ?? 0) >= REPORT_PATIENCE_MS) await giveUp(request);
      else if (isTellable(parts, peers, request))
        byAe.set(request.callingAe, [...(byAe.get(request.callingAe) ?? []), request]);
    }
    for (const [callingAe, due] of byAe) {
      if (telling.has(callingAe)) continue;
      const running = (async () => {
        for (const request of due) {
          if (!closing.signal.aborted) put(await tellRequest(parts, peers, request, closing.signal));
        }
      })()
        .catch(fault)
        .finally(() => {
          telling.delete(callingAe);
          schedule(untilDueMs());
        });
      telling.set(callingAe, running);
    }
  };

  const round = async (): Promise<void> => {
    for (const request of [...open.values()]) {
      if (closing.signal.aborted) return;
      if (isJudgeable(request)) await judge(request).catch(fault);
    }
    await tellAll();
  };

  const fault = (error: unknown) =>
    log.error({ event: 'commitment.failed', reason: toGatewayError(error).message });

  /** Rounds one after the other; who comes during one gets another. */
  const look = (): Promise<void> => {
    lookAgain = true;
    looking ??= (async () => {
      while (lookAgain && !closing.signal.aborted) {
        lookAgain = false;
        await round();
      }
    })().finally(() => {
      looking = undefined;
      schedule(untilDueMs());
    });
    return looking;
  };

  const untilDueMs = () => {
    let atMs = clock.now() + LOOK_EVERY_MS;
    for (const { lastError } of open.values()) atMs = Math.min(atMs, lastError?.nextAttemptAtMs ?? atMs);
    return Math.max(SETTLE_MS, atMs - clock.now());
  };

  /** The next look is then, or earlier if it was to be earlier. */
  const schedule = (inMs: number): void => {
    const atMs = performance.now() + inMs;
    if (closing.signal.aborted || (alarm !== undefined && alarm.atMs <= atMs)) return;
    clearTimeout(alarm?.timer);
    const ring = () => {
      alarm = undefined;
      look().catch(fault);
    };
    alarm = { atMs, timer: setTimeout(ring, inMs).unref() };
  };

  const opened = (peer: ServicePeer): void => {
    if (peers.add(peer)) schedule(SETTLE_MS);
  };

  const take = async (asked: CommitmentAsked, peer: ServicePeer): Promise<ServiceReply> => {
    const { association } = peer;
    if (association === undefined)
      return { status: COMMITMENT_STATUS.notAuthorised, comment: 'nobody may ask on our own association' };
    const refusal = parts.refusal();
    if (refusal !== undefined || open.size >= MAX_OPEN) {
      const comment = refusal?.message ?? `${MAX_OPEN} requests are open`;
      return { status: COMMITMENT_STATUS.resourceLimitation, comment };
    }
    const request = await keepRequest(parts, asked, association);
    if (request === undefined) {
      return {
        status: COMMITMENT_STATUS.duplicateTransaction,
        comment: 'the transaction UID is in use for other instances',
      };
    }
    put(request);
    const { id, callingAe, referenceCount } = request;
    log.info({ event: 'commitment.asked', request: id, callingAe, instances: referenceCount });
    // The answer to the request goes out first.
    opened(peer);
    schedule(SETTLE_MS);
    return { status: COMMITMENT_STATUS.success };
  };

  schedule(SETTLE_MS);
  return {
    asked(asked, peer) {
      const taken = taking.then(() => take(asked, peer));
      taking = taken.catch(() => undefined);
      return taken;
    },
    opened,
    recordsChanged() {
      if (waitsFor.size > 0 && [...open.values()].some(isJudgeable)) schedule(SETTLE_MS);
    },
    open: () => [...open.values()],
    async look() {
      await look();
      await Promise.all(telling.values());
    },
    async close() {
      closing.abort();
      clearTimeout(alarm?.timer);
      await taking;
      await looking?.catch(() => undefined);
      await Promise.all(telling.values());
    },
  };
}
