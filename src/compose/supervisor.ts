/**
 * `drawbridge up`: Redis, the gateway and the worker processes of one machine, under one roof. A worker process that
 * dies is started again; its jobs are taken up where their records say.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Settings } from '../config/settings.js';
import type { Log } from '../observe/log.js';
import { startRedis } from '../queue/redis/ladder.js';
import { type Gateway, startGateway } from './gateway.js';
import { redisChoice } from './redis.js';
import { formatRuntime, RUNTIME_VARIABLE } from './runtime.js';
import { openSite } from './site.js';

const FIRST_RESTART_MS = 500;
const LONGEST_RESTART_MS = 30_000;
/** A worker that lived for this long had nothing wrong with its start. */
const HEALTHY_MS = 60_000;
/** Above the grace that a worker gives its steps. */
const KILL_AFTER_MS = 20_000;

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
  const redis = await startRedis(redisChoice(settings, log));
  const runtime = formatRuntime({
    configPath,
    ...(redis.kind === 'configured' ? {} : { redis: redis.connection }),
  });
  const pool = createPool(settings.workers.processes, workerModule, runtime, log);
  let gateway: Gateway;
  try {
    gateway = await startGateway((listeners) => openSite(settings, log, listeners), {
      ownsScratch: settings.workers.processes > 0,
      workersUp: pool.up,
      redis,
    });
  } catch (error) {
    await redis.stop();
    throw error;
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

interface WorkerPool {
  start(): void;
  up(): boolean;
  close(): Promise<void>;
}

function createPool(count: number, module: URL, runtime: string, log: Log): WorkerPool {
  const children = new Set<ChildProcess>();
  const restarts = new Set<NodeJS.Timeout>();
  let closing = false;

  const start = (delayMs: number) => {
    const startedAtMs = Date.now();
    const child = fork(module, [], {
      env: { ...process.env, [RUNTIME_VARIABLE]: runtime },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    children.add(child);
    child.once('error', (error) => log.error({ event: 'worker.not_started', reason: String(error) }));
    child.once('exit', (code, signal) => {
      children.delete(child);
      if (closing) return;
      const nextMs =
        Date.now() - startedAtMs > HEALTHY_MS ? FIRST_RESTART_MS : Math.min(delayMs * 2, LONGEST_RESTART_MS);
      log.error({ event: 'worker.died', code, signal, restartInMs: nextMs });
      const timer = setTimeout(() => {
        restarts.delete(timer);
        start(nextMs);
      }, nextMs);
      restarts.add(timer);
    });
  };

  return {
    start() {
      for (let index = 0; index < count; index += 1) start(FIRST_RESTART_MS);
    },
    // Workers on other hosts are not seen from here.
    up: () => count === 0 || children.size > 0,
    async close() {
      closing = true;
      for (const timer of restarts) clearTimeout(timer);
      await Promise.all(
        [...children].map(async (child) => {
          const timer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
          const exited = once(child, 'exit');
          child.kill('SIGTERM');
          await exited;
          clearTimeout(timer);
        }),
      );
    },
  };
}
