/** Records of peers, on a real disk: what becomes of them when writers meet, and when one dies. */
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createFileDurably } from '../../../src/spool/atomic.js';
import { emptyPeerRecord, openPeerRecords, type PeerRecord } from '../../../src/trust/peer-record.js';
import { signingKey } from './support/peer-statements.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-peer-record-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const store = (createFile = createFileDurably) => openPeerRecords(folder, createFile);
const files = async () => (await readdir(join(folder, 'peers'))).sort();
const offering = (atMs: number) => (record: PeerRecord) => ({
  ...record,
  offered: [...record.offered, offer(atMs)],
});

function offer(firstSeenMs: number) {
  const { kid, text } = signingKey();
  return { kid, purpose: 'signing' as const, key: text, firstSeenMs };
}

it('loses none of what several writers have learned at the same time', async () => {
  const [one, other] = [store(), store()];
  await Promise.all(
    Array.from({ length: 24 }, (_, index) =>
      (index % 2 === 0 ? one : other).update('site-b', offering(index)),
    ),
  );
  const record = (await store().all()).get('site-b');
  expect(record?.revision).toBe(24);
  expect(record?.offered.map(({ firstSeenMs }) => firstSeenMs).sort((a, b) => a - b)).toEqual(
    Array.from({ length: 24 }, (_, index) => index),
  );
});

it('is as it was before when the writer dies before the file has its name', async () => {
  await store().update('site-b', offering(1));
  const dying = store(async (path, text) => {
    await writeFile(`${path}.0.tmp`, text.slice(0, 40));
    throw new Error('killed');
  });
  await expect(dying.update('site-b', offering(2))).rejects.toThrow('killed');
  const after = store();
  expect((await after.all()).get('site-b')?.offered).toHaveLength(1);
  await after.update('site-b', offering(3));
  expect((await after.all()).get('site-b')?.offered.map(({ firstSeenMs }) => firstSeenMs)).toEqual([1, 3]);
});

it('is not guessed at when its newest file cannot be read', async () => {
  const records = store();
  await records.update('site-b', offering(1));
  await writeFile(join(folder, 'peers', 'site-b.000002.json'), '{"version":1');
  await expect(records.all()).rejects.toMatchObject({ code: 'KEY_UNREADABLE' });
  await expect(records.update('site-b', offering(2))).rejects.toMatchObject({ code: 'KEY_UNREADABLE' });
});

it('is not written where nothing changes', async () => {
  const records = store();
  await records.update('site-b', (record) => record);
  await records.update('site-b', offering(1));
  await records.update('site-b', (record) => record);
  expect(await files()).toEqual(['site-b.000001.json']);
});

it('shows what another process has written, and is not read again where nothing was', async () => {
  const [here, there] = [store(), store()];
  expect((await here.all()).size).toBe(0);
  await there.update('site-b', offering(1));
  expect((await here.all()).get('site-b')?.revision).toBe(1);
  await utimes(join(folder, 'peers'), new Date(), new Date(Date.now() - 60_000));
  const settled = await here.all();
  expect(await here.all()).toBe(settled);
  await there.update('site-b', offering(2));
  expect((await here.all()).get('site-b')?.revision).toBe(2);
});

it('keeps what a later version has added to it', async () => {
  await store().update('site-b', (record) => ({ ...record, later: { something: 1 } }));
  await store().update('site-b', offering(1));
  const text = await readFile(join(folder, 'peers', 'site-b.000002.json'), 'utf8');
  expect(JSON.parse(text)).toMatchObject({ later: { something: 1 } });
});

it('forgets revisions that nobody can be writing upon any more', async () => {
  const records = store();
  for (const atMs of [1, 2, 3]) await records.update('site-b', offering(atMs));
  const long = new Date(Date.now() - 3_600_000);
  for (const name of await files()) await utimes(join(folder, 'peers', name), long, long);
  await records.update('site-b', offering(4));
  expect(await files()).toEqual(['site-b.000003.json', 'site-b.000004.json']);
});

it('is one for each peer, whatever else lies in the folder', async () => {
  const records = store();
  await records.update('site-b', offering(1));
  await records.update('site-b-2', offering(2));
  await writeFile(join(folder, 'peers', 'notes.txt'), 'hello');
  expect([...(await store().all()).keys()].sort()).toEqual(['site-b', 'site-b-2']);
  expect(emptyPeerRecord('site-b').revision).toBe(0);
});
