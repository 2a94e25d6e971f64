/**
 * The commit points of the bridge: temporary → fsync → rename or link → fsync of the folder. What these functions
 * have returned for survives a power cut; what they had not is as if it had never been.
 */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { link, lstat, mkdir, open, readdir, rename, rm, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { GatewayError } from '../errors/gateway-error.js';
import { groupSync } from './group-sync.js';
import { syncFileSystem } from './sync-file-system.js';

/** Errno values by which a disk says: no more. */
const DISK_FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

export function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}

/** A failed write as a GatewayError: `SPOOL_WRITE_FAILED`, whatever the disk's reason. */
export function classifyDiskError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  const errno = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  const text = DISK_FULL.has(errno) ? 'the data disk is full' : `the data disk refused a write: ${errno}`;
  return new GatewayError('SPOOL_WRITE_FAILED', text, { cause: error, facts: { errno } });
}

/** Folders that are being synced. */
const folderSyncs = new Map<string, { readonly sync: () => Promise<void>; callers: number }>();

/** Makes the entries of a folder durable. Many callers share one fsync. */
export async function syncFolder(path: string): Promise<void> {
  const group = folderSyncs.get(path) ?? { sync: groupSync(() => fsyncFolder(path)), callers: 0 };
  folderSyncs.set(path, group);
  group.callers += 1;
  try {
    await group.sync();
  } finally {
    group.callers -= 1;
    if (group.callers === 0) folderSyncs.delete(path);
  }
}

async function fsyncFolder(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Creates a folder, and makes its own entry durable. No error when it exists; its entry may not be durable yet even so,
 * where whoever made it was stopped, or is not done.
 */
export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  await syncFolder(dirname(path));
}

/** Renames a file or folder within one file system, durably. The target must not exist, or be a plain file. */
export async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncFolder(dirname(to));
  if (dirname(from) !== dirname(to)) await syncFolder(dirname(from));
}

/** Writes a whole file: afterwards it holds these bytes, or, after a crash, what it held before. */
export async function writeFileDurably(path: string, bytes: Buffer | string, mode = 0o600): Promise<void> {
  const temporary = await writeTemporary(path, bytes, mode);
  try {
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

/**
 * Writes a file that must not exist yet. Returns false, and writes nothing at all, when it does: a start finds its files
 * there, and must not fail on a disk that is full.
 * @param isUndone see `linkDurably`
 */
export async function createFileDurably(
  path: string,
  bytes: Buffer | string,
  mode = 0o600,
  isUndone = false,
): Promise<boolean> {
  if (await isTaken(path)) return false;
  const temporary = await writeTemporary(path, bytes, mode);
  try {
    return await linkDurably(temporary, path, isUndone);
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
}

/**
 * Gives a finished file its final name, and never replaces one that stands there. The caller removes the old name.
 * Returns false when the name is taken.
 * @param isUndone a name that cannot be made durable is taken away again, so that it can be given later: for callers that
 *   alone look at it
 */
export async function linkDurably(from: string, to: string, isUndone = false): Promise<boolean> {
  try {
    await link(from, to);
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw error;
  }
  try {
    await syncFolder(dirname(to));
  } catch (error) {
    if (isUndone) await unlink(to).catch(() => undefined);
    throw error;
  }
  return true;
}

async function isTaken(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

async function writeTemporary(path: string, bytes: Buffer | string, mode: number): Promise<string> {
  const temporary = join(dirname(path), `.${randomUUID()}.tmp`);
  const handle = await open(temporary, 'wx', mode);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } catch (error) {
    await handle.close();
    await rm(temporary, { force: true });
    throw error;
  }
  await handle.close();
  return temporary;
}

/** Files that are synced at once: file systems with a journal write it once for all who wait. */
const SYNCS_AT_ONCE = 8;
/** From so many entries on, the whole file system is sooner synced than each of them. */
const MANY_ENTRIES = 1000;

/** Makes the files of a folder, and of the folders in it, durable: contents first, then entries. */
export async function syncTree(path: string): Promise<void> {
  const names = await readdir(path, { recursive: true });
  if (names.length >= MANY_ENTRIES && (await syncFileSystem(path))) return;
  await syncEach(path);
}

async function syncEach(path: string): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true });
  for (const folder of entries.filter((entry) => entry.isDirectory()))
    await syncEach(join(path, folder.name));
  const files = entries.filter((entry) => !entry.isDirectory()).values();
  const syncing = async (): Promise<void> => {
    for (const { name } of files) await fsyncFile(join(path, name));
  };
  await Promise.all(Array.from({ length: SYNCS_AT_ONCE }, syncing));
  await fsyncFolder(path);
}

async function fsyncFile(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
