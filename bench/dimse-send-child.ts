/** Files sent as a bridge sends them, by `storeInstances`, in a process of its own. Told what by a JSON file. */
import { readFile } from 'node:fs/promises';
import { storeInstances } from '../src/dimse/store-scu.js';
import { type AeTitle, parseAeTitle } from '../src/domain/ae-title.js';
import { readPieces } from '../src/spool/file-pieces.js';
import type { StudyFile } from './dimse-studies.js';

export interface SendTask {
  readonly port: number;
  /** Sent before, so that the process is as warm as one that has run for days. */
  readonly first: readonly StudyFile[];
  readonly files: readonly StudyFile[];
}

/** Written to standard output. */
export interface SendResult {
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** Of the whole process, by the kernel. */
  readonly peakMib: number;
}

const task = JSON.parse(await readFile(process.argv[2] ?? '', 'utf8')) as SendTask;
const callingAe: AeTitle = parseAeTitle('BENCH');
if (task.first.length > 0) await send(task.first);
const before = process.cpuUsage();
const startedAtMs = performance.now();
await send(task.files);
const seconds = (performance.now() - startedAtMs) / 1000;
const { user, system } = process.cpuUsage(before);
const result: SendResult = {
  seconds,
  cpuSeconds: (user + system) / 1e6,
  peakMib: process.resourceUsage().maxRSS / 1024,
};
process.stdout.write(`${JSON.stringify(result)}\n`);

async function send(files: readonly StudyFile[]): Promise<void> {
  const { stored } = await storeInstances({
    pacs: { aeTitle: parseAeTitle('PACS'), host: '127.0.0.1', port: task.port },
    callingAe,
    instances: files.map(({ path, dataSetOffset, ...instance }) => ({
      ...instance,
      open: (into) => readPieces(path, dataSetOffset, into),
    })),
    onOutcome: () => undefined,
  });
  if (stored !== files.length) throw new Error(`${stored} of ${files.length} instances were stored`);
}
