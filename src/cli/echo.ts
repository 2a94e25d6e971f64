/** `drawbridge echo`: C-ECHO to a PACS of the config, or to any AE. */
import { Command } from 'commander';
import { echo } from '../dimse/echo-scu.js';
import { formatAeAddress } from '../domain/ae-title.js';
import { readAeTarget } from './ae-target.js';
import { configOption } from './config-option.js';
import { callingBy, type TlsOption, tlsOption } from './dicom-tls-option.js';
import { type JsonOption, printResult } from './output.js';

interface EchoOptions extends TlsOption, JsonOption {
  readonly calling?: string;
}

export function echoCommand(): Command {
  return new Command('echo')
    .description('ask an AE whether it is there and knows us (C-ECHO)')
    .argument('<pacs>', 'name of a PACS in the config, or AE@host:port')
    .addOption(configOption())
    .option('--calling <AE>', 'our AE title')
    .addOption(tlsOption())
    .option('--json', 'one JSON object on standard output')
    .action(async (target: string, options: EchoOptions) => {
      const { pacs, callingAe, tls } = await readAeTarget(target, options);
      const { roundTripMs } = await callingBy(tls, options, (by) => echo({ pacs, callingAe, ...by }));
      printResult(
        options,
        { round_trip_ms: roundTripMs },
        `${formatAeAddress(pacs)} answers ${callingAe} in ${Math.round(roundTripMs)} ms`,
      );
    });
}
