/**
 * The thread of `scribe`: writes files, and gives those that are finished their names, durably, for all that wait at one
 * moment together. First the contents of every file reach the disk, then each gets its name, then one fsync for each
 * folder makes the names last, and only then is anyone told. Where the journal keeps the order of the calls, one fsync
 * does all of that for all. Plain JavaScript, since a thread is started from a file as it stands.
 */
import { closeSync, fdatasyncSync, fsyncSync, ftruncateSync, linkSync, unlinkSync, writeSync } from 'node:fs';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { inWholeBlocks } from '../disk/uncached.mjs';
import { writeAll } from '../disk/whole.mjs';
import { completeRecord, recordBytes } from './log-record.mjs';
import { copyPieces } from './log-restore.mjs';
import { TailHash } from './tail-hash.mjs';

/**
 * @typedef {import('./scribe.js').ScribeTask} ScribeTask
 * @typedef {import('./scribe.js').ScribeResult} ScribeResult
 * @typedef {import('./scribe.js').Piece} Piece
 * @typedef {import('./scribe.js').Digested} Digested
 */

const memory = Buffer.from(workerData);

/** Files of which a piece could not be written, with the reason: they get no name. */
const broken = new Map();

/** Of the files that are being written. @type {Map<number, TailHash>} */
const hashes = new Map();

/** Why a record could not be written: what comes behind it would never be found. */
let logFailure;

/** Files of the log that were appended to since they were synced. */
const unsynced = new Set();

parentPort.on('message', (first) => {
  /** @type {ScribeTask[]} */
  const tasks = [first];
  for (
    let next = receiveMessageOnPort(parentPort);
    next !== undefined;
    next = receiveMessageOnPort(parentPort)
  )
    tasks.push(next.message);

  const results = tasks.map(run);
  syncLog(tasks, results);
  syncNames(tasks, results);
  parentPort.postMessage(results);
  for (const task of tasks) if (task.kind === 'place') letGo(task);
});

/** @param {ScribeTask} task @returns {ScribeResult} */
function run(task) {
  const { id } = task;
  try {
    return { id, ...ACTS[task.kind](task) };
  } catch (error) {
    return { id, isDone: false, errno: String(error.code) };
  }
}

const DONE = { isDone: true };

/** Each says whether it is done; what is not, and throws nothing, found the name taken. */
const ACTS = {
  write(piece) {
    return orBroken(piece.file, () => writeWhole(piece));
  },
  copy({ file, pieces, hashedFrom }) {
    return orBroken(file, () => {
      hashes.set(file, copyPieces(pieces, file, new TailHash(hashedFrom)));
    });
  },
  append({ file, at, bytes, position }) {
    if (logFailure !== undefined) throw logFailure;
    const record = memory.subarray(at, at + recordBytes(bytes));
    completeRecord(record);
    try {
      writeAll(file, record, position);
    } catch (error) {
      logFailure = error;
      throw error;
    }
    unsynced.add(file);
    return DONE;
  },
  digest: ({ digested }) => ({ ...DONE, sha256: digest(digested) }),
  complete(task) {
    complete(task);
    if (task.isDurable) fdatasyncSync(task.file);
    return DONE;
  },
  place(task) {
    complete(task);
    if (!task.isOrdered) fdatasyncSync(task.file);
    return { isDone: isLinked(task), sha256: hashOf(task).digest() };
  },
  remove(task) {
    letGo(task);
    return DONE;
  },
  note({ journal, text }) {
    quietly(() => writeSync(journal, text));
    return DONE;
  },
  ask: () => DONE,
};

function complete(task) {
  assertNotBroken(task.file);
  if (task.bytes === 0) return;
  writeWhole(task);
  if (task.isUncached) ftruncateSync(task.file, task.sizeBytes);
}

function assertNotBroken(file) {
  const failure = broken.get(file);
  if (failure !== undefined) throw failure;
}

/** @param {Piece} piece */
function writeWhole(piece) {
  const { file, isUncached, at, bytes, position } = piece;
  hashOf(piece).update(memory.subarray(at, at + bytes));
  const length = isUncached ? inWholeBlocks(bytes) : bytes;
  // What lay there before is of somebody else.
  memory.fill(0, at + bytes, at + length);
  writeAll(file, memory.subarray(at, at + length), position);
}

/** Of what was written so far. @param {Piece} piece @returns {TailHash} */
function hashOf({ file, hashedFrom }) {
  const hash = hashes.get(file) ?? new TailHash(hashedFrom);
  hashes.set(file, hash);
  return hash;
}

/** @param {Digested} digested */
function digest({ pieces, file, at, bytes, hashedFrom }) {
  if (file !== undefined) assertNotBroken(file);
  const hash =
    file === undefined
      ? copyPieces(pieces, undefined, new TailHash(hashedFrom))
      : hashOf({ file, hashedFrom }).copy();
  return hash.update(memory.subarray(at, at + bytes)).digest();
}

function orBroken(file, act) {
  try {
    act();
    return DONE;
  } catch (error) {
    broken.set(file, error);
    throw error;
  }
}

function isLinked({ from, to }) {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

/** All that was appended, if anyone asks for it. @param {ScribeTask[]} tasks @param {ScribeResult[]} results */
function syncLog(tasks, results) {
  const asking = tasks.filter((task, at) => task.kind === 'append' && task.isDurable && results[at].isDone);
  if (asking.length === 0) return;
  try {
    for (const file of unsynced) fdatasyncSync(file);
    unsynced.clear();
  } catch (error) {
    // It is not tried again: a second sync may say nothing of what the first one lost.
    logFailure = error;
    for (const task of asking)
      results[tasks.indexOf(task)] = { id: task.id, isDone: false, errno: String(error.code) };
  }
}

/** @param {ScribeTask[]} tasks @param {ScribeResult[]} results */
function syncNames(tasks, results) {
  const linked = tasks.filter((task, at) => task.kind === 'place' && results[at].isDone);
  const ordered = linked.filter(({ isOrdered }) => isOrdered);
  const others = linked.filter(({ isOrdered }) => !isOrdered);
  if (ordered.length > 0) syncFor(ordered, ordered.at(-1).file);
  for (const folder of new Set(others.map((task) => task.folder)))
    syncFor(
      others.filter((task) => task.folder === folder),
      folder,
    );

  function syncFor(placed, descriptor) {
    try {
      fsyncSync(descriptor);
    } catch (error) {
      for (const task of placed) {
        results[tasks.indexOf(task)] = { id: task.id, isDone: false, errno: String(error.code) };
        // Nobody is told of it: the same instance may come again.
        quietly(() => unlinkSync(task.to));
      }
    }
  }
}

/** What may be left undone. */
function letGo({ file, from }) {
  broken.delete(file);
  hashes.delete(file);
  quietly(() => closeSync(file));
  quietly(() => unlinkSync(from));
}

function quietly(act) {
  try {
    act();
  } catch {
    // As if it had not been tried.
  }
}
