/** Many small files, written by another thread, to which they cross many at once. */
import { putBytes } from '../disk/put-bytes.mjs';
import { SLAB_BYTES, type SmallFile, startThreadJob } from './payload-thread.js';

/** Of the tiniest, as many are on their way at once: they cost more in the message than in the slab. */
const MAX_FILES = 1024;

export interface SmallFiles {
  /**
   * @param sizeBytes at most a slab
   * @returns the whole body, as long as nothing else is asked for
   * @throws what went wrong with an earlier one
   */
  add(name: string, sizeBytes: number, body: AsyncIterable<Buffer>): Promise<Buffer>;
  /** Returns when all are written. @throws what the first that failed threw */
  settle(): Promise<void>;
  /** To be called in any case: nothing is written any more when it returns. */
  end(): Promise<void>;
}

/** Files get mode 0600, their folders 0700; a file that is there already is an error (EEXIST). */
export function startSmallFiles(folder: string): SmallFiles {
  const { pool, post, reply, end } = startThreadJob({ kind: 'write', folder });
  /** Slabs that the thread has not given back. */
  let sent = 0;
  /** The one that is being filled. */
  let slab = 0;
  let filled = 0;
  let files: SmallFile[] = [];

  /** The slabs come back in the order in which they went. */
  const takeReply = async (): Promise<void> => {
    await reply();
    sent -= 1;
  };

  const send = async (): Promise<void> => {
    if (files.length === 0) return;
    post({ slab, files });
    sent += 1;
    slab = (slab + 1) % pool.slabs.length;
    filled = 0;
    files = [];
    if (sent === pool.slabs.length) await takeReply();
  };

  return {
    async add(name, sizeBytes, body) {
      if (filled + sizeBytes > SLAB_BYTES.write || files.length === MAX_FILES) await send();
      const memory = pool.slabs[slab] ?? Buffer.alloc(0);
      const begin = filled;
      for await (const chunk of body) filled += putBytes(memory, filled, chunk);
      files.push({ name, sizeBytes: filled - begin });
      return memory.subarray(begin, filled);
    },
    async settle() {
      await send();
      while (sent > 0) await takeReply();
    },
    async end() {
      await end();
      pool.giveBack();
    },
  };
}
