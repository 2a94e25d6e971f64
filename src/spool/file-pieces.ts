/**
 * A file of the spool, read for sending: one after the other, thousands of them. What is in memory already is read at
 * once, since a trip to the thread pool costs more than to copy it, and wakes a processor that the peer works on. What was
 * written past the page cache is read past it too, in the background, where it costs no processor anything.
 */
import { closeSync, constants, fstatSync, openSync, read, readSync } from 'node:fs';
import { promisify } from 'node:util';
import { BLOCK_BYTES, inWholeBlocks } from '../disk/uncached.mjs';
import { isErrno } from './atomic.js';

const readInBackground = promisify(read);
/** Of a longer file the rest is read in the background: whatever else this process does need not wait for all of it. */
const AT_ONCE_BYTES = 1024 * 1024;

/**
 * The bytes of a file from `offset` on. All pieces lie in `into`, so that each is gone when the next is asked for.
 * @param into with a flag: whole blocks, beginning at the boundary of one
 * @param flag by which the file is read past the page cache, see `uncachedFlag`
 * @throws the errno of the file system
 */
export async function* readPieces(
  path: string,
  offset: number,
  into: Buffer,
  flag = 0,
): AsyncGenerator<Buffer, void, void> {
  let isUncached = flag !== 0;
  let file = openSync(path, constants.O_RDONLY | flag);
  try {
    const { size } = fstatSync(file);
    for (let position = offset; position < size; ) {
      const start = isUncached ? position - (position % BLOCK_BYTES) : position;
      const left = size - start;
      const wanted = Math.min(into.length, isUncached ? inWholeBlocks(left) : left);
      let bytesRead: number;
      try {
        bytesRead =
          isUncached || start >= AT_ONCE_BYTES
            ? (await readInBackground(file, into, 0, wanted, start)).bytesRead
            : readSync(file, into, 0, wanted, start);
      } catch (error) {
        if (!isUncached || !isErrno(error, 'EINVAL')) throw error;
        // A file system that takes the flag, and cannot read by it.
        const plain = openSync(path, constants.O_RDONLY);
        closeSync(file);
        file = plain;
        isUncached = false;
        continue;
      }
      const piece = into.subarray(position - start, Math.min(bytesRead, left));
      // Shorter than a moment ago; whoever counts the bytes finds out.
      if (piece.length === 0) return;
      position += piece.length;
      yield piece;
    }
  } finally {
    closeSync(file);
  }
}
