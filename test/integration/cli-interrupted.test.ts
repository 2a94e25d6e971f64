/** Commands that are interrupted or killed: no plaintext stays, and what `open` was to fill can be used again. */
import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
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

const key = (name: string) => join(root, 'keys', name);
const sealing = (out: string) => [
  ...['seal', join(root, 'study'), '--sender-id', 'a', '--receiver-id', 'b', '--out', out],
  ...['--to', key('encryption.pub'), '--sign-with', key('signing.key')],
];
const opening = (out: string) => [
  ...['open', envelope, '--out', out],
  ...['--key', key('encryption.key'), '--signer', key('signing.pub')],
];

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'drawbridge-interrupted-'));
  await drawbridge('keygen', '--out', join(root, 'keys'));
  await makeStudy({ kind: 'ct', out: join(root, 'study'), slices: 1, rows: 16 });
  await writeFile(join(root, 'study', 'large.bin'), randomBytes(ATTACHMENT_BYTES));
  envelope = String((await drawbridgeJson(...sealing(root)))['path']);
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** A command that has begun to write what `begun` matches, in `folder`. */
async function started(
  args: readonly string[],
  folder: string,
  begun: RegExp,
  env: Readonly<Record<string, string>> = {},
): Promise<RunningProcess> {
  const running = await startProcess({
    command: process.execPath,
    args: [COMMAND, ...args],
    env,
    ready: /^/,
  });
  await until(async () => {
    const names = await readdir(folder, { recursive: true }).catch(() => []);
    return names.some((name) => begun.test(name));
  });
  return running;
}

it.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)(
  '%s ends open, and leaves neither plaintext nor the folders that it made',
  async (signal, code) => {
    const out = join(root, signal, 'made', 'by', 'us');
    await mkdir(join(root, signal));
    const running = await started(opening(out), join(root, signal), /\/payload\//);
    running.kill(signal);
    expect(await running.ended).toMatchObject({ code });
    expect(await readdir(join(root, signal))).toEqual([]);
  },
);

it('SIGTERM ends seal, and leaves no envelope half made', async () => {
  const out = await mkdtemp(join(root, 'seal-'));
  const running = await started(sealing(out), out, /\.part\//);
  running.kill('SIGTERM');
  expect(await running.ended).toMatchObject({ code: 143 });
  expect(await readdir(out)).toEqual([]);
});

it.each(['verify', 'inspect'])(
  'SIGINT ends %s without a finding, and leaves nothing unpacked',
  async (name) => {
    const archive = join(root, 'envelope.tar');
    await promisify(execFile)('tar', ['-cf', archive, '-C', root, basename(envelope)]);
    const scratch = await mkdtemp(join(root, `${name}-`));
    const signer = name === 'verify' ? ['--signer', key('signing.pub')] : [];
    const running = await started([name, archive, ...signer], scratch, /\/envelope\//, { TMPDIR: scratch });
    running.kill('SIGINT');
    expect(await running.ended).toMatchObject({ code: 130 });
    expect(await readdir(scratch)).toEqual([]);
    expect(running.output()).toBe('');
  },
);

it('what a kill leaves behind is cleared by the next open into that folder, which says so', async () => {
  const out = join(root, 'killed');
  await mkdir(out);
  const running = await started(opening(out), out, /\/payload\//);
  running.kill('SIGKILL');
  await running.ended;
  expect(await readdir(out)).toHaveLength(1);
  const { code, stderr } = await drawbridge(...opening(out));
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining('cleared') });
  expect((await readdir(out)).filter((name) => name.startsWith('.'))).toEqual([]);
});

it('what lies beside an open that runs, or beside files of others, is not cleared', async () => {
  for (const names of [
    [`.opening-${process.ppid}-${randomUUID()}`],
    [`.opening-${randomUUID()}`, 'mine.txt'],
  ]) {
    const out = await mkdtemp(join(root, 'kept-'));
    for (const name of names) await mkdir(join(out, name));
    expect(await drawbridgeJson(...opening(out))).toMatchObject({ exit: 1, code: 'REQUEST_INVALID' });
    expect((await readdir(out)).sort()).toEqual([...names].sort());
  }
});
