/** Forgets uploads that nobody has gone on with. */
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../../spool/atomic.js';

/**
 * Removes the files of all uploads of which nothing was written since `beforeMs` (milliseconds since 1970).
 * @param folder one folder for each peer in it
 * @returns how many uploads were removed
 */
export async function sweepUploads(folder: string, beforeMs: number): Promise<number> {
  let removed = 0;
  for (const owner of await readdir(folder)) {
    const names = await readdir(join(folder, owner));
    for (const name of new Set(names.map((file) => file.replace(/\.json$/, '')))) {
      const files = [name, `${name}.json`].map((file) => join(folder, owner, file));
      const touchedMs = Math.max(...(await Promise.all(files.map(modifiedMs))));
      if (touchedMs >= beforeMs) continue;
      for (const file of files) await rm(file, { force: true });
      removed += 1;
    }
  }
  return removed;
}

/** 0 for a file that is not there. */
async function modifiedMs(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return 0;
    throw error;
  }
}
