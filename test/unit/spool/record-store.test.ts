/** Records: every revision is written once, whoever writes. */
import { mkdtemp, readdir, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type EnvelopeId, parseEnvelopeId } from '../../../src/domain/envelope-id.js';
import { openRecordStore } from '../../../src/spool/record-store.js';

interface Counter {
  readonly id: EnvelopeId;
  readonly revision: number;
  readonly count: number;
}

const ID = parseEnvelopeId('3f0c2b0e-8a53-4d0e-9f4e-0d3c5d9a7b11');
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-records-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it('loses no change when many write at once, through stores of their own', async () => {
  const stores = [1, 2, 3].map(() => openRecordStore<Counter>(folder));
  expect(await stores[0]?.create({ id: ID, revision: 1, count: 0 })).toBe(true);
  const writers = stores.map(async (store) => {
    for (let round = 0; round < 20; round += 1) {
      await store.update(ID, (record) => ({ ...record, count: record.count + 1 }));
    }
  });
  await Promise.all(writers);
  expect(await stores[1]?.read(ID)).toEqual({ id: ID, revision: 61, count: 60 });
});

it('creates a record once', async () => {
  const store = openRecordStore<Counter>(folder);
  expect(await store.create({ id: ID, revision: 1, count: 1 })).toBe(true);
  expect(await store.create({ id: ID, revision: 1, count: 2 })).toBe(false);
  expect((await store.read(ID))?.count).toBe(1);
});

it('writes nothing when nothing changes', async () => {
  const told: number[] = [];
  const store = openRecordStore<Counter>(folder, (record) => told.push(record.revision));
  await store.create({ id: ID, revision: 1, count: 1 });
  await store.update(ID, (record) => record);
  expect(told).toEqual([1]);
});

it('has no record to update before there is one', async () => {
  const store = openRecordStore<Counter>(folder);
  await expect(store.update(ID, (record) => record)).rejects.toMatchObject({ code: 'ENVELOPE_NOT_FOUND' });
  expect(await store.read(ID)).toBeUndefined();
});

it('removes revisions that nobody can still be changing, and no others', async () => {
  const store = openRecordStore<Counter>(folder);
  await store.create({ id: ID, revision: 1, count: 0 });
  const grow = () => store.update(ID, (record) => ({ ...record, count: record.count + 1 }));
  for (let round = 0; round < 4; round += 1) await grow();
  expect(await readdir(join(folder, ID))).toHaveLength(5);
  const long = new Date(Date.now() - 3_600_000);
  for (const name of await readdir(join(folder, ID))) await utimes(join(folder, ID, name), long, long);
  await grow();
  expect((await readdir(join(folder, ID))).sort()).toEqual([
    '000003.json',
    '000004.json',
    '000005.json',
    '000006.json',
  ]);
});
