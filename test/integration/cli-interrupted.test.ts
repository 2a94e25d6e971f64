/** `drawbridge open` that is interrupted or killed: no plaintext stays, and the folder can be used again. */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import { drawbridge, drawbridgeJson } from '../support/cli.js';
import { type RunningProcess, startProcess } from '../support/processes.js';
import { until } from '../support/until.js';

/** So much that opening it takes longer than noticing that it has begun. */
const ATTACHMENT_BYTES = 256 * 1024 * 1024;
const COMMAND = fileURLToPath(new URL('../../scripts/drawbridge.mjs', import.meta.url));

let root: string;
let envelope: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'drawbridge-interrupted-'));
  await drawbridge('keygen', '--out', join(root, 'keys'));
  await makeStudy({ kind: 'ct', out: join(root, 'study'), slices: 1, rows: 16 });
  await writeFile(join(root, 'study', 'large.bin'), randomBytes(ATTACHMENT_BYTES));
  const key = (name: string) => join(root, 'keys', name);
  const sealed = await drawbridgeJson(
    ...['seal', join(root, 'study'), '--sender-id', 'a', '--receiver-id', 'b', '--out', root],
    ...['--to', key('encryption.pub'), '--sign-with', key('signing.key')],
  );
  envelope = String(sealed['path']);
});
afterAll(() => rm(root, { recursive: true, force: true }));

const args = (out: string) => [
  ...['open', envelope, '--out', out],
  ...['--key', join(root, 'keys', 'encryption.key'), '--signer', join(root, 'keys', 'signing.pub')],
];

/** An `open` that has begun to stage the payload. */
async function opening(out: string): Promise<RunningProcess> {
  const staged = async () => {
    const names = await readdir(out, { recursive: true }).catch(() => []);
    return names.some((name) => name.includes('/payload/'));
  };
  const running = await startProcess({
    command: process.execPath,
    args: [COMMAND, ...args(out)],
    ready: /^/,
  });
  await until(staged);
  return running;
}

it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s leaves no plaintext behind', async (signal) => {
  const out = join(root, signal);
  await mkdir(out);
  const running = await opening(out);
  running.kill(signal);
  const { code } = await running.ended;
  expect(code).toBe({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal]);
  expect(await readdir(out)).toEqual([]);
});

it('what a kill leaves behind is cleared by the next open into that folder', async () => {
  const out = join(root, 'killed');
  await mkdir(out);
  const running = await opening(out);
  running.kill('SIGKILL');
  await running.ended;
  expect(await readdir(out)).toHaveLength(1);
  expect(await drawbridgeJson(...args(out))).toMatchObject({ ok: true, instances: 1 });
  expect((await readdir(out)).filter((name) => name.startsWith('.'))).toEqual([]);
});
