/** Worker processes that die, or cannot even be started, are started again; the pool tells the truth, and ends. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createWorkerPool, type WorkerPool } from '../../src/compose/worker-pool.js';
import { silentLog } from '../../src/observe/log.js';
import { until } from '../support/until.js';

const { execPath } = process;
let folder: string;
let pool: WorkerPool;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-workers-'));
});
afterEach(async () => {
  process.execPath = execPath;
  await pool.close();
  await rm(folder, { recursive: true, force: true });
});

/** A worker that leaves a file with its process id, and stays. */
const makePool = async (): Promise<WorkerPool> => {
  const module = join(folder, 'worker.mjs');
  const note = `writeFileSync(${JSON.stringify(`${folder}/`)} + process.pid + '.pid', '')`;
  await writeFile(
    module,
    `import { writeFileSync } from 'node:fs'; ${note}; setInterval(() => undefined, 1000);`,
  );
  return createWorkerPool(1, pathToFileURL(module), {}, silentLog);
};

const started = async () =>
  (await readdir(folder)).filter((name) => name.endsWith('.pid')).map((name) => Number.parseInt(name, 10));

it('a worker that is killed is followed by another', async () => {
  pool = await makePool();
  pool.start();
  await until(async () => (await started()).length === 1, { what: 'the first runs' });
  const [first = 0] = await started();
  process.kill(first, 'SIGKILL');
  await until(async () => (await started()).length === 2, { what: 'the second runs' });
  expect(pool.up()).toBe(true);
});

it('a worker that the system refuses to start is tried again, and nobody is said to work meanwhile', async () => {
  pool = await makePool();
  process.execPath = join(folder, 'missing');
  pool.start();
  expect(pool.up()).toBe(false);
  process.execPath = execPath;
  await until(async () => (await started()).length === 1, { what: 'it runs' });
  expect(pool.up()).toBe(true);
});

it('a pool none of whose workers could be started ends at once', async () => {
  pool = await makePool();
  process.execPath = join(folder, 'missing');
  pool.start();
  await pool.close();
  expect(pool.up()).toBe(false);
  expect(await started()).toEqual([]);
});
