/**
 * Instances that are durable in the reception log and have no file yet: whatever happens, what was committed gets its file,
 * with the bytes that came, and nothing else does.
 */
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseUid } from '../../../src/domain/uid.js';
import type { GatewayError } from '../../../src/errors/gateway-error.js';
import { createSpool } from '../../../src/spool/envelope-store.js';
import { createLayout, type Layout } from '../../../src/spool/layout.js';
import { readReceptionLog } from '../../../src/spool/log-recovery.js';
import { loggedBytes, openLogged } from '../../../src/spool/logged-file.js';
import { createNewFile } from '../../../src/spool/new-file.js';
import { openReceptionLog, type ReceptionLog } from '../../../src/spool/reception-log.js';
import { SLABS } from '../../../src/spool/scribe.js';
import type { Slab } from '../../../src/spool/slabs.js';
import { createStagedFile, type StagedFile } from '../../../src/spool/staged-file.js';
import { placeInLog } from '../../../src/spool/staging-place.js';
import { until } from '../../support/until.js';

const KEY = 'a'.repeat(32);
const MIB = 1024 * 1024;

let layout: Layout;
let log: ReceptionLog;
const opened: ReceptionLog[] = [];
/** Told so far, by name. */
const hashes = new Map<string, string>();
let told: GatewayError[] = [];
const folders: string[] = [];

const makeLayout = async (): Promise<Layout> => {
  const folder = await mkdtemp(join(tmpdir(), 'drawbridge-log-'));
  folders.push(folder);
  const made = createLayout(folder);
  await createSpool(made);
  return made;
};

const openLog = async (of: Layout): Promise<ReceptionLog> => {
  const made = await openReceptionLog(of, 64, (damage) => told.push(damage));
  opened.push(made);
  await until(() => made.begin() !== undefined, { what: 'the log has room' });
  return made;
};

beforeEach(async () => {
  hashes.clear();
  told = [];
  layout = await makeLayout();
  await mkdir(layout.study(KEY));
  log = await openLog(layout);
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((each) => each.close()));
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true, force: true })));
});

function bytesOf(size: number, seed: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; at += 1) bytes[at] = (at * 31 + seed * 7 + (at >> 8)) & 0xff;
  return bytes;
}

function hashOf(...chunks: readonly Buffer[]): string {
  return createHash('sha256').update(Buffer.concat(chunks)).digest('hex');
}

const pathOf = (name: string, of = layout) => join(of.study(KEY), `${name}.dcm`);

const stage = async (...chunks: readonly Buffer[]): Promise<StagedFile> => {
  const logged = log.begin();
  if (logged === undefined) throw new Error('the log has no room');
  const inLog = placeInLog(logged, 'head'.length, () => createNewFile(layout.ready));
  const staged = createStagedFile(inLog, Buffer.from('head'));
  for (const chunk of chunks) await staged.write(chunk);
  staged.finish();
  return staged;
};

/** Into the study's folder. */
const place = async (staged: StagedFile, name: string): Promise<boolean> => {
  const folder = await open(layout.study(KEY));
  try {
    const hashed = (sha256: string) => {
      hashes.set(name, sha256);
    };
    return await staged.place(pathOf(name), { descriptor: folder.fd, isOrdered: false }, hashed);
  } finally {
    await folder.close();
  }
};

/** As a modality's instance that was answered. */
const store = async (name: string, ...chunks: readonly Buffer[]): Promise<Buffer> => {
  expect(await place(await stage(...chunks), name)).toBe(true);
  return Buffer.concat([Buffer.from('head'), ...chunks]);
};

/** While nobody can make files, everything stays in the log, and nothing changes while it is copied. */
const withoutFiles = () => rm(layout.ready, { recursive: true });

/** What a process that is killed now leaves to the next one. */
const crash = async (): Promise<Layout> => {
  const after = await makeLayout();
  await cp(layout.dataDir, after.dataDir, { recursive: true });
  await mkdir(after.ready, { recursive: true });
  return after;
};

const recover = async (after: Layout): Promise<readonly GatewayError[]> => {
  const told: GatewayError[] = [];
  const recovery = readReceptionLog(after, (damage) => told.push(damage));
  try {
    await recovery.restore();
  } finally {
    recovery.close();
  }
  return told;
};

const placed = async (of = layout) =>
  (await readdir(of.study(KEY))).map((name) => name.slice(0, -'.dcm'.length)).sort();

/** The segment's bytes, changed. */
const damage = async (of: Layout, change: (segment: Buffer) => void) => {
  const path = join(of.receptionLog, '0.log');
  const segment = await readFile(path);
  change(segment);
  await writeFile(path, segment);
};

it('more than get their files in one go get them all the same, and are done with', async () => {
  const names = Array.from({ length: 300 }, (_, at) => `1.${1000 + at}`);
  await withoutFiles();
  await Promise.all(names.map((name) => store(name, Buffer.from(name))));
  await mkdir(layout.ready);
  await log.settled();
  expect(await placed()).toEqual(names);
  expect([...hashes.keys()].sort()).toEqual(names);
  const after = await crash();
  await rm(pathOf('1.1000', after));
  await rm(pathOf('1.1299', after));
  expect(await recover(after)).toEqual([]);
  expect(await placed(after)).toEqual(names.slice(1, -1));
});

it.each([
  ['nothing', []],
  ['a few bytes', [10]],
  ['exactly one block', [4096 - 4]],
  ['exactly one piece', [384 * 1024 - 4]],
  ['many small chunks', Array<number>(500).fill(777)],
  ['several pieces', [400_000, 400_000, 1]],
  ['as much as the log takes', [4 * MIB - 4]],
  ['more than the log takes', [3_000_000, 3_000_000, 1]],
])('a data set of %s is the same in its file, from the log and after a crash', async (_title, sizes) => {
  const chunks = sizes.map((size, at) => bytesOf(size, at + 1));
  const expected = await store('1.1', ...chunks);
  await withoutFiles();
  const after = await crash();
  expect(await recover(after)).toEqual([]);
  await mkdir(layout.ready);
  await log.settled();
  for (const each of [layout, after])
    expect((await readFile(pathOf('1.1', each))).equals(expected)).toBe(true);
  expect(hashes.get('1.1')).toBe(hashOf(...chunks));
  expect(await readdir(layout.ready)).toEqual([]);
});

it.each([
  ['nothing of it is in the log yet', 10],
  ['some of it is in the log', 700_000],
  ['it has gone on in a file', 5 * MIB],
])('its hash can be asked for before it is committed: %s', async (_title, size) => {
  const body = bytesOf(size, 3);
  const staged = await stage(body.subarray(0, size / 2), body.subarray(size / 2));
  expect(await staged.sha256()).toBe(hashOf(body));
  expect(await staged.sha256()).toBe(hashOf(body));
  expect(await place(staged, '1.1')).toBe(true);
  await log.settled();
  expect(hashes.get('1.1')).toBe(hashOf(body));
  expect((await readFile(pathOf('1.1'))).equals(Buffer.concat([Buffer.from('head'), body]))).toBe(true);
});

it('a hash is not made of what the disk has damaged', async () => {
  const staged = await stage(bytesOf(700_000, 4));
  await damage(layout, (segment) => segment.fill(0xee, 8192, 8200));
  await expect(staged.sha256()).rejects.toMatchObject({ code: 'SPOOL_WRITE_FAILED' });
  await staged.discard();
});

it('what came one between the other comes apart again', async () => {
  const [first, second] = await Promise.all([stage(bytesOf(900_000, 1)), stage(bytesOf(900_000, 2))]);
  await Promise.all([place(first, '1.1'), place(second, '1.2')]);
  await log.settled();
  expect((await readFile(pathOf('1.1'))).subarray(4).equals(bytesOf(900_000, 1))).toBe(true);
  expect((await readFile(pathOf('1.2'))).subarray(4).equals(bytesOf(900_000, 2))).toBe(true);
});

it('files are made by themselves when nothing comes any more', async () => {
  await store('1.1', bytesOf(100, 1));
  await until(async () => (await placed()).length === 1, { what: 'the file is made' });
});

it('files are made by themselves also when the disk takes longer than anyone waits for more', async () => {
  const large = await stage(bytesOf(3 * MIB, 1));
  const busy = Array.from({ length: 200 }, () => large.sha256());
  await store('1.1', bytesOf(100, 1));
  await until(async () => (await placed()).length === 1, { what: 'the file is made' });
  await Promise.all(busy);
  await large.discard();
});

it('whoever waits for files does not wait for those of all that comes meanwhile', async () => {
  let isFeeding = true;
  const feed = async (_: unknown, feeder: number) => {
    for (let at = 0; isFeeding; at += 1) await store(`1.${feeder + 1}.${at}`, bytesOf(20_000, at));
  };
  const feeding = Array.from({ length: 16 }, feed);
  await store('2.1', bytesOf(100, 1));
  await log.settled();
  expect(hashes.has('2.1')).toBe(true);
  isFeeding = false;
  await Promise.all(feeding);
});

it('what has no file yet can be read in the log, also while it gets one', async () => {
  await withoutFiles();
  const expected = new Map<string, Buffer>();
  for (const [at, sizes] of [[10], [4096 - 4], [384 * 1024 - 4], [400_000, 400_000, 1]].entries()) {
    const chunks = sizes.map((size) => bytesOf(size, at));
    expected.set(pathOf(`1.${at}`), await store(`1.${at}`, ...chunks));
  }
  const unfiled = log.unfiled(KEY);
  const readAll = async () => {
    expect([...unfiled.files.keys()]).toEqual([...expected.keys()]);
    for (const [path, file] of unfiled.files) {
      const whole = expected.get(path) ?? Buffer.alloc(0);
      expect((await buffer(loggedBytes(file))).equals(whole)).toBe(true);
      const { read } = openLogged(file);
      for (const [from, length] of [
        [0, 3],
        [4095, 2],
        [393_000, 1000],
        [whole.length - 1, 10],
        [whole.length, 10],
        [whole.length + 5000, 10],
      ] as const)
        expect((await read(from, length)).equals(whole.subarray(from, from + length))).toBe(true);
    }
  };
  await readAll();
  expect(log.unfiled('b'.repeat(32)).files.size).toBe(0);
  await mkdir(layout.ready);
  await log.settled();
  expect(log.unfiled(KEY).files.size).toBe(0);
  await readAll();
  unfiled.letGo();
});

it('what is read in the log is not written over before it is let go', async () => {
  await withoutFiles();
  const expected = await store('1.1', bytesOf(MIB, 1));
  const unfiled = log.unfiled(KEY);
  const fill = async () => {
    for (let at = 2; log.begin() !== undefined; at += 1) await store(`1.${at}`, bytesOf(3 * MIB, at));
  };
  await fill();
  await mkdir(layout.ready);
  await log.settled();
  expect(log.begin()).toBeUndefined();
  const [file] = [...unfiled.files.values()];
  expect(file && (await buffer(loggedBytes(file))).equals(expected)).toBe(true);
  unfiled.letGo();
  unfiled.letGo();
  expect(log.begin()).toBeDefined();
});

it('a disk that takes no file keeps nothing from being committed; its reader is told, and gets it later', async () => {
  await withoutFiles();
  const expected = await store('1.1', bytesOf(100_000, 1));
  await expect(log.settled()).rejects.toMatchObject({
    code: 'SPOOL_WRITE_FAILED',
    facts: { errno: 'ENOENT' },
  });
  expect(await placed()).toEqual([]);
  await mkdir(layout.ready);
  await log.settled();
  expect((await readFile(pathOf('1.1'))).equals(expected)).toBe(true);
});

it('what is in the way of one study holds up no other, neither at once nor at the next start', async () => {
  const other = 'b'.repeat(32);
  await mkdir(layout.study(other));
  await withoutFiles();
  const isOrdered = false;
  for (const name of ['1.8', '1.9']) {
    const staged = await stage(bytesOf(100, 1));
    const to = layout.instance(other, parseUid(name, 'SOPInstanceUID'));
    expect(await staged.place(to, { descriptor: -1, isOrdered }, () => undefined)).toBe(true);
  }
  await store('1.1', bytesOf(100, 2));
  const after = await crash();
  for (const each of [layout, after]) {
    await rm(each.study(other), { recursive: true });
    await writeFile(each.study(other), 'in the way');
  }
  await mkdir(layout.ready);
  const failure = { code: 'SPOOL_WRITE_FAILED', facts: { errno: 'ENOTDIR' } };
  await log.settled(KEY);
  await expect(log.settled(other)).rejects.toMatchObject(failure);
  await expect(log.settled()).rejects.toMatchObject(failure);
  await expect(recover(after)).rejects.toMatchObject(failure);
  for (const each of [layout, after]) {
    expect(await placed(each)).toEqual(['1.1']);
    await rm(each.study(other));
    await mkdir(each.study(other));
  }
  await log.settled();
  await recover(after);
  for (const each of [layout, after])
    expect((await readdir(each.study(other))).sort()).toEqual(['1.8.dcm', '1.9.dcm']);
});

it('what the disk has damaged before it got its file is told, has no hash, and may come again', async () => {
  await withoutFiles();
  await store('1.1', bytesOf(900_000, 1));
  await store('1.2', bytesOf(100, 2));
  await damage(layout, (segment) => segment.fill(0, 8192, 12_288));
  await mkdir(layout.ready);
  await log.settled();
  expect(told).toMatchObject([{ code: 'SPOOL_CORRUPT', facts: { path: pathOf('1.1') } }]);
  expect(await placed()).toEqual(['1.2']);
  expect([...hashes.keys()]).toEqual(['1.2']);
  const expected = await store('1.1', bytesOf(900_000, 1));
  await log.settled();
  expect((await readFile(pathOf('1.1'))).equals(expected)).toBe(true);
});

it('a start that can make no files leaves the log as it is, and the next one makes them', async () => {
  await withoutFiles();
  const expected = await store('1.1', bytesOf(100_000, 1));
  const after = await crash();
  await rm(after.ready, { recursive: true });
  await expect(recover(after)).rejects.toMatchObject({ code: 'SPOOL_WRITE_FAILED' });
  await mkdir(after.ready);
  expect(await recover(after)).toEqual([]);
  expect((await readFile(pathOf('1.1', after))).equals(expected)).toBe(true);
});

it('an instance that was not committed leaves nothing, nor does one whose association ended', async () => {
  await withoutFiles();
  const half = await stage(bytesOf(900_000, 1));
  const gone = await stage(bytesOf(900_000, 2));
  await gone.discard();
  await store('1.3', bytesOf(100, 3));
  const after = await crash();
  expect(await recover(after)).toEqual([]);
  expect(await placed(after)).toEqual(['1.3']);
  await half.discard();
});

it('one that finds no file to go on in leaves its room in the log to others', async () => {
  await withoutFiles();
  for (let at = 0; at < 20; at += 1) {
    const large = await stage();
    await large.write(bytesOf(5 * MIB, at));
    await expect(large.settle()).rejects.toMatchObject({ code: 'ENOENT' });
    await large.discard();
  }
  await store('1.1', bytesOf(100, 1));
});

it('a name that is taken keeps its bytes, before and after a crash', async () => {
  await writeFile(pathOf('1.1'), 'first');
  expect(await place(await stage(bytesOf(100, 1)), '1.1')).toBe(false);
  await log.settled();
  const after = await crash();
  await recover(after);
  for (const each of [layout, after]) expect(await readFile(pathOf('1.1', each), 'utf8')).toBe('first');
});

it('a file that was made, and never reached the disk whole, is made again', async () => {
  await withoutFiles();
  const expected = await store('1.1', bytesOf(100_000, 1));
  const after = await crash();
  await writeFile(pathOf('1.1', after), '');
  expect(await recover(after)).toEqual([]);
  expect((await readFile(pathOf('1.1', after))).equals(expected)).toBe(true);
});

it('what an instance that was torn by a power cut has left is told, and the others get their files', async () => {
  await withoutFiles();
  await store('1.1', bytesOf(900_000, 1));
  await store('1.2', bytesOf(100, 2));
  const after = await crash();
  // In the data of the first record.
  await damage(after, (segment) => segment.fill(0, 8192, 12_288));
  const told = await recover(after);
  expect(told).toMatchObject([{ code: 'SPOOL_CORRUPT', facts: { path: pathOf('1.1', after) } }]);
  expect(await placed(after)).toEqual(['1.2']);
});

it('nothing behind a record whose head was torn is believed', async () => {
  await withoutFiles();
  await store('1.1', bytesOf(100, 1));
  await store('1.2', bytesOf(100, 2));
  const after = await crash();
  // The second record.
  await damage(after, (segment) => segment.fill(1, 8192 + 30, 8192 + 40));
  expect(await recover(after)).toEqual([]);
  expect(await placed(after)).toEqual(['1.1']);
});

it('a log of zeros, of garbage, or cut short says nothing', async () => {
  const after = await crash();
  await damage(after, (segment) => segment.fill(0xff));
  expect(await recover(after)).toEqual([]);
  const file = await open(join(after.receptionLog, '0.log'), 'r+');
  await file.truncate(100);
  await file.close();
  expect(await recover(after)).toEqual([]);
  expect(await placed(after)).toEqual([]);
});

it('a study that was forgotten does not come back, also when another one of its name has come since', async () => {
  await store('1.1', bytesOf(100, 1));
  await log.settled();
  await rm(layout.study(KEY), { recursive: true });
  const after = await crash();
  expect(await recover(after)).toEqual([]);
  await mkdir(layout.study(KEY));
  const later = await crash();
  expect(await recover(later)).toEqual([]);
  expect(await placed(later)).toEqual([]);
});

it('nor does it when there was no memory to note that its instances have files: that is made up for', async () => {
  await withoutFiles();
  await store('1.1', bytesOf(100, 1));
  await mkdir(layout.ready);
  const taken: Slab[] = [];
  for (let slab = SLABS.take(); slab !== undefined; slab = SLABS.take()) taken.push(slab);
  await log.settled();
  for (const slab of taken.reverse()) SLABS.give(slab);
  await log.settled();
  await rm(layout.study(KEY), { recursive: true });
  await mkdir(layout.study(KEY));
  const after = await crash();
  expect(await recover(after)).toEqual([]);
  expect(await placed(after)).toEqual([]);
});

it('after a start, what the log said is said no more', async () => {
  await withoutFiles();
  await store('1.1', bytesOf(100, 1));
  const after = await crash();
  await recover(after);
  await rm(pathOf('1.1', after));
  await recover(after);
  expect(await placed(after)).toEqual([]);
});

it('when it is full, instances go into files; when their files are made, it takes more', async () => {
  await withoutFiles();
  const stored = [];
  for (let at = 1; log.begin() !== undefined; at += 1) {
    await store(`1.${at}`, bytesOf(3 * MIB, at));
    stored.push(at);
  }
  expect(stored.length).toBeGreaterThan(10);
  await mkdir(layout.ready);
  await log.settled();
  for (const at of stored)
    expect((await readFile(pathOf(`1.${at}`))).subarray(4).equals(bytesOf(3 * MIB, at))).toBe(true);
  await withoutFiles();
  const expected = await Promise.all([7, 8, 9].map((at) => store(`2.${at}`, bytesOf(3 * MIB, at))));
  const after = await crash();
  await recover(after);
  expect((await placed(after)).length).toBe(stored.length + expected.length);
});

it('a segment that is used again says only what was written since', async () => {
  const second = await makeLayout();
  await mkdir(second.study(KEY));
  await withoutFiles();
  for (const at of [1, 2, 3]) await store(`1.${at}`, bytesOf(100, at));
  await cp(layout.receptionLog, second.receptionLog, { recursive: true });
  await recover(second);
  // The records of the first use still stand behind the first block.
  layout = second;
  log = await openLog(second);
  await rm(second.ready, { recursive: true });
  for (const name of await readdir(second.study(KEY))) await rm(join(second.study(KEY), name));
  await store('1.9', bytesOf(100, 9));
  const after = await crash();
  await recover(after);
  expect(await placed(after)).toEqual(['1.9']);
});
