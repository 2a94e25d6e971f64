/**
 * Files past the kernel's page cache (O_DIRECT): what is written once and read much later, or by another process, gains
 * nothing from a copy in memory, and on a machine whose memory is busy or virtual the copy costs more than the disk. The
 * device reads and writes our memory itself: so offsets, lengths and addresses are multiples of a block (open(2), NOTES),
 * memory comes from `alignedMemory`, and a file is written to the end of its last block and then cut. File systems
 * that know none of this are found out first, and get the same bytes the usual way. Plain JavaScript, for threads as well
 * as for the first one. It makes nothing durable.
 */
import { randomUUID } from 'node:crypto';
import { closeSync, constants, openSync, readSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** Of the largest logical block in use, and a page. */
export const BLOCK_BYTES = 4096;
const PAGE_BYTES = 64 * 1024;

/** By device, whether its file system takes it. */
const known = new Map();

/**
 * The flag by which a file is opened to be read past the cache; 0 where the system has none. File systems that do not know
 * it say EINVAL, some of them only when they are to read.
 */
export const DIRECT = constants.O_DIRECT ?? 0;

/**
 * Memory that begins at a block's boundary, shared between threads. Its addresses are never given back before the
 * process ends or it is forgotten: take one for many pieces, not one for each.
 * @param {number} bytes
 * @returns {SharedArrayBuffer}
 */
export function alignedMemory(bytes) {
  const pages = Math.ceil(bytes / PAGE_BYTES);
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer;
}

/**
 * The same for one thread alone: to copy from shared memory takes longer.
 * @param {number} bytes
 * @returns {ArrayBuffer}
 */
export function ownAlignedMemory(bytes) {
  const pages = Math.ceil(bytes / PAGE_BYTES);
  return new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer;
}

/** @param {number} bytes @returns {number} the bytes of the blocks that they fill */
export function inWholeBlocks(bytes) {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;
}

/**
 * The flag by which files in a folder that is there are opened to be written past the cache; 0 where that cannot be. Tried
 * once for each device, with a file of one block.
 * @param {string} folder
 * @returns {number}
 */
export function uncachedFlag(folder) {
  const { dev } = statSync(folder);
  const found = known.get(dev) ?? (takesUncached(folder) ? DIRECT : 0);
  known.set(dev, found);
  return found;
}

/** @param {string} folder */
function takesUncached(folder) {
  if (DIRECT === 0) return false;
  const path = join(folder, `.${randomUUID()}.tmp`);
  let fd;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | DIRECT, 0o600);
    const block = Buffer.from(alignedMemory(BLOCK_BYTES), 0, BLOCK_BYTES);
    return (
      writeSync(fd, block, 0, BLOCK_BYTES, 0) === BLOCK_BYTES && readSync(fd, block, 0, BLOCK_BYTES, 0) > 0
    );
  } catch {
    // Whatever it is, the usual way meets it again, where somebody is told.
    return false;
  } finally {
    if (fd !== undefined) closeSync(fd);
    removeQuietly(path);
  }
}

/** @param {string} path */
function removeQuietly(path) {
  try {
    // Some file systems make the file before they refuse the flag.
    unlinkSync(path);
  } catch {
    // It was never made.
  }
}
