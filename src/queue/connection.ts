/**
 * How ioredis behaves when Redis is away: a producer fails at once, for its caller has a disk to fall back on; a
 * worker waits as long as it takes, for it has nothing else to do.
 */
import type { RedisOptions } from 'ioredis';
import { GatewayError } from '../errors/gateway-error.js';

/** A private Redis is back within a second after a crash; one across a network may take longer. */
const LONGEST_RECONNECT_MS = 3_000;

const retryStrategy = (times: number): number => Math.min(times * 100, LONGEST_RECONNECT_MS);

/** For those who add jobs and those who look: commands fail at once while Redis is away. */
export function failFast(connection: RedisOptions): RedisOptions {
  return { ...connection, retryStrategy, enableOfflineQueue: false, maxRetriesPerRequest: 0 };
}

/** For workers: commands wait until Redis is back. BullMQ insists on the `null`. */
export function patient(connection: RedisOptions): RedisOptions {
  return { ...connection, retryStrategy, maxRetriesPerRequest: null };
}

/**
 * The result of a call to Redis, within a time.
 * @throws REDIS_UNAVAILABLE when it fails or takes longer than `timeoutMs`. It may then still have been done, which
 * is harmless, as every call of ours may be repeated.
 */
export async function withinTime<T>(call: () => Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new GatewayError('REDIS_UNAVAILABLE', `Redis gave no answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
  });
  try {
    return await Promise.race([call(), tooLate]);
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    throw new GatewayError('REDIS_UNAVAILABLE', 'Redis cannot be reached', { cause: error });
  } finally {
    clearTimeout(timer);
  }
}
