/** `drawbridge up`: everything one site, or one hub, needs on this machine, until it is told to stop. */
import { Command } from 'commander';
import { compileLater } from '../compose/compile-later.js';
import { ensureSite, type FirstRun } from '../compose/first-run.js';
import { startHub } from '../compose/hub.js';
import { startBridge } from '../compose/supervisor.js';
import type { Settings } from '../config/settings.js';
import { createLog, type Log } from '../observe/log.js';
import { type ConfigOption, configOption, configPath } from './config-option.js';
import { type JsonOption, printResult } from './output.js';
import { untilStopped } from './stop-signal.js';

const CLOSE_GRACE_MS = 10_000;

export function upCommand(): Command {
  return new Command('up')
    .description(
      'run the bridge: DICOM, API, dashboard, workers, and a Redis if none is configured; or a hub, if its role says so',
    )
    .addOption(configOption())
    .option('--json', 'one JSON object on standard output, once it listens')
    .action(async (options: ConfigOption & JsonOption) => {
      compileLater();
      const stopped = untilStopped();
      const path = configPath(options);
      const first = await ensureSite(path, process.env);
      tellFirstRun(first);
      const log = createLog(first.settings.log.level, { service: 'gateway' });
      if (first.settings.role === 'hub') {
        await runHub(first.settings, log, options, stopped);
        return;
      }
      const bridge = await startBridge(
        first.settings,
        path,
        new URL('../../workers/main.js', import.meta.url),
        log,
      );
      const { dimse, dashboard } = first.settings;
      tell(
        `listening: DICOM ${dimse.aeTitles.join(', ')} on ${dicomPorts(bridge.ports)}, ${
          bridge.ports.https === undefined ? 'no API' : `API on port ${bridge.ports.https}`
        }`,
      );
      tell(`dashboard: http://${dashboard.host}:${bridge.ports.dashboard}/   Redis: ${bridge.redisKind}`);
      if (bridge.redisNote !== undefined) tell(bridge.redisNote);
      if (options.json === true) printResult(options, { ports: bridge.ports, redis: bridge.redisKind }, '');
      await stopped;
      tell('stopping');
      await bridge.close(CLOSE_GRACE_MS);
    });
}

function dicomPorts({ dimse, dicomTls }: { readonly dimse: number; readonly dicomTls?: number }): string {
  const plain = dimse === 0 ? [] : [`port ${dimse}`];
  return [...plain, ...(dicomTls === undefined ? [] : [`TLS port ${dicomTls}`])].join(' and ');
}

async function runHub(
  settings: Settings,
  log: Log,
  options: JsonOption,
  stopped: Promise<unknown>,
): Promise<void> {
  const hub = await startHub(settings, log);
  tell(`listening: hub for ${settings.peers.length} sites, API on port ${hub.ports.https}`);
  tell(`dashboard: http://${settings.dashboard.host}:${hub.ports.dashboard}/`);
  if (options.json === true) printResult(options, { ports: hub.ports }, '');
  await stopped;
  tell('stopping');
  await hub.close(CLOSE_GRACE_MS);
}

/** Tells what the first run made. */
export function tellFirstRun(first: FirstRun): void {
  if (first.made.length > 0) tell(`first run: wrote ${first.made.join(', ')}`);
  if (first.password !== undefined) tell(`dashboard password, shown this once: ${first.password}`);
}

/** For people, beside the log. */
function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}
