/** The records in memory: what other processes wrote is seen, whatever the clock of the file system can tell apart. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createRecordIndex } from '../../src/compose/record-index.js';
import { type EnvelopeId, parseEnvelopeId } from '../../src/domain/envelope-id.js';
import { openRecordStore, type RecordStore } from '../../src/spool/record-store.js';

interface Entry {
  readonly id: EnvelopeId;
  readonly revision: number;
  readonly createdAtMs: number;
  readonly state: 'open' | 'finished';
}

let folder: string;
/** Of this process. */
let ours: RecordStore<Entry>;
/** Of another one. */
let theirs: RecordStore<Entry>;
let index: ReturnType<typeof makeIndex>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-index-'));
  theirs = openRecordStore<Entry>(folder);
  index = makeIndex();
  await index.load();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function makeIndex() {
  const made = createRecordIndex<Entry>(
    () => ours,
    ({ createdAtMs }) => createdAtMs,
    ({ state }) => state === 'finished',
  );
  ours = openRecordStore<Entry>(folder, made.put);
  return made;
}

const newId = () => parseEnvelopeId(randomUUID());
const entry = (createdAtMs = 0, id = newId()): Entry => ({ id, revision: 1, createdAtMs, state: 'open' });
const finish = (record: Entry): Entry => ({ ...record, state: 'finished' });
/** The times of a file, as a file system with a coarse clock shows them. */
const setTime = (path: string, time: Date) => utimes(path, time, time);

it('what another process made is seen at the next look, newest first', async () => {
  const [older, newer] = [entry(1), entry(2)];
  await theirs.create(older);
  await theirs.create(newer);
  expect(index.all()).toEqual([]);
  expect(await index.refresh()).toBe(true);
  expect(index.all()).toEqual([newer, older]);
  expect(await index.refresh()).toBe(false);
});

it('what lay there before is loaded', async () => {
  const record = entry();
  await theirs.create(record);
  const later = makeIndex();
  await later.load();
  expect(later.get(record.id)).toEqual(record);
});

it('a folder that has no record yet is looked at again, though no other one has come', async () => {
  const record = entry();
  await theirs.writeDocument(record.id, 'instances.json', '[]');
  // So the list of folders is not read again.
  await setTime(folder, new Date(Date.now() - 60_000));
  expect(await index.refresh()).toBe(false);
  expect(await index.refresh()).toBe(false);
  await theirs.create(record);
  expect(await index.refresh()).toBe(true);
  expect(index.all()).toEqual([record]);
});

it('a folder that never gets a record hides none that comes after it', async () => {
  await theirs.writeDocument(newId(), 'instances.json', '[]');
  await index.refresh();
  const record = entry();
  await theirs.create(record);
  expect(await index.refresh()).toBe(true);
  expect(index.all()).toEqual([record]);
});

it('what another process wrote to a record is seen, and what is older than ours is not put back', async () => {
  const record = entry();
  await ours.create(record);
  await theirs.update(record.id, (current) => ({ ...current, createdAtMs: 5 }));
  expect(await index.refresh()).toBe(true);
  expect(index.get(record.id)).toMatchObject({ createdAtMs: 5, revision: 2 });
  index.put(record);
  expect(index.get(record.id)).toMatchObject({ revision: 2 });
});

it('a write in the very moment of the look before it is seen', async () => {
  const [record, now] = [entry(), new Date()];
  await theirs.create(record);
  await setTime(join(folder, record.id), now);
  await index.refresh();
  await index.refresh();
  await theirs.update(record.id, finish);
  await setTime(join(folder, record.id), now);
  expect(await index.refresh()).toBe(true);
  expect(index.get(record.id)).toMatchObject({ state: 'finished' });
});

it('a record made in the very moment of the look before it is seen', async () => {
  const now = new Date();
  await theirs.create(entry());
  await setTime(folder, now);
  await index.refresh();
  const record = entry();
  await theirs.create(record);
  await setTime(folder, now);
  expect(await index.refresh()).toBe(true);
  expect(index.get(record.id)).toEqual(record);
});

it('what has long been the same is not read again', async () => {
  const [record, longAgo] = [entry(), new Date(Date.now() - 60_000)];
  await theirs.create(record);
  await setTime(join(folder, record.id), longAgo);
  await index.refresh();
  await index.refresh();
  await theirs.update(record.id, finish);
  await setTime(join(folder, record.id), longAgo);
  expect(await index.refresh()).toBe(false);
});

it('a finished record that this process opens again is looked at again', async () => {
  const record = entry();
  await ours.create(record);
  await ours.update(record.id, finish);
  await index.refresh();
  await ours.update(record.id, (current) => ({ ...current, state: 'open' }));
  await theirs.update(record.id, finish);
  expect(await index.refresh()).toBe(true);
  expect(index.get(record.id)).toMatchObject({ state: 'finished', revision: 4 });
});
