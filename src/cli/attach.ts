/** `drawbridge attach`: gives files to a study that lies in the running bridge's spool; they travel with it. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { Command } from 'commander';
import { isUid } from '../domain/uid.js';
import { GatewayError } from '../errors/gateway-error.js';
import { attachmentName } from '../spool/attachments.js';
import { isStudyKey, studyKey } from '../spool/layout.js';
import { openBridgeApi } from './bridge-api.js';
import { type ConfigOption, configOption, configPath } from './config-option.js';
import { type JsonOption, printResult } from './output.js';

interface AttachOptions extends ConfigOption, JsonOption {
  readonly report?: boolean;
  readonly preview?: boolean;
}

const READ_BYTES = 1024 * 1024;

export function attachCommand(): Command {
  return new Command('attach')
    .description('attach files to a study that was taken in; what comes after it has gone follows by itself')
    .argument('<study>', 'its StudyInstanceUID, or its key, as the log shows it')
    .argument('<files...>', 'any files')
    .option('--report', 'the file is the report of the study')
    .option('--preview', 'the files are pictures, each named after the SeriesInstanceUID of its series')
    .addOption(configOption())
    .option('--json', 'one JSON object on standard output')
    .action(async (study: string, paths: string[], options: AttachOptions) => {
      const kind = kindOf(options, paths);
      // All of them before the first: a mistake in the last one shall not leave half of them attached.
      for (const path of paths) {
        attachmentName(kind, basename(path));
        await assertFile(path);
      }
      const key = keyOf(study);
      const api = await openBridgeApi(configPath(options));
      for (const path of paths) {
        const query = new URLSearchParams({ name: basename(path), kind });
        await api.upload(
          `/api/studies/${key}/attachments?${query}`,
          createReadStream(path, { highWaterMark: READ_BYTES }),
        );
      }
      printResult(options, { study: key, attached: paths.length }, `${paths.length} attached to ${key}`);
    });
}

function keyOf(study: string): string {
  if (isStudyKey(study)) return study;
  if (isUid(study)) return studyKey(study);
  throw new GatewayError(
    'REQUEST_INVALID',
    'expected a StudyInstanceUID, or the key of a study: 32 hex digits',
  );
}

function kindOf({ report, preview }: AttachOptions, paths: readonly string[]) {
  if (report === true && preview === true)
    throw new GatewayError('REQUEST_INVALID', 'expected --report or --preview, not both');
  if (report === true && paths.length > 1)
    throw new GatewayError('REQUEST_INVALID', `a study has one report, got ${paths.length} files`);
  if (report === true) return 'report';
  return preview === true ? 'preview' : 'file';
}

async function assertFile(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() !== true) throw new GatewayError('REQUEST_INVALID', `there is no file ${path}`);
}
