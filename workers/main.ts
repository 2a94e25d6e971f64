/** A worker process: started by `drawbridge up`, or on its own as `drawbridge worker`. Stops on SIGTERM. */
import { connectRedis } from '../src/compose/redis.js';
import { formatRuntime, parseRuntime, RUNTIME_VARIABLE, type Runtime } from '../src/compose/runtime.js';
import { openSite } from '../src/compose/site.js';
import { startWorkers } from '../src/compose/worker.js';
import { loadSettings } from '../src/config/load.js';
import { createLog } from '../src/observe/log.js';

const CLOSE_GRACE_MS = 10_000;

/** Runs until it is told to stop. */
export async function runWorker(runtime: Runtime): Promise<void> {
  const settings = loadSettings(runtime.configPath, process.env);
  const log = createLog(settings.log.level, { service: 'worker' });
  const site = await openSite(settings, log);
  // The sandboxes that BullMQ starts inherit it.
  process.env[RUNTIME_VARIABLE] = formatRuntime(runtime);
  const redis = await connectRedis(runtime, settings, log);
  const workers = startWorkers(site, redis, (stage) => new URL(`./${stage}.js`, import.meta.url));
  log.info({ event: 'worker.started', pid: process.pid });
  await new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
    // A worker without its supervisor would run beside the next one.
    process.once('disconnect', resolve);
  });
  await workers.close(CLOSE_GRACE_MS);
  site.close();
  log.info({ event: 'worker.stopped', pid: process.pid });
}

const handedOn = parseRuntime(process.env[RUNTIME_VARIABLE]);
if (process.argv[1] === new URL(import.meta.url).pathname && handedOn !== undefined) {
  await runWorker(handedOn);
  process.exit(0);
}
