/**
 * How ioredis behaves when Redis is away: a producer fails at once, for its caller has a disk to fall back on; a
 * worker waits as long as it takes, for it has nothing else to do.
 */
import type { Redis, RedisOptions } from 'ioredis';
import { GatewayError } from '../errors/gateway-error.js';

/** A private Redis is back within a second after a crash; one across a network may take longer. */
const LONGEST_RECONNECT_MS = 3_000;

/** ioredis waits this long for the other side to hang up, even where nobody is left to do it. */
const DISCONNECT_TIMEOUT_MS = 200;

const ALWAYS = {
  retryStrategy: (times: number): number => Math.min(times * 100, LONGEST_RECONNECT_MS),
  disconnectTimeout: DISCONNECT_TIMEOUT_MS,
} as const;

/** For those who add jobs and those who look: commands fail at once while Redis is away. */
export function failFast(connection: RedisOptions): RedisOptions {
  return { ...connection, ...ALWAYS, enableOfflineQueue: false, maxRetriesPerRequest: 0 };
}

/** For one question: one try to connect, and no second one. */
export function oneShot(connection: RedisOptions, timeoutMs: number): RedisOptions {
  return {
    ...connection,
    lazyConnect: true,
    connectTimeout: timeoutMs,
    disconnectTimeout: DISCONNECT_TIMEOUT_MS,
    // The ready check would hide a wrong password behind endless reconnecting.
    enableReadyCheck: false,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
  };
}

/** For workers: commands wait until Redis is back. BullMQ insists on the `null`. */
export function patient(connection: RedisOptions): RedisOptions {
  return { ...connection, ...ALWAYS, maxRetriesPerRequest: null };
}

/**
 * How BullMQ is to use a connection of ours for a queue. Without its version check (the ladder has done that) it
 * sends nothing on its own, so that a queue object cannot be spoilt for good by a Redis that goes away just then.
 */
export const QUEUE_CONNECTION = { skipVersionCheck: true, skipMetasUpdate: true } as const;

/**
 * Resolves when Redis is there; the first try to connect is waited for, a second one is not.
 * @throws REDIS_UNAVAILABLE as soon as a try to connect has failed, until one succeeds
 */
export async function assertConnected(redis: Redis): Promise<void> {
  if (redis.status === 'ready') return;
  const away = new GatewayError('REDIS_UNAVAILABLE', 'Redis cannot be reached');
  if (redis.status === 'reconnecting' || redis.status === 'close' || redis.status === 'end') throw away;
  await new Promise<void>((resolve, reject) => {
    const settle = (finish: () => void) => (): void => {
      redis.off('ready', onReady).off('close', onClose);
      finish();
    };
    const onReady = settle(resolve);
    const onClose = settle(() => reject(away));
    redis.on('ready', onReady).on('close', onClose);
  });
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
