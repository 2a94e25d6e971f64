/** How a process that did not start Redis reaches it. */
import { readFileSync } from 'node:fs';
import type { RedisOptions } from 'ioredis';
import type { Settings } from '../config/settings.js';
import type { Log } from '../observe/log.js';
import { type RedisChoice, startRedis } from '../queue/redis/ladder.js';
import type { Runtime } from './runtime.js';

/** The choice that the settings make. */
export function redisChoice(settings: Settings, log: Log): RedisChoice {
  const { url, password, caFile, download } = settings.redis;
  return {
    dataDir: settings.dataDir,
    allowDownload: download,
    log,
    ...(url === undefined ? {} : { url }),
    ...(password === undefined ? {} : { password }),
    ...(caFile === undefined ? {} : { tls: { ca: readFileSync(caFile, 'utf8') } }),
  };
}

/** The private one that our parent named, or the configured one. */
export async function connectRedis(
  runtime: Runtime,
  settings: Settings,
  log: Log,
): Promise<{ readonly connection: RedisOptions; stop(): Promise<void> }> {
  if (runtime.redis === undefined) return startRedis(redisChoice(settings, log));
  return { connection: runtime.redis, stop: async () => undefined };
}
