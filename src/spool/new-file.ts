/** A new file for bytes that come in: past the page cache where that can be, since nobody reads them soon. */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { join } from 'node:path';
import { uncachedFlag } from '../disk/uncached.mjs';
import { type OpenFile, openFile } from './open-file.js';

export interface NewFile extends OpenFile {
  /** It takes whole blocks only. */
  readonly isUncached: boolean;
}

/** Empty, under a name that nobody has. Rejects with the disk's error. */
export async function createNewFile(folder: string): Promise<NewFile> {
  const flag = uncachedFlag(folder);
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | flag;
  return { ...(await openFile(join(folder, `${randomUUID()}.part`), flags)), isUncached: flag !== 0 };
}
