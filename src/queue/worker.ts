/**
 * Runs the jobs of one queue: in this process, or each in a process of its own (`processorFile`). Waits as long as
 * Redis is away. What an error means for the job is decided in `outcome.ts`, on this side of the sandbox.
 *
 * A worker owns a job by a lock that it renews. Where the lock is lost (Redis emptied, or this process stood still
 * for too long) somebody else may run the job, so that the step is told to stop.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { DelayedError, Job } from 'bullmq';
import { Redis, type RedisOptions } from 'ioredis';
import { GatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import { type Around, BullWorker } from './bull-worker.js';
import { patient, withinTime } from './connection.js';
import { isJobData, type JobData, parseJobData, priorityOf, QUEUE_PREFIX, type Stage } from './jobs.js';
import { createLanes, type Entry, type LaneOf, type StepEnd } from './lanes.js';
import { POLICIES, type StagePolicy, waitMs } from './policy.js';
import { runStage, type StageRunner } from './processor.js';
import { createSettle, type FailureListener, type Settled } from './settle.js';

/** How long a step has between being told to stop and being left behind. */
const ABORT_GRACE_MS = 5_000;
const CLOSE_TIMEOUT_MS = 5_000;
const PING_TIMEOUT_MS = 1_000;
/** A step that the death of its worker has cut short this often is what kills the worker. */
const MAX_CUT_SHORT = 10;
/** While Redis is away errors come several times a second; one line in this time is enough. */
const ERROR_LINE_EVERY_MS = 30_000;

export type StageWork =
  | { readonly run: StageRunner }
  /** A module whose default export was made by `sandboxProcessor`: a path, or a file URL. */
  | { readonly processorFile: string | URL };

export type StageWorkerOptions = StageWork &
  FailureListener & {
    readonly stage: Stage;
    readonly connection: RedisOptions;
    readonly log: Log;
    /** Instead of the policy's. */
    readonly concurrency?: number;
    /** Instead of the stage's own. */
    readonly policy?: StagePolicy;
    /** The peer or PACS that a job is for, and how urgent it is; see `lanes.ts`. */
    readonly laneOf?: LaneOf;
  };

export interface StageWorker {
  readonly stage: Stage;
  /** Resolves when connected; not before Redis is there. */
  ready(): Promise<void>;
  /** Takes no further jobs, but for one that arrives at this very moment; those running run on. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /**
   * Takes no further jobs, waits `graceMs` for those running, then aborts their signals and puts the jobs back, no
   * attempt used. Resolves in bounded time, whether or not Redis is there; may be called again.
   */
  close(graceMs: number): Promise<void>;
}

/** Starts to take jobs from the queue of one stage. */
export function startStageWorker(options: StageWorkerOptions): StageWorker {
  const { stage, log } = options;
  const policy = options.policy ?? POLICIES[stage];
  const running = new Set<Promise<void>>();
  const concurrency = options.concurrency ?? policy.concurrency;
  const origin = 'run' in options ? 'same-process' : 'sandbox';

  // Ours, so that it can be closed in whatever state BullMQ is; it makes a second one for its blocking reads.
  const redis = new Redis(patient(options.connection));
  redis.on('error', () => {});

  const settle = createSettle({
    stage,
    policy,
    origin,
    listener: options,
    // As BullMQ's own scripts do it when a job is added.
    wake: () => redis.zadd(worker.toKey('marker'), 0, '0'),
    log,
  });
  const lanes = createLanes({
    perLane: policy.perLane,
    total: concurrency,
    laneOf: options.laneOf,
    call: (jobId) => promote(worker, jobId),
  });

  let isAborting = false;

  const inLane: Around = async (job, token, signal, run) => {
    if (isAborting) {
      // Taken from Redis just before closing began.
      worker.cancelJob(job.id ?? '', 'the worker is closing');
      throw (await settle(undefined, job, token, signal)).thrown;
    }
    let entry: Entry;
    try {
      const { id } = parseJobData(job.data);
      entry = await lanes.enter({ jobId: job.id ?? '', id, priority: priorityOf(job.priority) });
    } catch (error) {
      throw (await settle(error, job, token, signal)).thrown;
    }
    if (entry.type === 'turned-away') {
      await job.moveToDelayed(entry.comesBackAtMs, token);
      entry.wentBack();
      throw new DelayedError();
    }
    let end: StepEnd = 'other';
    try {
      await run();
      end = 'succeeded';
    } catch (error) {
      const settled = await settle(error, job, token, signal);
      end = endOf(settled);
      throw settled.thrown;
    } finally {
      entry.leave(end);
    }
  };

  const worker = new BullWorker(
    stage,
    'run' in options ? inProcess(options.run) : options.processorFile,
    {
      connection: redis,
      prefix: QUEUE_PREFIX,
      concurrency,
      lockDuration: policy.lockMs,
      stalledInterval: policy.stalledCheckMs,
      maxStalledCount: MAX_CUT_SHORT,
      settings: {
        backoffStrategy: (attempt, _type, _error, job) => waitMs(policy, attempt, job?.id ?? ''),
      },
    },
    async (job, token, signal, run) => {
      const promise = inLane(job, token, signal, run);
      running.add(promise);
      try {
        await promise;
      } finally {
        running.delete(promise);
      }
    },
  );

  worker.on(
    'error',
    atIntervals(ERROR_LINE_EVERY_MS, (error) => {
      log.warn({ event: 'queue.connection_failed', stage, reason: String(error) }, 'waiting for Redis');
    }),
  );
  worker.on('lockRenewalFailed', (jobIds) => {
    log.warn({ event: 'queue.lock_lost', stage, count: jobIds.length }, 'lost the claim to running jobs');
    for (const jobId of jobIds) worker.cancelJob(jobId, 'lock lost');
  });
  worker.on('failed', (job) => {
    if (job?.deferredFailure) void giveUpUnrun(job, options, log);
  });

  const abort = (): void => {
    isAborting = true;
    worker.cancelAllJobs('the worker is closing');
  };

  /** BullMQ's own closing ends its blocking read (else a job put back would be taken again) and waits for all jobs. */
  const closeWithRedis = async (graceMs: number): Promise<void> => {
    const closed = worker.close();
    await Promise.race([closed, pause(graceMs, undefined, { ref: false })]);
    abort();
    await withinTime(() => closed, ABORT_GRACE_MS);
  };

  /** Without Redis that closing would never end, and there is nothing to be taken. */
  const closeWithoutRedis = async (graceMs: number): Promise<void> => {
    await worker.pause(true);
    await Promise.race([Promise.allSettled(running), pause(graceMs, undefined, { ref: false })]);
    abort();
    await Promise.race([Promise.allSettled(running), pause(ABORT_GRACE_MS, undefined, { ref: false })]);
    await withinTime(() => worker.close(true), CLOSE_TIMEOUT_MS);
  };

  const close = async (graceMs: number): Promise<void> => {
    try {
      await ((await answers(redis)) ? closeWithRedis(graceMs) : closeWithoutRedis(graceMs));
    } catch (error) {
      log.warn({ event: 'queue.worker_left', stage, running: running.size, reason: String(error) });
    }
    redis.disconnect();
  };
  let closing: Promise<void> | undefined;

  return {
    stage,
    ready: async () => {
      await worker.waitUntilReady();
    },
    pause: () => worker.pause(true),
    resume: () => worker.resume(),
    close: (graceMs) => {
      closing ??= close(graceMs);
      return closing;
    },
  };
}

async function answers(redis: Redis): Promise<boolean> {
  try {
    await withinTime(() => redis.ping(), PING_TIMEOUT_MS);
    return true;
  } catch {
    return false;
  }
}

/** Lets a delayed job run now. @returns false when it is not delayed: it runs, is done, or was removed */
async function promote(worker: BullWorker, jobId: string): Promise<boolean> {
  const job = await Job.fromId(worker, jobId);
  if (job === undefined) return false;
  try {
    await job.promote();
    return true;
  } catch (error) {
    if (await job.isDelayed()) throw error;
    return false;
  }
}

/** Only a peer that nobody reached narrows its lane; one that is busy, or outside its hours, is alive. */
function endOf({ code }: Settled): StepEnd {
  return code === 'PEER_UNREACHABLE' || code === 'PACS_UNREACHABLE' ? 'unreachable' : 'other';
}

/** BullMQ makes a signal only for a function that declares three parameters. */
function inProcess(run: StageRunner) {
  return (job: Job<JobData>, _token: string | undefined, signal: AbortSignal | undefined): Promise<void> =>
    runStage(run, job, signal ?? new AbortController().signal);
}

/** Jobs that were cut short too often fail in BullMQ before they run; the record must hear of it all the same. */
async function giveUpUnrun(job: Job<JobData>, options: StageWorkerOptions, log: Log): Promise<void> {
  if (!isJobData(job.data)) return;
  const { id } = job.data;
  const error = new GatewayError('FAULT', `the step was cut short more than ${MAX_CUT_SHORT} times`);
  log.error({ event: 'stage.given_up', stage: options.stage, id, code: error.code }, error.message);
  try {
    await options.onGivenUp?.(id, error);
  } catch (reason) {
    log.error({ event: 'stage.unreported', stage: options.stage, id, reason: String(reason) });
  }
}

function atIntervals<T>(everyMs: number, write: (value: T) => void): (value: T) => void {
  let lastAtMs = Number.NEGATIVE_INFINITY;
  return (value) => {
    const nowMs = Date.now();
    if (nowMs - lastAtMs < everyMs) return;
    lastAtMs = nowMs;
    write(value);
  };
}
