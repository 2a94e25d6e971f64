/** `drawbridge up`: Redis, the gateway and the worker processes of one machine, under one roof. */
import type { Settings } from '../config/settings.js';
import type { Log } from '../observe/log.js';
import { startRedis } from '../queue/redis/ladder.js';
import { type Gateway, startGateway } from './gateway.js';
import { endLeftOverWorkers, SUPERVISOR_VARIABLE, supervisorMark } from './left-over-workers.js';
import { classifyListenError } from './listen-error.js';
import { redisChoice } from './redis.js';
import { formatRuntime, RUNTIME_VARIABLE } from './runtime.js';
import { openSite } from './site.js';
import { createWorkerPool } from './worker-pool.js';

export interface Bridge {
  readonly ports: Gateway['ports'];
  readonly redisKind: string;
  readonly redisNote?: string;
  close(graceMs: number): Promise<void>;
}

/** @param workerModule the file of a worker process */
export async function startBridge(
  settings: Settings,
  configPath: string,
  workerModule: URL,
  log: Log,
): Promise<Bridge> {
  const [redis] = await Promise.all([
    startRedis(redisChoice(settings, log)),
    endLeftOverWorkers(settings.dataDir, log),
  ]);
  const runtime = formatRuntime({
    configPath,
    ...(redis.kind === 'configured' ? {} : { redis: redis.connection }),
  });
  const environment = {
    [RUNTIME_VARIABLE]: runtime,
    [SUPERVISOR_VARIABLE]: await supervisorMark(settings.dataDir),
  };
  const pool = createWorkerPool(settings.workers.processes, workerModule, environment, log);
  let gateway: Gateway;
  try {
    gateway = await startGateway((listeners) => openSite(settings, log, listeners), {
      ownsScratch: settings.workers.processes > 0,
      workersUp: pool.up,
      redis,
    });
  } catch (error) {
    await redis.stop();
    throw classifyListenError(error, settings);
  }
  pool.start();
  return {
    ports: gateway.ports,
    redisKind: `${redis.kind}, ${redis.version}`,
    ...(redis.note === undefined ? {} : { redisNote: redis.note }),
    async close(graceMs) {
      await Promise.all([gateway.close(graceMs), pool.close()]);
      await redis.stop();
    },
  };
}
