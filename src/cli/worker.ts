/** `drawbridge worker`: one worker process, against the Redis and the data folder of a gateway. */
import { Command } from 'commander';
import { runWorker } from '../compose/run-worker.js';
import { loadSettings } from '../config/load.js';
import { type ConfigOption, configOption, configPath } from './config-option.js';
import { assertSite } from './gateway.js';

export function workerCommand(): Command {
  return new Command('worker')
    .description('run a worker process; needs redis.url and the data folder of the gateway')
    .addOption(configOption())
    .action(async (options: ConfigOption) => {
      assertSite(loadSettings(configPath(options), process.env));
      await runWorker(
        { configPath: configPath(options) },
        (stage) => new URL(`../../workers/${stage}.js`, import.meta.url),
      );
    });
}
