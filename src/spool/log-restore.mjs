/**
 * Instances from the reception log to files of their own. Part of threads; what is to be done, and what is promised, stands
 * at `restoreFiles` in restorer.ts, and at `copyPieces` in scribe.ts.
 */
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  constants,
  fsyncSync,
  ftruncateSync,
  linkSync,
  openSync,
  renameSync,
  unlinkSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { inWholeBlocks, ownAlignedMemory, uncachedFlag } from '../disk/uncached.mjs';
import { readAll, writeAll } from '../disk/whole.mjs';
import { TailHash } from './tail-hash.mjs';

/**
 * @typedef {import('./log-piece.js').LogPiece} LogPiece
 * @typedef {import('./restorer.js').RestoredFile} RestoredFile
 * @typedef {import('./restorer.js').Restoration} Restoration
 */

/** As Linux has it for a checksum that is not right. */
const DAMAGED = 'EBADMSG';
const BUFFER_BYTES = 1024 * 1024;
const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
/** Taken by the first who needs it. @type {Buffer | undefined} */
let buffer;

/**
 * @param {Restoration} restoration
 * @returns {(string | undefined)[]} for each file, the SHA-256 of what is wanted of it; undefined when it could not be made,
 *   because the log does not hold what was written to it
 */
export function restoreFiles({ folder, files, isReplacing }) {
  const flags = NEW_FILE | uncachedFlag(folder);
  return files.map(({ pieces, sizeBytes, to, hashedFrom }) => {
    const from = join(folder, `${randomUUID()}.part`);
    const file = openSync(from, flags, 0o600);
    try {
      const hash = copyPieces(pieces, file, new TailHash(hashedFrom));
      ftruncateSync(file, sizeBytes);
      giveName(isReplacing ? renameSync : linkSync, from, to);
      return hash.digest();
    } catch (error) {
      if (error.code !== DAMAGED) throw error;
      return undefined;
    } finally {
      closeSync(file);
      removeQuietly(from);
    }
  });
}

/**
 * Makes files and their names durable, those that are there.
 * @param {readonly string[]} paths
 */
export function syncFiles(paths) {
  for (const path of paths) sync(path, constants.O_RDONLY);
  for (const parent of new Set(paths.map((path) => dirname(path))))
    sync(parent, constants.O_RDONLY | constants.O_DIRECTORY);
}

/**
 * Writes the pieces one behind the other, in whole blocks.
 * @param {readonly LogPiece[]} pieces all but the last of whole blocks
 * @param {number | undefined} file absent: they are hashed alone
 * @param {TailHash} hash
 * @returns {TailHash} with their bytes
 * @throws errno of the file system; EBADMSG when a piece is not what was written to the log
 */
export function copyPieces(pieces, file, hash) {
  buffer ??= Buffer.from(ownAlignedMemory(BUFFER_BYTES));
  let filled = 0;
  let position = 0;
  const flush = () => {
    if (file !== undefined) writeAll(file, buffer.subarray(0, filled), position);
    position += filled;
    filled = 0;
  };
  for (const { file: log, at, bytes, crc } of pieces) {
    const length = inWholeBlocks(bytes);
    if (filled + length > buffer.length) flush();
    readAll(log, buffer.subarray(filled, filled + length), at);
    const data = buffer.subarray(filled, filled + bytes);
    if (crc32(data) !== crc) throw Object.assign(new Error('not what was written'), { code: DAMAGED });
    hash.update(data);
    filled += length;
  }
  flush();
  return hash;
}

/** @param {typeof linkSync} how @param {string} from @param {string} to */
function giveName(how, from, to) {
  try {
    how(from, to);
  } catch (error) {
    // There already; or its study was forgotten.
    if (error.code !== 'EEXIST' && error.code !== 'ENOENT') throw error;
  }
}

/** @param {string} path */
function removeQuietly(path) {
  try {
    unlinkSync(path);
  } catch {
    // The next start does.
  }
}

/** @param {string} path @param {number} flags */
function sync(path, flags) {
  let file;
  try {
    file = openSync(path, flags);
  } catch (error) {
    if (error.code === 'ENOENT') return;
    throw error;
  }
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
