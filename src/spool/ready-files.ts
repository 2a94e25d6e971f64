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
  let opening = 0;
  let wanted = 0;
  let idle: NodeJS.Timeout | undefined;

  const create = () => createNewFile(folder);

  const fill = () => {
    while (ready.length + opening < wanted) {
      opening += 1;
      create().then(
        (file) => {
          opening -= 1;
          if (ready.length < wanted) ready.push(file);
          else void remove(file);
        },
        () => {
          // Whoever needs one creates it then, and hears why it cannot be had.
          opening -= 1;
          wanted = 0;
        },
      );
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
      fill();
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
