/**
 * Adds jobs. Adding is idempotent: a job that waits, runs or is delayed stays as it is; one that is absent, or only
 * left over from an earlier failure, is added afresh. So the bridge may add whatever the records on disk ask for,
 * at any time, as often as it likes.
 *
 * When Redis is away every call fails within a bounded time: the record is on disk, and `recover` adds the job later.
 */
import { type Job, type JobsOptions, Queue } from 'bullmq';
import { Redis, type RedisOptions } from 'ioredis';
import type { Priority } from '../domain/priority.js';
import type { Log } from '../observe/log.js';
import { assertConnected, failFast, QUEUE_CONNECTION, withinTime } from './connection.js';
import { formatJobId } from './job-id.js';
import { type JobData, priorityNumber, QUEUE_PREFIX, type Stage } from './jobs.js';
import { POLICIES, type StagePolicy } from './policy.js';

const DEFAULT_TIMEOUT_MS = 5_000;

/** Failed jobs that stay for the queue dashboard, for each queue; the records on disk keep the truth. */
const FAILED_JOBS_KEPT = 200;

/** The name by which jobs ask for the waits of `policy.ts`. */
const BACKOFF_TYPE = 'policy';

export interface JobChoice {
  /** See `formatJobId`; 0 by default. */
  readonly round?: number;
}

export interface RunChoice extends JobChoice {
  /** Of a job that is added by this; `routine` by default. It stays with the job, however often that comes back. */
  readonly priority?: Priority;
}

export interface AddChoice extends RunChoice {
  /** Not before this many milliseconds from now; 0 by default. */
  readonly delayMs?: number;
}

/** Every method throws REDIS_UNAVAILABLE within a bounded time when Redis is away. */
export interface Producer {
  add(stage: Stage, id: string, choice?: AddChoice): Promise<void>;
  /** Runs a job now that is delayed, waiting for its next attempt, given up or absent. One that runs already runs on. */
  promote(stage: Stage, id: string, choice?: RunChoice): Promise<void>;
  /** Takes a job away, in whatever state; one that is running stays. */
  remove(stage: Stage, id: string, choice?: JobChoice): Promise<void>;
  /** Never throws. */
  close(): Promise<void>;
}

/** A producer for all queues, over one connection. Connects by itself, as soon as Redis is there. */
export function createProducer(
  connection: RedisOptions,
  log: Log,
  options: { readonly timeoutMs?: number; readonly policies?: Readonly<Record<Stage, StagePolicy>> } = {},
): Producer {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const policies = options.policies ?? POLICIES;
  const redis = new Redis(failFast(connection));
  const queues = new Map<Stage, Queue<JobData>>();

  // An error event without a listener ends the process. Each call reports its own failure; this is for the log.
  redis.on('error', (error) => log.debug({ event: 'queue.connection_failed', reason: String(error) }));

  const queueOf = (stage: Stage): Queue<JobData> => {
    let queue = queues.get(stage);
    if (queue === undefined) {
      queue = new Queue<JobData>(stage, {
        connection: redis,
        prefix: QUEUE_PREFIX,
        ...QUEUE_CONNECTION,
      });
      queue.on('error', () => {});
      queues.set(stage, queue);
    }
    return queue;
  };

  const call = (work: () => Promise<void>): Promise<void> =>
    withinTime(async () => {
      await assertConnected(redis);
      return work();
    }, timeoutMs);

  const addTo = async (stage: Stage, id: string, choice: AddChoice): Promise<void> => {
    const queue = queueOf(stage);
    const jobId = formatJobId(stage, id, choice.round);
    await removeLeftover(await queue.getJob(jobId));
    await queue.add(stage, { id }, { ...jobOptions(policies[stage], choice), jobId });
  };

  return {
    add: (stage, id, choice = {}) => call(() => addTo(stage, id, choice)),

    promote: (stage, id, choice = {}) =>
      call(async () => {
        const job = await queueOf(stage).getJob(formatJobId(stage, id, choice.round));
        if (job === undefined || !(await job.isDelayed())) return addTo(stage, id, choice);
        try {
          await job.promote();
        } catch (error) {
          // Its time came between the two calls: what was wanted has happened.
          if (await job.isDelayed()) throw error;
        }
      }),

    remove: (stage, id, choice = {}) =>
      call(async () => {
        await queueOf(stage).remove(formatJobId(stage, id, choice.round));
      }),

    close: async () => {
      redis.disconnect();
      await Promise.allSettled(
        [...queues.values()].map((queue) => withinTime(() => queue.close(), timeoutMs)),
      );
    },
  };
}

/** A job id is taken as long as anything is stored under it, and adding under a taken id does nothing. */
async function removeLeftover(job: Job<JobData> | undefined): Promise<void> {
  if (job === undefined) return;
  if ((await job.isFailed()) || (await job.isCompleted())) await job.remove();
}

function jobOptions(policy: StagePolicy, choice: AddChoice): JobsOptions {
  return {
    attempts: policy.attempts,
    backoff: { type: BACKOFF_TYPE },
    removeOnComplete: true,
    removeOnFail: { count: FAILED_JOBS_KEPT },
    stackTraceLimit: 0,
    ...(choice.delayMs === undefined ? {} : { delay: choice.delayMs }),
    priority: priorityNumber(choice.priority ?? 'routine'),
  };
}
