/**
 * A file of the spool, read for sending: one after the other, thousands of them, where a trip to the thread pool costs
 * more than what it is for. So files are opened at once, and short ones are read at once, since all of it is one access
 * to the disk at most; what is longer is read in the background.
 */
import { closeSync, fstatSync, openSync, read, readSync } from 'node:fs';
import { promisify } from 'node:util';

const readInBackground = promisify(read);
/** A few blocks that lie together. */
const SHORT_BYTES = 64 * 1024;

/**
 * The bytes of a file from `offset` on. All pieces lie in `into`, so that each is gone when the next is asked for.
 * @throws the errno of the file system
 */
export async function* readPieces(
  path: string,
  offset: number,
  into: Buffer,
): AsyncGenerator<Buffer, void, void> {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    for (let position = offset; position < size; ) {
      const wanted = Math.min(into.length, size - position);
      const bytesRead =
        wanted <= SHORT_BYTES
          ? readSync(file, into, 0, wanted, position)
          : (await readInBackground(file, into, 0, wanted, position)).bytesRead;
      // Shorter than a moment ago; whoever counts the bytes finds out.
      if (bytesRead === 0) return;
      position += bytesRead;
      yield into.subarray(0, bytesRead);
    }
  } finally {
    closeSync(file);
  }
}
