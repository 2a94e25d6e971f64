/**
 * What the queue does after a failure. The kind of the error decides, never its text, and this is the only place
 * where a kind becomes a BullMQ error.
 *
 * | kind | then |
 * |---|---|
 * | transient, ambiguous | tried again after a growing wait; each step starts with a probe or is idempotent |
 * | the same, with the fact `retryAfterMs` | tried again after just that time; no attempt is used; for days |
 * | OUTSIDE_WINDOW, PACS_PAUSED with `retryAfterMs` | the same, without end; patience counts from when it is tried again |
 * | permanent, fault | given up at once |
 */
import { DelayedError, type Job, UnrecoverableError } from 'bullmq';
import type { ErrorCode } from '../errors/codes.js';
import { GatewayError, toGatewayError } from '../errors/gateway-error.js';
import { isJobData, type JobData } from './jobs.js';
import { type StagePolicy, waitMs } from './policy.js';
import { attemptOf } from './processor.js';

/** A peer may not put us off for longer than a day at a time. */
const LONGEST_RETRY_AFTER_MS = 24 * 60 * 60 * 1_000;
/** Our own config says when. */
const BY_OWN_CONFIG: ReadonlySet<ErrorCode> = new Set(['OUTSIDE_WINDOW', 'PACS_PAUSED']);

export type Outcome =
  /** Uses an attempt. */
  | { readonly type: 'retry'; readonly error: GatewayError; readonly atMs: number }
  /** Uses none. */
  | {
      readonly type: 'postponed';
      readonly error: GatewayError;
      readonly atMs: number;
      /** To be kept with the job: its patience counts from here, since nobody has failed until now. */
      readonly patientSinceMs?: number;
    }
  | { readonly type: 'given-up'; readonly error: GatewayError };

export interface FailedJob {
  readonly id?: string | undefined;
  readonly data: unknown;
  readonly attemptsMade: number;
  readonly opts: { readonly attempts?: number | undefined };
  /** When the job was added, in milliseconds since the epoch. */
  readonly timestamp: number;
}

/** What follows from a failure. Pure; times are in milliseconds since the epoch. */
export function outcomeOf(
  raw: unknown,
  job: FailedJob,
  policy: StagePolicy,
  nowMs: number,
  origin: 'same-process' | 'sandbox' = 'same-process',
): Outcome {
  const error = origin === 'sandbox' ? fromSandbox(raw) : toGatewayError(raw);
  if (error.kind === 'permanent' || error.kind === 'fault') return { type: 'given-up', error };
  const attempt = attemptOf(job);
  const retryAfterMs = error.facts['retryAfterMs'];
  if (typeof retryAfterMs === 'number' && retryAfterMs >= 0) {
    const atMs = nowMs + Math.min(retryAfterMs, LONGEST_RETRY_AFTER_MS);
    // A window that opens at weekends only, or a PACS that is paused, is no peer that does not work.
    if (BY_OWN_CONFIG.has(error.code)) return { type: 'postponed', error, atMs, patientSinceMs: atMs };
    const outOfPatience = nowMs - patientSinceMs(job) >= policy.patienceMs;
    if (outOfPatience) return { type: 'given-up', error };
    return { type: 'postponed', error, atMs };
  }
  if (attempt.last) return { type: 'given-up', error };
  return { type: 'retry', error, atMs: nowMs + waitMs(policy, attempt.number, job.id ?? '') };
}

function patientSinceMs({ data, timestamp }: FailedJob): number {
  return isJobData(data) ? Math.max(timestamp, data.patientSinceMs ?? 0) : timestamp;
}

/**
 * Says an outcome to BullMQ: does what must be done with the job, and gives the error to throw.
 * @param token the lock of the running job
 */
export async function toBullError(outcome: Outcome, job: Job<JobData>, token: string): Promise<Error> {
  if (outcome.type === 'postponed') {
    if (outcome.patientSinceMs !== undefined) {
      await job.updateData({ ...job.data, patientSinceMs: outcome.patientSinceMs });
    }
    await job.moveToDelayed(outcome.atMs, token);
    return new DelayedError();
  }
  // An unknown error's message may hold a path or a name, and Redis holds clear text: only its code goes there.
  const text = outcome.error.code === 'FAULT' ? 'FAULT' : `${outcome.error.code}: ${outcome.error.message}`;
  return outcome.type === 'retry' ? new Error(text) : new UnrecoverableError(text);
}

/**
 * BullMQ copies the properties of an error that crossed onto a fresh one, where `message` becomes enumerable. Where
 * it is not, BullMQ made the error on this side: the step's process is gone (killed, out of memory), so that the
 * step was cut short and may work the next time.
 */
function fromSandbox(raw: unknown): GatewayError {
  const crossed = raw instanceof Error && Object.prototype.propertyIsEnumerable.call(raw, 'message');
  if (crossed || !(raw instanceof Error)) return toGatewayError(raw);
  return new GatewayError('CANCELLED', 'the process of the step ended before the step did', { cause: raw });
}
