/** Workers that a killed bridge has left behind are ended before another one begins, and nobody else's. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import {
  endLeftOverWorkers,
  SUPERVISOR_VARIABLE,
  supervisorMark,
} from '../../src/compose/left-over-workers.js';
import { silentLog } from '../../src/observe/log.js';
import { isAlive } from '../../src/queue/redis/process-identity.js';

let folder: string;
const started = new Set<ReturnType<typeof spawn>>();

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-left-over-'));
});
afterEach(async () => {
  for (const child of started) child.kill('SIGKILL');
  started.clear();
  await rm(folder, { recursive: true, force: true });
});

/** A process that says that it has begun, and stays; `stubborn` ones do not hear SIGTERM. */
const start = async (mark: string, stubborn = false) => {
  const work = `${stubborn ? "process.on('SIGTERM', () => undefined);" : ''} console.log('begun'); setInterval(() => undefined, 1000);`;
  const child = spawn(process.execPath, ['-e', work], {
    env: { ...process.env, [SUPERVISOR_VARIABLE]: mark },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  started.add(child);
  await once(child.stdout, 'data');
  return child;
};
/** The mark of a bridge whose process id somebody else has by now. */
const markOfTheDead = async (dataDir: string) =>
  (await supervisorMark(dataDir)).replace(/^(\d+) \d+/, '$1 1');

it('those on this data folder whose bridge is gone end, even where they would rather not', async () => {
  const mark = await markOfTheDead(folder);
  const children = [await start(mark), await start(mark, true)];
  const ended = Promise.all(children.map((child) => once(child, 'exit')));
  await endLeftOverWorkers(folder, silentLog);
  expect((await ended).map(([, signal]) => signal)).toEqual(['SIGTERM', 'SIGKILL']);
});

it('those of a bridge that lives, of another data folder, and what is no worker at all, are left alone', async () => {
  const children = [
    await start(await supervisorMark(folder)),
    await start(await markOfTheDead(`${folder}-2`)),
    await start('no mark'),
  ];
  await endLeftOverWorkers(folder, silentLog);
  expect(children.map(({ pid = 0 }) => isAlive(pid))).toEqual([true, true, true]);
});
