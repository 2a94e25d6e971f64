/** Reading and writing all of something: one call may do less than it was asked to. Plain JavaScript, for threads as well. */
import { readSync, write, writeSync } from 'node:fs';
import { promisify } from 'node:util';

const writeInBackground = promisify(write);

/**
 * @param {number} file
 * @param {Buffer} bytes
 * @param {number} position in the file
 * @throws errno of the file system; EIO when it takes nothing, and says nothing
 */
export function writeAll(file, bytes, position) {
  for (let done = 0; done < bytes.length; ) {
    const written = writeSync(file, bytes, done, bytes.length - done, position + done);
    if (written === 0) throw shortWrite();
    done += written;
  }
}

/**
 * The same in the pool of threads.
 * @param {number} file
 * @param {Buffer} bytes
 * @param {number} position in the file
 * @returns {Promise<void>}
 */
export async function writeAllLater(file, bytes, position) {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await writeInBackground(file, bytes, done, bytes.length - done, position + done);
    if (bytesWritten === 0) throw shortWrite();
    done += bytesWritten;
  }
}

/**
 * Fills `into`.
 * @param {number} file
 * @param {Buffer} into
 * @param {number} position in the file
 * @throws errno of the file system; EIO when the file ends before
 */
export function readAll(file, into, position) {
  for (let done = 0; done < into.length; ) {
    const bytesRead = readSync(file, into, done, into.length - done, position + done);
    if (bytesRead === 0) throw Object.assign(new Error('short read'), { code: 'EIO' });
    done += bytesRead;
  }
}

function shortWrite() {
  return Object.assign(new Error('short write'), { code: 'EIO' });
}
