/** What every rung of the ladder gives: a Redis that runs, how to connect to it, and how to let it go. */
import type { RedisOptions } from 'ioredis';

/**
 * - `configured`: the operator's, by `redis.url`;
 * - `private`: ours, run from the Redis or Valkey that is installed here;
 * - `unpacked`: ours, run from the distribution's package, unpacked into the data folder;
 * - `embedded`: ours, written in JavaScript, in memory.
 */
export type RedisKind = 'configured' | 'private' | 'unpacked' | 'embedded';

export interface RunningRedis {
  /** For ioredis and BullMQ, in this and in other processes of this machine. */
  readonly connection: RedisOptions;
  readonly kind: RedisKind;
  /** `Redis 7.0.15`, `Valkey 8.1.1`; `unknown` while a configured one has not answered yet. */
  readonly version: string;
  /** One sentence that the operator should read. */
  readonly note?: string;
  /** Calls back each time that Redis goes away. */
  onDown(callback: () => void): void;
  /**
   * Calls back each time that Redis is there again after it was away, and each time that it was found empty: jobs
   * may be missing, so that they should be made again from the records.
   */
  onRestored(callback: () => void): void;
  /** Ends what was started here, and only that. Never throws; may be called again. */
  stop(): Promise<void>;
}
