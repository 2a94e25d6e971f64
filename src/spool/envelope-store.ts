/**
 * Folders that come into being whole: they grow in scratch, are made durable, and appear under their name by one
 * rename. And they go the same way: out of sight by one rename, then removed.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isErrno, renameDurably, syncFolder, syncTree } from './atomic.js';
import { type Layout, spoolFolders } from './layout.js';

/** Creates the data folder where it is missing. Called by every process at start. */
export async function createSpool(layout: Layout): Promise<void> {
  for (const folder of spoolFolders(layout)) await mkdir(folder, { recursive: true, mode: 0o700 });
}

/**
 * Removes what a crash left half-made.
 * @param olderThanMs 0 while no worker runs; else far above the time that any step takes
 */
export async function wipeScratch(layout: Layout, olderThanMs: number, nowMs: number): Promise<void> {
  for (const name of await readdir(layout.scratch)) {
    const path = join(layout.scratch, name);
    if (olderThanMs > 0 && nowMs - (await stat(path)).mtimeMs < olderThanMs) continue;
    await rm(path, { recursive: true, force: true });
  }
}

/** A new, empty folder that nobody sees yet. */
export async function openScratchFolder(layout: Layout, purpose: string): Promise<string> {
  const path = join(layout.scratch, `${purpose}-${randomUUID()}`);
  await mkdir(path, { mode: 0o700 });
  return path;
}

/** Makes a grown folder durable and gives it its name, replacing a folder that stands there. */
export async function promoteFolder(layout: Layout, from: string, to: string): Promise<void> {
  await syncTree(from);
  await discardFolder(layout, to);
  await renameDurably(from, to);
}

/**
 * The same where the name is given once and for ever: of several folders that grew side by side one gets it, whoever made
 * it, and the others are removed.
 * @returns whether it was this one
 */
export async function placeFolder(from: string, to: string): Promise<boolean> {
  await syncTree(from);
  try {
    // A folder that stands there is never empty, so the rename fails (POSIX rename, ENOTEMPTY).
    await renameDurably(from, to);
    return true;
  } catch (error) {
    if (!isErrno(error, 'ENOTEMPTY', 'EEXIST')) throw error;
    await rm(from, { recursive: true, force: true });
    return false;
  }
}

/** Gives a folder another name, durably. A folder that is gone already, with the new one in place, is no error. */
export async function moveFolder(from: string, to: string): Promise<void> {
  try {
    await renameDurably(from, to);
  } catch (error) {
    if (!(isErrno(error, 'ENOENT') && (await folderExists(to)))) throw error;
  }
}

/** Removes a folder; a crash never leaves half of it under its name. No error when there is none. */
export async function discardFolder(layout: Layout, path: string): Promise<void> {
  const doomed = join(layout.scratch, `discard-${randomUUID()}`);
  try {
    await rename(path, doomed);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return;
    throw error;
  }
  await syncFolder(dirname(path));
  await rm(doomed, { recursive: true, force: true });
}

export async function folderExists(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
