/**
 * What the queues hold, for the dashboard. Reads only; what a job means is in the records on disk.
 */
import { Queue } from 'bullmq';
import { Redis, type RedisOptions } from 'ioredis';
import { assertConnected, failFast, QUEUE_CONNECTION, withinTime } from './connection.js';
import { QUEUE_PREFIX, STAGES, type Stage } from './jobs.js';

const TIMEOUT_MS = 3_000;

/** At most so many jobs of one state are listed; the counts are always whole. */
const LISTED_JOBS = 500;

/** BullMQ keeps the due time of a delayed job in the upper bits of its score, a sequence number in the lower 12. */
const DELAYED_SCORE_UNIT = 0x1000;

export interface StageCounts {
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  readonly failed: number;
}

export interface StageJobs {
  /** Ids of envelopes, the next one first. */
  readonly waiting: readonly string[];
  readonly active: readonly string[];
  /** Due times in milliseconds since the epoch, the earliest first. */
  readonly delayed: readonly { readonly id: string; readonly nextAttemptAtMs: number }[];
}

/** Every method throws REDIS_UNAVAILABLE within a bounded time when Redis is away. */
export interface Inspector {
  counts(): Promise<Readonly<Record<Stage, StageCounts>>>;
  jobs(stage: Stage): Promise<StageJobs>;
  /** Of all stages: envelope id → when its delayed job is due. */
  nextAttempts(): Promise<ReadonlyMap<string, number>>;
  /** Never throws. */
  close(): Promise<void>;
}

/** Opens a connection of its own, for reading. */
export function createInspector(connection: RedisOptions): Inspector {
  const redis = openRedis(connection);
  const queues = openQueues(redis);

  const call = <T>(work: () => Promise<T>): Promise<T> =>
    withinTime(async () => {
      await assertConnected(redis);
      return work();
    }, TIMEOUT_MS);

  const delayedOf = async (queue: Queue): Promise<StageJobs['delayed']> => {
    const rows = await redis.zrange(queue.toKey('delayed'), 0, LISTED_JOBS - 1, 'WITHSCORES');
    const delayed: { id: string; nextAttemptAtMs: number }[] = [];
    for (let at = 0; at + 1 < rows.length; at += 2) {
      const id = envelopeOf(rows[at]);
      const nextAttemptAtMs = Math.floor(Number(rows[at + 1]) / DELAYED_SCORE_UNIT);
      if (id !== undefined) delayed.push({ id, nextAttemptAtMs });
    }
    return delayed;
  };

  const countsOf = async (queue: Queue): Promise<StageCounts> => {
    const counts = await queue.getJobCounts('waiting', 'prioritized', 'active', 'delayed', 'failed');
    return {
      waiting: (counts['waiting'] ?? 0) + (counts['prioritized'] ?? 0),
      active: counts['active'] ?? 0,
      delayed: counts['delayed'] ?? 0,
      failed: counts['failed'] ?? 0,
    };
  };

  return {
    counts: () =>
      call(async () => {
        const rows = STAGES.map(async (stage) => [stage, await countsOf(queues[stage])] as const);
        return Object.fromEntries(await Promise.all(rows)) as Record<Stage, StageCounts>;
      }),

    jobs: (stage) =>
      call(async () => {
        const queue = queues[stage];
        const [prioritized, waiting, active, delayed] = await Promise.all([
          redis.zrange(queue.toKey('prioritized'), 0, LISTED_JOBS - 1),
          // Jobs are pushed on the left and taken from the right.
          redis.lrange(queue.toKey('wait'), -LISTED_JOBS, -1),
          redis.lrange(queue.toKey('active'), 0, LISTED_JOBS - 1),
          delayedOf(queue),
        ]);
        return {
          waiting: [...waiting.reverse(), ...prioritized].map(envelopeOf).filter(isPresent),
          active: active.map(envelopeOf).filter(isPresent),
          delayed,
        };
      }),

    nextAttempts: () =>
      call(async () => {
        const rows = await Promise.all(STAGES.map((stage) => delayedOf(queues[stage])));
        return new Map(rows.flat().map(({ id, nextAttemptAtMs }) => [id, nextAttemptAtMs]));
      }),

    close: () => closeQueues(redis, Object.values(queues)),
  };
}

/** The queues as BullMQ objects, for its dashboard and nothing else. */
export function queuesForBoard(connection: RedisOptions): {
  readonly queues: readonly Queue[];
  close(): Promise<void>;
} {
  const redis = openRedis(connection);
  const queues = Object.values(openQueues(redis));
  return { queues, close: () => closeQueues(redis, queues) };
}

function openRedis(connection: RedisOptions): Redis {
  const redis = new Redis(failFast(connection));
  // Without a listener an error event would end the process; each call reports its own failure.
  redis.on('error', () => {});
  return redis;
}

function openQueues(redis: Redis): Readonly<Record<Stage, Queue>> {
  const rows = STAGES.map((stage) => {
    const queue = new Queue(stage, { connection: redis, prefix: QUEUE_PREFIX, ...QUEUE_CONNECTION });
    queue.on('error', () => {});
    return [stage, queue] as const;
  });
  return Object.fromEntries(rows) as Record<Stage, Queue>;
}

async function closeQueues(redis: Redis, queues: readonly Queue[]): Promise<void> {
  redis.disconnect();
  await Promise.allSettled(queues.map((queue) => withinTime(() => queue.close(), TIMEOUT_MS)));
}

/** `ship.<id>` or `ship.<id>.<round>` → the id; see `formatJobId`. */
function envelopeOf(jobId: string | undefined): string | undefined {
  return jobId?.split('.')[1];
}

function isPresent(id: string | undefined): id is string {
  return id !== undefined;
}
