/** A sink for a large file, which is written past the page cache where that can be; see large-file.ts. */
import { dirname } from 'node:path';
import { Writable } from 'node:stream';
import { uncachedFlag } from '../disk/uncached.mjs';
import { startLargeFile } from './large-file.js';
import { borrowSlabs } from './slab-pool.js';

const SLABS = 4;
const SLAB_BYTES = 1024 * 1024;

/**
 * Creates the file in a folder that is there, with mode 0600. The sink is done with a piece when it calls back; it fails
 * with EEXIST when the file is there already.
 */
export function createFileSink(path: string): Writable {
  const pool = borrowSlabs(SLABS, SLAB_BYTES);
  const file = startLargeFile(path, uncachedFlag(dirname(path)), pool);
  let ending: Promise<void> | undefined;
  const end = (): Promise<void> => {
    ending ??= file.end().finally(() => pool.giveBack());
    return ending;
  };
  return new Writable({
    write(piece: Buffer, _encoding, done) {
      file.add(piece).then(() => done(), done);
    },
    final(done) {
      end().then(() => done(), done);
    },
    destroy(cause, done) {
      // Also before its time: whoever waits for its end may remove the folder next.
      end().then(
        () => done(cause),
        (error: Error) => done(cause ?? error),
      );
    },
  });
}
