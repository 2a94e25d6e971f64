/**
 * File systems whose journal commits in the order of the calls, a name together with the file that it is given to: ext4
 * with a journal, and XFS. There one fsync of the file linked last makes durable what was written to every file linked
 * before it past the cache, and all their names. Elsewhere, and where it cannot be told, each contents and each folder has
 * to be synced, as POSIX has it.
 */
import { readFileSync, readlinkSync, statfsSync, statSync } from 'node:fs';
import { basename } from 'node:path';

/** statfs(2) */
const EXT_MAGIC = 0xef53;
const XFS_MAGIC = 0x58465342;

/** By device. */
const known = new Map();

/**
 * @param {string} folder that is there
 * @returns {boolean}
 */
export function hasOrderedJournal(folder) {
  const { dev } = statSync(folder);
  const found = known.get(dev) ?? isOrdered(folder, dev);
  known.set(dev, found);
  return found;
}

/** @param {string} folder @param {number} dev */
function isOrdered(folder, dev) {
  try {
    const { type } = statfsSync(folder);
    return type === XFS_MAGIC || (type === EXT_MAGIC && hasJournal(dev));
  } catch {
    return false;
  }
}

/** ext2, and ext4 without a journal, have the same number; who writes the journal is `<none>` there. @param {number} dev */
function hasJournal(dev) {
  const device = basename(readlinkSync(`/sys/dev/block/${majorOf(dev)}:${minorOf(dev)}`));
  return /^\d+$/.test(readFileSync(`/sys/fs/ext4/${device}/journal_task`, 'latin1').trim());
}

/** makedev(3) of Linux. @param {number} dev */
function majorOf(dev) {
  return Math.floor(dev / 0x100) & 0xfff;
}

/** @param {number} dev */
function minorOf(dev) {
  return (dev & 0xff) | (Math.floor(dev / 0x1000) & 0xfff00);
}
