/** Bytes on their way in: which memory they hold, for how long, and that they arrive as they came. */
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createNewFile } from '../../../src/spool/new-file.js';
import { SLABS } from '../../../src/spool/scribe.js';
import { SLAB_BYTES, type Slab } from '../../../src/spool/slabs.js';
import { createStagedFile, type StagedFile } from '../../../src/spool/staged-file.js';
import { placeInFile } from '../../../src/spool/staging-place.js';
import { until } from '../../support/until.js';

const HEAD = Buffer.from('head');
/** Of one file, on their way to the disk, and one more that is filled. */
const MOST_SLABS = 5;
/** However many senders have stopped in the middle. */
const LEFT = 15;

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-staged-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const stage = async (): Promise<StagedFile> =>
  createStagedFile(placeInFile(await createNewFile(folder), HEAD.length), HEAD);

function bytesOf(size: number, seed: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; at += 1) bytes[at] = (at * 31 + seed * 7 + (at >> 8)) & 0xff;
  return bytes;
}

const hashOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** All that nobody has just now; they are to be given back. */
function takeAll(): Slab[] {
  const taken: Slab[] = [];
  for (let slab = SLABS.take(); slab !== undefined; slab = SLABS.take()) taken.push(slab);
  return taken;
}

function countFree(): number {
  const taken = takeAll();
  for (const slab of taken) SLABS.give(slab);
  return taken.length;
}

it('memory that chunks came in may be used again as soon as each is taken', async () => {
  const body = bytesOf(3 * SLAB_BYTES + 12_345, 1);
  const staged = await stage();
  const memory = Buffer.alloc(100_000);
  for (let at = 0; at < body.length; at += memory.length) {
    const chunk = memory.subarray(0, body.copy(memory, 0, at));
    await staged.write(chunk);
    chunk.fill(0xee);
  }
  expect(staged.finish()).toEqual({ sizeBytes: body.length });
  expect(await staged.sha256()).toBe(hashOf(body));
  expect((await readFile(await staged.settle())).equals(Buffer.concat([HEAD, body]))).toBe(true);
  await staged.discard();
  expect(await readdir(folder)).toEqual([]);
});

it('a file that comes faster than the disk takes it holds a few slabs, and its writer waits', async () => {
  const free = countFree();
  const staged = await stage();
  const body = bytesOf(40 * SLAB_BYTES, 2);
  const writing = staged.write(body);
  expect(writing).toBeInstanceOf(Promise);
  expect(countFree()).toBeGreaterThanOrEqual(free - MOST_SLABS);
  await writing;
  expect(await staged.sha256()).toBe(hashOf(body));
  await staged.discard();
  expect(countFree()).toBe(free);
});

it('more senders than there are slabs, all of which stop in the middle, hold up nobody, and go on later', async () => {
  const free = countFree();
  const slow = await Promise.all(Array.from({ length: 2 * free }, stage));
  const first = slow.map((_, at) => bytesOf(10_001 + at, at));
  const second = slow.map((_, at) => bytesOf(20_003 + at, -at));
  for (const [at, staged] of slow.entries()) await staged.write(first[at] ?? HEAD);
  await until(() => countFree() >= LEFT, { what: 'the disk has taken what was on its way' });
  const other = await stage();
  const body = bytesOf(1_000_000, 3);
  await other.write(body);
  expect((await readFile(await other.settle())).equals(Buffer.concat([HEAD, body]))).toBe(true);
  await other.discard();
  for (const [at, staged] of slow.entries()) await staged.write(second[at] ?? HEAD);
  for (const [at, staged] of slow.entries()) {
    const whole = Buffer.concat([first[at] ?? HEAD, second[at] ?? HEAD]);
    expect(await staged.sha256()).toBe(hashOf(whole));
    expect((await readFile(await staged.settle())).equals(Buffer.concat([HEAD, whole]))).toBe(true);
    await staged.discard();
  }
  expect(countFree()).toBe(free);
});

it('one that is discarded while it waits for memory takes none afterwards', async () => {
  const staged = await stage();
  const taken = takeAll();
  const writing = staged.write(bytesOf(10, 4));
  await staged.discard();
  for (const slab of taken) SLABS.give(slab);
  await writing;
  expect(countFree()).toBe(taken.length);
});

it('what lies in a slab from before is not part of a file', async () => {
  for (const slab of takeAll()) {
    slab.bytes.fill(0xee);
    SLABS.give(slab);
  }
  const staged = await stage();
  await staged.write(bytesOf(5_000, 5));
  const found = await readFile(await staged.flush());
  expect(found.equals(Buffer.concat([HEAD, bytesOf(5_000, 5)]))).toBe(true);
  await staged.discard();
});
