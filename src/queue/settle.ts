/**
 * After a failure: tells the record on disk first, Redis second. So the disk never knows less than the queue; a crash
 * between the two means that the step runs once more, which every step allows.
 */
import { DelayedError, type Job, UnrecoverableError, WaitingError } from 'bullmq';
import type { ErrorCode } from '../errors/codes.js';
import type { GatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import { isJobData, type JobData, type Stage } from './jobs.js';
import { outcomeOf, toBullError } from './outcome.js';
import type { StagePolicy } from './policy.js';
import { attemptOf } from './processor.js';

/** When the record cannot be written on giving up, giving up is tried again after this time. */
const UNREPORTED_WAIT_MS = 60_000;

export interface FailureListener {
  /**
   * Called before the job is marked as failed, so that the record is parked first. Should it throw, the job comes
   * back a minute later.
   */
  readonly onGivenUp?: (id: string, error: GatewayError) => void | Promise<void>;
  /** Called before the job is put back; what it throws is logged, and the job goes back all the same. */
  readonly onRetry?: (
    id: string,
    error: GatewayError,
    nextAttemptAtMs: number,
    attempt: number,
  ) => void | Promise<void>;
}

export interface Settled {
  /** What BullMQ must be thrown. */
  readonly thrown: Error;
  /** Of the failure; undefined when it says nothing about the step: told to stop, or no job of ours. */
  readonly code?: ErrorCode;
}

export type Settle = (
  raw: unknown,
  job: Job<JobData>,
  token: string,
  signal: AbortSignal | undefined,
) => Promise<Settled>;

/** Makes the function that turns a failure of a step into what BullMQ must be thrown. */
export function createSettle(options: {
  readonly stage: Stage;
  readonly policy: StagePolicy;
  readonly origin: 'same-process' | 'sandbox';
  readonly listener: FailureListener;
  /** Lets an idle worker look for jobs. */
  readonly wake: () => Promise<unknown>;
  readonly log: Log;
}): Settle {
  const { stage, policy, origin, listener, wake, log } = options;

  return async (raw, job, token, signal) => {
    if (signal?.aborted === true) return { thrown: await putBack(job, token, wake, log) };
    // Nobody's record is waiting for it.
    if (!isJobData(job.data)) return { thrown: new UnrecoverableError('FAULT: job holds no id') };
    const { id } = job.data;
    const outcome = outcomeOf(raw, job, policy, Date.now(), origin);
    const { code } = outcome.error;
    const fields = { stage, id, code, attempt: attemptOf(job).number };
    if (outcome.type === 'given-up') {
      log.warn({ event: 'stage.given_up', ...fields, ...faultFields(outcome.error) }, outcome.error.message);
      try {
        await listener.onGivenUp?.(id, outcome.error);
      } catch (error) {
        log.error(
          { event: 'stage.unreported', stage, id, reason: String(error) },
          'could not park the record',
        );
        await job.moveToDelayed(Date.now() + UNREPORTED_WAIT_MS, token);
        return { thrown: new DelayedError(), code };
      }
    } else {
      const inMs = outcome.atMs - Date.now();
      log.info({ event: 'stage.failed', ...fields, inMs, outcome: outcome.type }, outcome.error.message);
      try {
        await listener.onRetry?.(id, outcome.error, outcome.atMs, attemptOf(job).number);
      } catch (error) {
        log.warn(
          { event: 'stage.unreported', stage, id, reason: String(error) },
          'could not note the failure',
        );
      }
    }
    return { thrown: await toBullError(outcome, job, token), code };
  };
}

/** For a step that was told to stop: the job waits again, as if it had not been taken, for whoever is next. */
async function putBack(
  job: Job<JobData>,
  token: string,
  wake: () => Promise<unknown>,
  log: Log,
): Promise<Error> {
  try {
    await job.moveToWait(token);
    // BullMQ does not, for a job with a priority: an idle worker would notice it up to ten seconds later.
    await wake();
  } catch (error) {
    // The lock is lost, and with it the right to move the job: whoever has it now looks after it.
    log.debug({ event: 'queue.job_left', reason: String(error) });
  }
  return new WaitingError();
}

/** A fault is ours to find: its stack goes to the log, and only there. */
function faultFields(error: GatewayError): { readonly stack?: string } {
  if (error.kind !== 'fault') return {};
  const source = error.cause instanceof Error ? error.cause : error;
  return { stack: source.stack ?? '' };
}
