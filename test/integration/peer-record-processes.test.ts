/** Several processes learn of one peer at the same time, and one is killed: what was durable stays, all of it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createFileDurably } from '../../src/spool/atomic.js';
import { openPeerRecords } from '../../src/trust/peer-record.js';
import { startProcess } from '../support/processes.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-peer-processes-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const LEARNED = /^[\w-]{43}$/gm;
const start = (count: number) =>
  startProcess({
    command: process.execPath,
    args: [resolve('test/integration/peer-record-process.mjs'), folder, resolve('dist/src'), String(count)],
    ready: /^[\w-]{43}$/m,
  });

it('none of what any of them had said to have is lost, and no half record is left', async () => {
  const [victim, ...others] = await Promise.all([start(100_000), start(25), start(25)]);
  await Promise.race(others.map(({ ended }) => ended));
  victim?.kill('SIGKILL');
  const endings = await Promise.all([victim, ...others].map((each) => each?.ended));
  expect(endings.map((each) => each?.code)).toEqual([null, 0, 0]);

  const said = [victim, ...others].flatMap((each) => each?.output().match(LEARNED) ?? []);
  const record = (await openPeerRecords(folder, createFileDurably).all()).get('site-b');
  const kept = record?.offered.map(({ kid }) => kid) ?? [];
  expect(said.length).toBeGreaterThan(50);
  expect(said.filter((kid) => !kept.includes(kid))).toEqual([]);
  // The one that died may have written one more than it could tell.
  expect(kept.length - said.length).toBeLessThanOrEqual(1);
  await Promise.all([victim, ...others].map((each) => each?.stop()));
});
