/** `drawbridge send`: C-STOREs files to any SCP, bit for bit as they are. Needs no config. */
import { Command } from 'commander';
import { formatStatus } from '../dicom/store-status.js';
import { type StoreOutcome, storeInstances } from '../dimse/store-scu.js';
import { type AeAddress, formatAeAddress, parseAeTitle } from '../domain/ae-title.js';
import { GatewayError } from '../errors/gateway-error.js';
import { readBytesFrom } from '../spool/instance-file.js';
import { parseAeAddress } from './ae-address.js';
import { readInputFiles } from './input-files.js';
import { type JsonOption, printResult } from './output.js';
import { startProgress } from './progress.js';

interface SendOptions extends JsonOption {
  readonly to: AeAddress;
  readonly calling: string;
}

export function sendCommand(): Command {
  return new Command('send')
    .description('send DICOM files by C-STORE, unchanged')
    .argument('<files...>', 'DICOM files and folders')
    .requiredOption('--to <AE@host:port>', 'the SCP', parseAeAddress)
    .option('--calling <AE>', 'our AE title', 'DRAWBRIDGE')
    .option('--json', 'one JSON object on standard output')
    .action(async (paths: string[], options: SendOptions) => {
      const { instances, others, skipped } = await readInputFiles(paths);
      if (instances.length === 0)
        throw new GatewayError('REQUEST_INVALID', 'none of the files is a DICOM instance');
      const progress = startProgress('sending', instances.length, options.json);
      const outcomes: StoreOutcome[] = [];
      try {
        await storeInstances({
          pacs: options.to,
          callingAe: parseAeTitle(options.calling),
          instances: instances.map((instance) => ({
            ...instance,
            sizeBytes: instance.dataSetBytes,
            open: () => readBytesFrom(instance.path, instance.dataSetOffset),
          })),
          onOutcome: (outcome) => {
            outcomes.push(outcome);
            progress.update(outcomes.length);
          },
        });
      } finally {
        progress.stop();
      }
      report(options, outcomes, others.length + skipped);
    });
}

function report(options: SendOptions, outcomes: readonly StoreOutcome[], skipped: number): void {
  const failed = outcomes.filter(({ result }) => result === 'refused' || result === 'unanswered');
  const [first] = failed;
  if (first !== undefined) {
    throw (
      first.error ??
      new GatewayError('PACS_REFUSED', `${failed.length} of ${outcomes.length} instances were not stored`)
    );
  }
  printResult(
    options,
    {
      stored: outcomes.length,
      skipped,
      instances: outcomes.map(({ sopInstanceUid, status, sha256 }) => ({
        sop_instance_uid: sopInstanceUid,
        sha256,
        ...(status === undefined ? {} : { status: formatStatus(status) }),
      })),
    },
    `${outcomes.length} instances stored at ${formatAeAddress(options.to)}${skipped === 0 ? '' : `, ${skipped} other files left out`}`,
  );
}
