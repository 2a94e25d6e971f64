/** `drawbridge echo`: C-ECHO to a PACS of the config, or to any AE. */
import { Command } from 'commander';
import { loadSettings } from '../config/load.js';
import { readPacs } from '../config/pacs.js';
import { echo } from '../dimse/echo-scu.js';
import { type AeAddress, type AeTitle, formatAeAddress, parseAeTitle } from '../domain/ae-title.js';
import { GatewayError } from '../errors/gateway-error.js';
import { parseAeAddress } from './ae-address.js';
import { type ConfigOption, configOption, configPath } from './config-option.js';
import { type JsonOption, printResult } from './output.js';

interface EchoOptions extends ConfigOption, JsonOption {
  readonly calling?: string;
}

const TIMEOUT_MS = 10_000;

export function echoCommand(): Command {
  return new Command('echo')
    .description('ask an AE whether it is there and knows us (C-ECHO)')
    .argument('<pacs>', 'name of a PACS in the config, or AE@host:port')
    .addOption(configOption())
    .option('--calling <AE>', 'our AE title')
    .option('--json', 'one JSON object on standard output')
    .action(async (target: string, options: EchoOptions) => {
      const { pacs, callingAe } = targetOf(target, options);
      const { roundTripMs } = await echo({ pacs, callingAe, timeoutMs: TIMEOUT_MS });
      printResult(
        options,
        { round_trip_ms: roundTripMs },
        `${formatAeAddress(pacs)} answers ${callingAe} in ${Math.round(roundTripMs)} ms`,
      );
    });
}

function targetOf(target: string, options: EchoOptions): { pacs: AeAddress; callingAe: AeTitle } {
  if (target.includes('@')) {
    return { pacs: parseAeAddress(target), callingAe: parseAeTitle(options.calling ?? 'DRAWBRIDGE') };
  }
  const pacs = readPacs(loadSettings(configPath(options), process.env)).get(target);
  if (pacs === undefined)
    throw new GatewayError('REQUEST_INVALID', `there is no PACS ${target} in the config`);
  return { pacs, callingAe: options.calling === undefined ? pacs.callingAe : parseAeTitle(options.calling) };
}
