/**
 * Folders that nobody sees: what grows in them gets its name by one rename, or goes when the work is done. A gateway that
 * starts wipes them all, also under a worker that has outlived the gateway before. So what fails in a folder that has gone
 * says nothing of what was worked on: it is told as a disk that took no write, and the step comes again.
 */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { GatewayError } from '../errors/gateway-error.js';
import { classifyDiskError, isErrno } from './atomic.js';
import type { Layout } from './layout.js';

/** Errno values that speak of the disk, whatever file they were met at. */
const OF_THE_DISK = ['ENOSPC', 'EDQUOT', 'EIO', 'EROFS'];
/** What is being wiped; until it is gone nobody finds it under its own name. */
const WIPED = 'wiped-';
const REMOVAL_RETRIES = 10;
const REMOVAL_RETRY_MS = 10;

export interface ScratchFolder {
  readonly path: string;
  /** @throws SPOOL_WRITE_FAILED when it has gone; one that was made anew in its place is not it */
  assertThere(): Promise<void>;
  /**
   * What failed while it was in use, as it is to be told: SPOOL_WRITE_FAILED when it has gone before it was removed, or
   * when the disk refused.
   */
  judge(error: unknown): Promise<unknown>;
  /** To be called in the end, and by whoever has given it a name: removes what is left. May be called again. */
  remove(): Promise<void>;
}

/** A new, empty folder that nobody sees yet. @throws SPOOL_WRITE_FAILED */
export async function openScratch(layout: Layout, purpose: string): Promise<ScratchFolder> {
  const path = join(layout.scratch, `${purpose}-${randomUUID()}`);
  const handle = await makeAndOpen(path).catch((error: unknown) => {
    throw classifyDiskError(error);
  });
  // While it is open, nothing else gets its number.
  const { dev, ino } = await handle.stat();
  const isThere = async (): Promise<boolean> => {
    const found = await stat(path).catch(() => undefined);
    return found?.dev === dev && found.ino === ino;
  };
  let isRemoved = false;
  return {
    path,
    async assertThere() {
      if (!(await isThere())) throw wiped();
    },
    async judge(error) {
      if (!isRemoved && !(await isThere())) return wiped(error);
      return isErrno(error, ...OF_THE_DISK) ? classifyDiskError(error) : error;
    },
    async remove() {
      isRemoved = true;
      await handle.close();
      await removeWhole(path);
    },
  };
}

/**
 * Works in a folder of its own, which is gone afterwards, unless it was given a name.
 * @throws what `work` throws; SPOOL_WRITE_FAILED instead, when the folder has gone meanwhile
 */
export async function inScratch<T>(
  layout: Layout,
  purpose: string,
  work: (folder: ScratchFolder) => Promise<T>,
): Promise<T> {
  const folder = await openScratch(layout, purpose);
  try {
    return await work(folder);
  } catch (error) {
    throw await folder.judge(error);
  } finally {
    await folder.remove();
  }
}

/**
 * Removes what a crash left half-made. Each folder goes by one rename: who works in it finds all of it, or nothing.
 * @param olderThanMs 0 while no worker runs; else far above the time that any step takes
 */
export async function wipeScratch(layout: Layout, olderThanMs: number, nowMs: number): Promise<void> {
  for (const name of await readdir(layout.scratch)) {
    const path = join(layout.scratch, name);
    const doomed = name.startsWith(WIPED) ? path : join(layout.scratch, `${WIPED}${randomUUID()}`);
    try {
      if (olderThanMs > 0 && nowMs - (await stat(path)).mtimeMs < olderThanMs) continue;
      if (doomed !== path) await rename(path, doomed);
    } catch (error) {
      // Its maker was faster.
      if (isErrno(error, 'ENOENT')) continue;
      throw error;
    }
    await removeWhole(doomed);
  }
}

/** A file that its maker had begun to make before the folder was renamed may come into it while it is being emptied. */
async function removeWhole(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: REMOVAL_RETRIES, retryDelay: REMOVAL_RETRY_MS });
}

async function makeAndOpen(path: string) {
  await mkdir(path, { mode: 0o700 });
  return open(path, constants.O_RDONLY | constants.O_DIRECTORY);
}

function wiped(cause?: unknown): GatewayError {
  return new GatewayError('SPOOL_WRITE_FAILED', 'the scratch folder was wiped during the work', {
    cause,
    facts: { errno: 'ENOENT' },
  });
}
