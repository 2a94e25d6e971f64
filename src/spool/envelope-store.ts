/**
 * Folders that come into being whole: they grow in scratch, are made durable, and appear under their name by one
 * rename. And they go the same way: out of sight by one rename, then removed.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isErrno, renameDurably, syncFolder, syncTree } from './atomic.js';
import { type Layout, spoolFolders } from './layout.js';
import type { ScratchFolder } from './scratch.js';

/** Creates the data folder where it is missing. Called by every process at start. */
export async function createSpool(layout: Layout): Promise<void> {
  for (const folder of spoolFolders(layout)) await mkdir(folder, { recursive: true, mode: 0o700 });
}

/** Makes a grown folder durable and gives it its name, replacing a folder that stands there. @throws SPOOL_WRITE_FAILED */
export async function promoteFolder(layout: Layout, from: ScratchFolder, to: string): Promise<void> {
  await syncTree(from.path);
  await from.assertThere();
  await discardFolder(layout, to);
  await renameDurably(from.path, to);
  await from.remove();
}

/**
 * The same where the name is given once and for ever: of several folders that grew side by side one gets it, whoever made
 * it, and the others are removed.
 * @returns whether it was this one
 * @throws SPOOL_WRITE_FAILED
 */
export async function placeFolder(from: ScratchFolder, to: string): Promise<boolean> {
  await syncTree(from.path);
  await from.assertThere();
  try {
    // A folder that stands there is never empty, so the rename fails (POSIX rename, ENOTEMPTY).
    await renameDurably(from.path, to);
  } catch (error) {
    if (!isErrno(error, 'ENOTEMPTY', 'EEXIST')) throw error;
    // Whoever was faster may have died before its name was durable.
    await syncFolder(dirname(to));
    await from.remove();
    return false;
  }
  await from.remove();
  return true;
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
