/**
 * A new file that is written while it comes, by the pool of threads that serves every process, past the page cache where
 * that can be: nobody reads it soon. Slabs of the caller's are filled one after the other, and go to the disk.
 */
import { close, constants, ftruncate, open } from 'node:fs';
import { promisify } from 'node:util';
import { putBytes } from '../disk/put-bytes.mjs';
import { inWholeBlocks } from '../disk/uncached.mjs';
import { writeAllLater } from '../disk/whole.mjs';
import type { SlabPool } from './slab-pool.js';

const openFile = promisify(open);
const truncateFile = promisify(ftruncate);
const closeFile = promisify(close);

const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;

export interface LargeFile {
  /** Returns when the bytes have been copied. @throws what went wrong with earlier ones */
  add(bytes: Buffer): Promise<void>;
  /** Returns when the file is whole, and closed. @throws the first error of its own, also of what `add` started */
  end(): Promise<void>;
}

/**
 * Creates the file, with mode 0600; one that is there already is an error (EEXIST), heard of with the next bytes, or at the end.
 * @param uncached the flag by which it is written past the cache, or 0
 */
export function startLargeFile(path: string, uncached: number, { slabs, take, give }: SlabPool): LargeFile {
  const opening = openFile(path, NEW_FILE | uncached, 0o600);
  const failures: unknown[] = [];
  const fail = (error: unknown): void => void failures.push(error);
  opening.catch(fail);
  /** One write after the other: a file that grows takes no two at once. */
  let writing: Promise<unknown> = opening;
  let slab: number | undefined;
  let filled = 0;
  let position = 0;

  const send = (): void => {
    if (slab === undefined) return;
    const [full, at, sizeBytes] = [slab, position, filled];
    const bytes = (slabs[full] ?? Buffer.alloc(0)).subarray(
      0,
      uncached === 0 ? sizeBytes : inWholeBlocks(sizeBytes),
    );
    // What lay there before is of somebody else.
    bytes.fill(0, sizeBytes);
    const before = writing;
    writing = before.then(async () => writeAllLater(await opening, bytes, at)).finally(() => give(full));
    writing.catch(fail);
    position += sizeBytes;
    slab = undefined;
    filled = 0;
  };

  return {
    async add(bytes) {
      for (let from = 0; from < bytes.length; ) {
        slab ??= await take();
        if (failures.length > 0) throw failures[0];
        const copied = putBytes(slabs[slab] ?? bytes, filled, bytes, from);
        from += copied;
        filled += copied;
        if (filled === slabs[slab]?.length) send();
      }
    },
    async end() {
      send();
      const fd = await opening;
      try {
        await writing;
        if (uncached !== 0 && inWholeBlocks(position) !== position) await truncateFile(fd, position);
      } finally {
        await closeFile(fd);
      }
    },
  };
}
