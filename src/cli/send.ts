/**
 * `drawbridge send`: C-STOREs files to any SCP, bit for bit as they are. Needs a config for TLS, and for a PACS that is
 * called by its name: then what the config says of it is heeded.
 */
import { Command } from 'commander';
import { formatStatus } from '../dicom/store-status.js';
import { type OutgoingInstance, type StoreOutcome, storeInstances } from '../dimse/store-scu.js';
import { formatAeAddress } from '../domain/ae-title.js';
import { GatewayError } from '../errors/gateway-error.js';
import { readPieces } from '../spool/file-pieces.js';
import { readAeTarget } from './ae-target.js';
import { configOption } from './config-option.js';
import { callingBy, type TlsOption, tlsOption } from './dicom-tls-option.js';
import { findInputFiles, type InputInstance } from './input-files.js';
import { type JsonOption, printResult } from './output.js';
import { startProgress } from './progress.js';

interface SendOptions extends TlsOption, JsonOption {
  readonly to: string;
  readonly calling?: string;
}

export function sendCommand(): Command {
  return new Command('send')
    .description('send DICOM files by C-STORE, unchanged')
    .argument('<files...>', 'DICOM files and folders')
    .requiredOption('--to <pacs>', 'name of a PACS in the config, or AE@host:port')
    .option('--calling <AE>', 'our AE title')
    .addOption(tlsOption())
    .addOption(configOption())
    .option('--json', 'one JSON object on standard output')
    .action(async (paths: string[], options: SendOptions) => {
      const { pacs, callingAe, tls } = await readAeTarget(options.to, options);
      const { instances, others, skipped } = await findInputFiles(paths);
      if (instances.length === 0)
        throw new GatewayError('REQUEST_INVALID', 'none of the files is a DICOM instance');
      const progress = await startProgress('sending', instances.length, options.json);
      const outcomes: StoreOutcome[] = [];
      try {
        await callingBy(tls, options, (by) =>
          storeInstances({
            ...by,
            pacs,
            callingAe,
            instances: instances.map((instance) => outgoing(instance, pacs.passCallingAe === true)),
            onOutcome: (outcome) => {
              outcomes.push(outcome);
              progress.update(outcomes.length);
            },
          }),
        );
      } finally {
        progress.stop();
      }
      report(options, formatAeAddress(pacs), instances, outcomes, others.length + skipped);
    });
}

function outgoing(instance: InputInstance, passCallingAe: boolean): OutgoingInstance {
  const { sendingAe } = instance;
  return {
    ...instance,
    ...(passCallingAe && sendingAe !== undefined ? { callingAe: sendingAe } : {}),
    sizeBytes: instance.dataSetBytes,
    open: (into) => readPieces(instance.path, instance.dataSetOffset, into),
  };
}

function report(
  options: SendOptions,
  pacs: string,
  instances: readonly InputInstance[],
  outcomes: readonly StoreOutcome[],
  skipped: number,
): void {
  const failed = outcomes.filter(({ result }) => result === 'refused' || result === 'unanswered');
  const [first] = failed;
  if (first !== undefined) {
    const { code = 'PACS_REFUSED', message = 'it is not stored' } = first.error ?? {};
    const path = instances.find(({ sopInstanceUid }) => sopInstanceUid === first.sopInstanceUid)?.path;
    throw new GatewayError(
      code,
      `${failed.length} of ${outcomes.length} instances were not stored; ${path}: ${message}`,
      { cause: first.error },
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
    `${outcomes.length} instances stored at ${pacs}${skipped === 0 ? '' : `, ${skipped} other files left out`}`,
  );
}
