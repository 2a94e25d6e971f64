/**
 * Empty files opened ahead, so that no instance waits for its file to be created: on a file system that has just been
 * tidied up, that may take as long as to write it. None is kept before the first is asked for, nor long after the last.
 */
import { unlink } from 'node:fs/promises';
import { createNewFile, type NewFile } from './new-file.js';

const MOST_FILES = 8;
const IDLE_MS = 2_000;

export interface ReadyFiles {
  /** A new, empty file, which is the caller's from now on. Rejects with the disk's error. */
  take(): Promise<NewFile>;
  /** Removes those that nobody has taken. */
  close(): Promise<void>;
}

/** @param folder for these files alone; what a crash left there may be removed at start */
export function createReadyFiles(folder: string): ReadyFiles {
  const ready: NewFile[] = [];
  let wanted = 0;
  let isFilling = false;
  let idle: NodeJS.Timeout | undefined;

  const create = () => createNewFile(folder);

  /** One after the other: several at once would only wait for the folder, and for each other. */
  const fill = async (): Promise<void> => {
    if (isFilling) return;
    isFilling = true;
    try {
      while (ready.length < wanted) {
        const file = await create();
        if (ready.length < wanted) ready.push(file);
        else await remove(file);
      }
    } catch {
      // Whoever needs one creates it then, and hears why it cannot be had.
      wanted = 0;
    } finally {
      isFilling = false;
    }
  };

  const shrink = async (): Promise<void> => {
    wanted = 0;
    await Promise.all(ready.splice(0).map(remove));
  };

  return {
    take() {
      clearTimeout(idle);
      idle = setTimeout(() => void shrink(), IDLE_MS).unref();
      const file = ready.shift();
      // Who comes while there is none shows that more are needed.
      if (file === undefined || wanted === 0) wanted = Math.min(wanted + 1, MOST_FILES);
      const taken = file === undefined ? create() : Promise.resolve(file);
      void fill();
      return taken;
    },
    async close() {
      clearTimeout(idle);
      await shrink();
    },
  };
}

async function remove(file: NewFile): Promise<void> {
  await file.close().catch(() => undefined);
  await unlink(file.path).catch(() => undefined);
}
