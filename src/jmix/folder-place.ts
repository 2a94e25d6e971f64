/**
 * Files staged in a folder, and hashed on the way. What is large is written past the page cache, several files at a time;
 * where there are many small ones, another thread writes them.
 */
import { createHash, type Hash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { uncachedFlag } from '../disk/uncached.mjs';
import { startLargeFile } from './large-file.js';
import type { StagingPlace } from './sink-place.js';
import { borrowSlabs } from './slab-pool.js';
import { type SmallFiles, startSmallFiles } from './small-files.js';

/** Each is of one file, so as many are on their way to the disk at most. */
const SLABS = 6;
const SLAB_BYTES = 1024 * 1024;
/** Up to here, the cache is cheaper than the disk. */
const SMALL_FILE_BYTES = 64 * 1024;
/** Every payload has some, and they are not worth a thread. */
const FEW_SMALL_FILES = 8;

/** Files get mode 0600, their folders 0700; a file that is there already is an error (EEXIST). */
export function createFolderPlace(folder: string): StagingPlace {
  const pool = borrowSlabs(SLABS, SLAB_BYTES);
  const uncached = uncachedFlag(folder);
  const made = new Set<string>();
  /** Files that are not closed yet. */
  const unsettled = new Set<Promise<void>>();
  const failures: unknown[] = [];
  let smallCount = 0;
  let small: SmallFiles | undefined;

  const fail = (error: unknown): void => {
    failures.push(error);
    pool.fail(error);
  };

  const putLarge = async (
    name: string,
    flag: number,
    body: AsyncIterable<Buffer>,
    hash: Hash,
  ): Promise<void> => {
    const path = join(folder, name);
    const parent = dirname(path);
    if (!made.has(parent)) await mkdir(parent, { recursive: true, mode: 0o700 });
    made.add(parent);
    const file = startLargeFile(path, flag, pool);
    try {
      for await (const chunk of body) {
        hash.update(chunk);
        await file.add(chunk);
      }
    } finally {
      const ended: Promise<void> = file
        .end()
        .catch(fail)
        .finally(() => unsettled.delete(ended));
      unsettled.add(ended);
    }
  };

  const end = async (): Promise<void> => {
    await Promise.all(unsettled);
    pool.giveBack();
    await small?.end();
  };

  return {
    copies: true,
    async put(name, sizeBytes, body, noteHash) {
      if (failures.length > 0) throw failures[0];
      const hash = createHash('sha256');
      if (sizeBytes > SMALL_FILE_BYTES) await putLarge(name, uncached, body, hash);
      else if (smallCount < FEW_SMALL_FILES) await putLarge(name, 0, body, hash);
      else {
        small ??= startSmallFiles(folder);
        hash.update(await small.add(name, sizeBytes, body));
      }
      if (sizeBytes <= SMALL_FILE_BYTES) smallCount += 1;
      noteHash(hash.digest('hex'));
    },
    async settle() {
      try {
        await small?.settle();
      } finally {
        await end();
      }
      if (failures.length > 0) throw failures[0];
    },
    abandon: end,
  };
}
