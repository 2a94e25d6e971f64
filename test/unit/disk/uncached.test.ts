/** Files past the page cache where a file system knows that, and the same bytes the usual way where it does not. */
import { closeSync, constants, openSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { hasOrderedJournal } from '../../../src/disk/ordered-journal.mjs';
import { alignedMemory, BLOCK_BYTES, inWholeBlocks, uncachedFlag } from '../../../src/disk/uncached.mjs';
import { readAll, writeAll, writeAllLater } from '../../../src/disk/whole.mjs';
import { syncFileSystem } from '../../../src/spool/sync-file-system.js';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-disk-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it.each([
  [0, 0],
  [1, 4096],
  [4096, 4096],
  [4097, 8192],
])('%i bytes fill the blocks of %i', (bytes, blocks) => {
  expect(inWholeBlocks(bytes)).toBe(blocks);
});

it('whole blocks go to a file by the flag of its folder, and come back', async () => {
  const memory = Buffer.from(alignedMemory(4 * BLOCK_BYTES), 0, 4 * BLOCK_BYTES);
  memory.fill('a', 0, BLOCK_BYTES).fill('b', BLOCK_BYTES, 2 * BLOCK_BYTES);
  const path = join(folder, 'blocks');
  const file = openSync(path, constants.O_RDWR | constants.O_CREAT | uncachedFlag(folder), 0o600);
  try {
    writeAll(file, memory.subarray(0, BLOCK_BYTES), 0);
    await writeAllLater(file, memory.subarray(BLOCK_BYTES, 2 * BLOCK_BYTES), BLOCK_BYTES);
    readAll(file, memory.subarray(2 * BLOCK_BYTES), 0);
    expect(() => readAll(file, memory.subarray(0, BLOCK_BYTES), 2 * BLOCK_BYTES)).toThrow(
      expect.objectContaining({ code: 'EIO' }),
    );
  } finally {
    closeSync(file);
  }
  const whole = `${'a'.repeat(BLOCK_BYTES)}${'b'.repeat(BLOCK_BYTES)}`;
  expect(memory.toString('latin1', 2 * BLOCK_BYTES)).toBe(whole);
  expect(await readFile(path, 'latin1')).toBe(whole);
});

it('a folder that takes no files takes none past the cache, and no journal is believed of it', () => {
  expect(uncachedFlag('/proc')).toBe(0);
  expect(hasOrderedJournal('/proc')).toBe(false);
});

it('a file system that is there is synced as a whole; of one that is not, nobody believes it', async () => {
  expect(await syncFileSystem(folder)).toBe(true);
  expect(await syncFileSystem(join(folder, 'missing'))).toBe(false);
});
