/** One turn of sending a study to a receiver, whoever sends, whoever receives; and the table of such turns. */
import { execFile, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { tool } from '../test/support/tools.js';
import { until } from '../test/support/until.js';
import { beside, profiling, type Receiver, type StartReceiver } from './dimse-receivers.js';
import type { SendResult, SendTask } from './dimse-send-child.js';
import type { Study } from './dimse-studies.js';
import { formatRatio, type Measured, median, peakOf, type Row, takeTurns, warmMemory } from './measure.js';
import { readUsage } from './process-usage.js';

const run = promisify(execFile);
/** What a receiver wrote last before it is asked what it has. */
const STORED_PATIENCE_MS = 5_000;

export const DIMSE_TABLE_HEAD = [
  '| what | who | speed, median | range | CPU s | peak RSS, MiB | ours ÷ this |',
  '|---|---|---|---|---|---|---|',
];

export interface DimseRow extends Row {
  /** Small ones are told by the number per second. */
  readonly instances?: number;
}

/** Runs a row, and says it in lines under DIMSE_TABLE_HEAD. */
export async function compareDimse(row: DimseRow, rounds: number): Promise<readonly string[]> {
  const { instances, megabytes, title } = row;
  const speed = (seconds: number) => (instances === undefined ? megabytes / seconds : instances / seconds);
  // Every receiver is warmed by itself, so the first turn counts.
  const turns = await takeTurns(row, rounds, 0);
  return turns.map(({ name, goal, runs, ratio }, index) => {
    const seconds = runs.map((each) => each.seconds);
    const cpu = runs.flatMap(({ cpuSeconds }) => cpuSeconds ?? []);
    return `| ${[
      title,
      name,
      `${speed(median(seconds)).toFixed(0)} ${instances === undefined ? 'MB/s' : 'a second'}`,
      seconds.length === 1
        ? ''
        : `${speed(Math.max(...seconds)).toFixed(0)}–${speed(Math.min(...seconds)).toFixed(0)}`,
      cpu.length === 0 ? '' : median(cpu).toFixed(2),
      peakOf(runs),
      index === 0 ? '' : formatRatio(ratio, goal),
    ].join(' | ')} |`;
  });
}

/** What the turn before left to be written, and memory never used so far, are nobody's to wait for. */
export async function settle(root: string, bytes: number): Promise<void> {
  await run('sync');
  await warmMemory(root, bytes);
}

/** Sends each folder of the study on an association of its own, at the same time. Any failure is an error. */
export async function dcmsend(port: number, folders: readonly string[]): Promise<void> {
  await Promise.all(
    folders.map((folder) =>
      run(
        tool('dcmtk', 'dcmsend'),
        ['-aet', 'BENCH', '-aec', 'DRAWBRIDGE', '127.0.0.1', String(port), '+sd', folder],
        { env: { ...process.env, TCP_NODELAY: '1' } },
      ),
    ),
  );
}

/** A turn of a receiver, with dcmsend as its client: started, warmed, measured, counted, emptied. */
export async function receive(
  start: StartReceiver,
  root: string,
  study: Study,
  first: Study,
): Promise<Measured> {
  const receiver = await start(root);
  try {
    await dcmsend(receiver.port, first.folders);
    return await timed(receiver, study, first.files.length, () => dcmsend(receiver.port, study.folders));
  } finally {
    await receiver.stop();
  }
}

/** Times what brings a study to a receiver, and fails unless all of it is there afterwards. */
export async function timed(
  receiver: Receiver,
  study: Study,
  before: number,
  send: () => Promise<void>,
): Promise<Measured> {
  const idle = readUsage(receiver.pid);
  const startedAtMs = performance.now();
  await send();
  const seconds = (performance.now() - startedAtMs) / 1000;
  await checkStored(receiver, study.files.length + before);
  const usage = readUsage(receiver.pid);
  if (idle === undefined || usage === undefined) return { seconds };
  return { seconds, peakMib: usage.peakMib, cpuSeconds: usage.cpuSeconds - idle.cpuSeconds };
}

/** @throws Error when instances are missing */
export async function checkStored(receiver: Receiver, expected: number): Promise<void> {
  await until(async () => (await receiver.stored()) === expected, {
    timeoutMs: STORED_PATIENCE_MS,
    what: `${expected} instances are stored`,
  });
}

/** A turn of ours as the sender. */
export async function sendOurs(
  start: StartReceiver,
  root: string,
  study: Study,
  first: Study,
): Promise<Measured> {
  return sendTo(start, root, async (receiver) => {
    const measured = await runSendChild(root, {
      port: receiver.port,
      first: first.files,
      files: study.files,
    });
    await checkStored(receiver, first.files.length + study.files.length);
    return measured;
  });
}

/** A turn of a sender that is a whole program, with a receiver that has taken the same small study before. */
export async function sendProgram(
  start: StartReceiver,
  root: string,
  study: Study,
  first: Study,
  program: (port: number, folders: readonly string[]) => Promise<void>,
): Promise<Measured> {
  return sendTo(start, root, async (receiver) => {
    await program(receiver.port, first.folders);
    const startedAtMs = performance.now();
    await program(receiver.port, study.folders);
    const seconds = (performance.now() - startedAtMs) / 1000;
    await checkStored(receiver, first.files.length + study.files.length);
    return { seconds };
  });
}

export async function runSendChild(root: string, task: SendTask): Promise<SendResult> {
  const told = join(root, `task-${randomUUID()}.json`);
  await writeFile(told, JSON.stringify(task));
  const child = fork(beside('dimse-send-child.js'), [told], { silent: true, execArgv: [...profiling()] });
  let said = '';
  let complaint = '';
  child.stdout?.on('data', (text: Buffer) => {
    said += text.toString();
  });
  child.stderr?.on('data', (text: Buffer) => {
    complaint += text.toString();
  });
  const [code] = (await once(child, 'close')) as [number];
  await rm(told);
  if (code !== 0) throw new Error(`our sender ended with ${code}\n${complaint}`);
  return JSON.parse(said) as SendResult;
}

async function sendTo(
  start: StartReceiver,
  root: string,
  send: (receiver: Receiver) => Promise<Measured>,
): Promise<Measured> {
  const receiver = await start(root);
  try {
    return await send(receiver);
  } finally {
    await receiver.stop();
  }
}
