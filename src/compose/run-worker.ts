/** A worker process from start to end, whoever started it. */
import { loadSettings } from '../config/load.js';
import { createLog } from '../observe/log.js';
import { connectRedis } from './redis.js';
import { formatRuntime, RUNTIME_VARIABLE, type Runtime } from './runtime.js';
import { openSite } from './site.js';
import { type SandboxModule, startWorkers } from './worker.js';

const CLOSE_GRACE_MS = 10_000;

/** Runs until it is told to stop. */
export async function runWorker(runtime: Runtime, sandboxModule: SandboxModule): Promise<void> {
  // Before anything is awaited: a supervisor that dies while we start must not leave us behind.
  const stopped = untilStopped();
  const settings = loadSettings(runtime.configPath, process.env);
  const log = createLog(settings.log.level, { service: 'worker' });
  const site = await openSite(settings, log);
  // The sandboxes that BullMQ starts inherit it.
  process.env[RUNTIME_VARIABLE] = formatRuntime(runtime);
  const redis = await connectRedis(runtime, settings, log);
  const workers = startWorkers(site, redis.connection, sandboxModule);
  log.info({ event: 'worker.started', pid: process.pid });
  await stopped;
  await workers.close(CLOSE_GRACE_MS);
  site.close();
  await redis.stop();
  log.info({ event: 'worker.stopped', pid: process.pid });
}

/** A worker without its supervisor would run beside the next one. */
function untilStopped(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
    process.once('disconnect', resolve);
    // Died before we were listening; undefined for a process that has no supervisor.
    if (process.connected === false) resolve();
  });
}
