/**
 * Sees Redis go and come back, and sees that it was emptied. For the second it leaves a mark: when the mark is gone,
 * so are jobs (a FLUSHALL, a restart without persistence, a restore from a backup).
 */
import { Redis, type RedisOptions } from 'ioredis';
import type { Log } from '../../observe/log.js';
import { failFast } from '../connection.js';
import { QUEUE_PREFIX } from '../jobs.js';

const MARK_KEY = `${QUEUE_PREFIX}:mark`;
const CHECK_EVERY_MS = 10_000;

export interface RedisWatch {
  onDown(callback: () => void): void;
  onRestored(callback: () => void): void;
  stop(): void;
}

/** Watches over a connection of its own until stopped. Starts with the state `up` unless Redis is away at once. */
export function watchRedis(connection: RedisOptions, log: Log, checkEveryMs = CHECK_EVERY_MS): RedisWatch {
  const downCallbacks: (() => void)[] = [];
  const restoredCallbacks: (() => void)[] = [];
  const mark = `${process.pid}.${Date.now()}`;
  const redis = new Redis(failFast(connection));
  let isUp = true;
  let isMarked = false;

  const goDown = (): void => {
    if (!isUp) return;
    isUp = false;
    log.warn({ event: 'redis.lost' }, 'Redis is away; jobs wait, intake goes on');
    for (const callback of downCallbacks) callback();
  };

  const restored = (event: 'redis.back' | 'redis.emptied', message: string): void => {
    log.warn({ event }, message);
    for (const callback of restoredCallbacks) callback();
  };

  const check = async (): Promise<void> => {
    try {
      const wasAbsent = (await redis.set(MARK_KEY, mark, 'NX')) === 'OK';
      if (wasAbsent && isMarked)
        restored('redis.emptied', 'Redis was emptied; jobs are made again from the records');
      isMarked = true;
    } catch (error) {
      // Away or refusing writes: the connection's own events say so, or the next check does.
      log.debug({ event: 'redis.unmarked', reason: String(error) });
    }
  };

  redis.on('error', () => {});
  redis.on('close', goDown);
  redis.on('ready', () => {
    if (!isUp) {
      isUp = true;
      // Whatever was lost meanwhile, those who listen look after all of it.
      isMarked = false;
      restored('redis.back', 'Redis is back');
    }
    void check();
  });
  const timer = setInterval(() => void check(), checkEveryMs);
  timer.unref();

  return {
    onDown: (callback) => downCallbacks.push(callback),
    onRestored: (callback) => restoredCallbacks.push(callback),
    stop: () => {
      clearInterval(timer);
      redis.off('close', goDown);
      redis.disconnect();
    },
  };
}
