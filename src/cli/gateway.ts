/** `drawbridge gateway`: the gateway alone; workers run elsewhere, against the same Redis and data folder. */
import { Command } from 'commander';
import { compileLater } from '../compose/compile-later.js';
import { ensureSite } from '../compose/first-run.js';
import { startGateway } from '../compose/gateway.js';
import { classifyListenError } from '../compose/listen-error.js';
import { redisChoice } from '../compose/redis.js';
import { openSite } from '../compose/site.js';
import type { Settings } from '../config/settings.js';
import { GatewayError } from '../errors/gateway-error.js';
import { createLog } from '../observe/log.js';
import { startRedis } from '../queue/redis/ladder.js';
import { type ConfigOption, configOption, configPath } from './config-option.js';
import { type JsonOption, printResult } from './output.js';
import { untilStopped } from './stop-signal.js';
import { tellFirstRun } from './up.js';

const CLOSE_GRACE_MS = 10_000;

/** @throws CONFIG_INVALID on a hub, which is one process */
export function assertSite(settings: Settings): void {
  if (settings.role === 'hub')
    throw new GatewayError(
      'CONFIG_INVALID',
      'role: a hub has neither gateway nor workers of its own; use `up`',
    );
}

export function gatewayCommand(): Command {
  return new Command('gateway')
    .description('run the gateway without workers; needs redis.url')
    .addOption(configOption())
    .option('--json', 'one JSON object on standard output, once it listens')
    .action(async (options: ConfigOption & JsonOption) => {
      compileLater();
      const stopped = untilStopped();
      const first = await ensureSite(configPath(options), process.env);
      tellFirstRun(first);
      const { settings } = first;
      assertSite(settings);
      if (settings.redis.url === undefined) {
        throw new GatewayError(
          'CONFIG_INVALID',
          'redis.url: expected one that the workers reach too; or use `up`',
        );
      }
      const log = createLog(settings.log.level, { service: 'gateway' });
      const redis = await startRedis(redisChoice(settings, log));
      const gateway = await startGateway((listeners) => openSite(settings, log, listeners), {
        ownsScratch: false,
        workersUp: () => true,
        redis,
      }).catch((error: unknown) => {
        throw classifyListenError(error, settings);
      });
      if (options.json === true) printResult(options, { ports: gateway.ports, redis: redis.kind }, '');
      await stopped;
      await gateway.close(CLOSE_GRACE_MS);
      await redis.stop();
    });
}
