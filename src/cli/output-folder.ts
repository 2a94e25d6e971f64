/** The folder that a command writes to, and those on the way to it. */
import { mkdir, rmdir } from 'node:fs/promises';
import { dirname } from 'node:path';

export interface OutputFolder {
  /** Removes the folders that were made for it, as far as nothing lies in them. Never throws. */
  undo(): Promise<void>;
}

/** @param path absolute */
export async function makeOutputFolder(path: string): Promise<OutputFolder> {
  const first = await mkdir(path, { recursive: true });
  return {
    async undo() {
      if (first === undefined) return;
      for (let folder = path; folder.length >= first.length; folder = dirname(folder)) {
        const isGone = await rmdir(folder).then(
          () => true,
          () => false,
        );
        if (!isGone) return;
      }
    },
  };
}
