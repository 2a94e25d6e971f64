/**
 * One thread that writes what comes in to the disk and makes it durable, one call after the other and in one go for all
 * commits that wait at that moment: with the thread pool each call would be a trip of its own, and each commit alone. The
 * thread is started by the first file, and keeps no process alive.
 */
import { Worker } from 'node:worker_threads';
import { classifyDiskError } from './atomic.js';
import { createSlabs } from './slabs.js';
import { syncFileSystem } from './sync-file-system.js';

/** What is written, of a new file: bytes of `SLABS.memory`. They must stay as they are until the result is in. */
export interface Piece {
  readonly file: number;
  /** It takes whole blocks only; the last piece is filled up with zeros, which are cut off again. */
  readonly isUncached: boolean;
  /** Where they begin in the memory. */
  readonly at: number;
  readonly bytes: number;
  /** Where they belong in the file; a multiple of a block. */
  readonly position: number;
}

interface Writing extends Piece {
  readonly kind: 'write';
}

/** The last piece, which may be empty; the file gets its size. */
export interface Completing extends Piece {
  readonly sizeBytes: number;
}

interface Completion extends Completing {
  readonly kind: 'complete';
  readonly isDurable: boolean;
}

/** A file to be completed, and given its name. */
export interface Placing extends Completing {
  /** Its name so far, which the scribe removes; it also closes the file. Whatever becomes of it. */
  readonly from: string;
  readonly to: string;
  /** Of the folder of `to`. */
  readonly folder: number;
  /** One fsync of the file linked last is enough; see `hasOrderedJournal`. */
  readonly isOrdered: boolean;
}

interface Placement extends Placing {
  readonly kind: 'place';
}

/** A record of the reception log; its head stands in the memory before its bytes, and lacks nothing but checksums. */
export interface Append {
  readonly file: number;
  /** Where the record begins in the memory. */
  readonly at: number;
  /** Of its data. */
  readonly bytes: number;
  /** In the file. */
  readonly position: number;
  /** Together with all that was appended before it. */
  readonly isDurable: boolean;
}

interface Appending extends Append {
  readonly kind: 'append';
}

/** Bytes in the reception log, and zeros behind them up to the next block. */
export interface LogPiece {
  readonly file: number;
  /** In the log's file. */
  readonly at: number;
  readonly bytes: number;
  /** CRC-32 of the bytes. */
  readonly crc: number;
}

/** A file to be made of what lies in the log: all pieces but the last are whole blocks. */
export interface RestoredFile {
  readonly pieces: readonly LogPiece[];
  readonly sizeBytes: number;
  readonly to: string;
  /** In the file, where that begins whose SHA-256 is wanted. */
  readonly hashedFrom: number;
}

export interface Restoration {
  /** Where a file stands until it has its name. */
  readonly folder: string;
  readonly files: readonly RestoredFile[];
  /** Of what has their names already; else it stays as it is. */
  readonly isReplacing: boolean;
}

interface Restoring extends Restoration {
  readonly kind: 'restore';
}

interface Syncing {
  readonly kind: 'sync';
  readonly paths: readonly string[];
}

/** Pieces that a file that goes on elsewhere begins with. */
interface Copying {
  readonly kind: 'copy';
  readonly file: number;
  readonly pieces: readonly LogPiece[];
}

/** A file that nobody wants any more. */
interface Removal {
  readonly kind: 'remove';
  readonly file: number;
  readonly from: string;
}

/** Lines for a journal. */
interface Note {
  readonly kind: 'note';
  readonly journal: number;
  readonly text: string;
}

/** Nothing to do: an answer is all that is wanted. */
interface Question {
  readonly kind: 'ask';
}

type Act =
  | Writing
  | Completion
  | Placement
  | Appending
  | Restoring
  | Syncing
  | Copying
  | Removal
  | Note
  | Question;
export type ScribeTask = Act & { readonly id: number };

export interface ScribeResult {
  readonly id: number;
  /** False without an `errno`: the name is taken. */
  readonly isDone: boolean;
  readonly errno?: string;
  /** Of restored files. */
  readonly digests?: Digests;
}

/** For each file the SHA-256, lower hex; undefined when it was not made, since the log holds other bytes than were written. */
export type Digests = readonly (string | undefined)[];

interface Waiting {
  resolve(result: ScribeResult): void;
  reject(error: Error): void;
}

/** Of so many, one sync of the file system costs less than one for each. */
const MANY_FILES = 16;

export const SLABS = createSlabs();

let scribe: { readonly thread: Worker; readonly waiting: Map<number, Waiting> } | undefined;
let lastId = 0;
/** Lines to be written, by journal. */
const notes = new Map<number, string>();

/** Writes a piece, which is a multiple of a block. @throws SPOOL_WRITE_FAILED */
export async function writePiece(piece: Piece): Promise<void> {
  await ask({ kind: 'write', ...piece });
}

/** Afterwards the file is whole, and durable if asked for; nothing more can be written to it. @throws SPOOL_WRITE_FAILED */
export async function completeFile(completing: Completing, isDurable: boolean): Promise<void> {
  await ask({ kind: 'complete', ...completing, isDurable });
}

/**
 * Writes the rest of a file, makes it durable, and gives it its name, never replacing what stands there.
 * @returns false when the name is taken
 * @throws SPOOL_WRITE_FAILED, also when a piece before could not be written
 */
export async function placeFile(placing: Placing): Promise<boolean> {
  const { isDone } = await ask({ kind: 'place', ...placing });
  return isDone;
}

/** @throws SPOOL_WRITE_FAILED */
export async function appendRecord(append: Append): Promise<void> {
  await ask({ kind: 'append', ...append });
}

/**
 * Makes the files, all at once, and then makes them durable. None is made in a folder that is not there.
 * @throws SPOOL_WRITE_FAILED when not all are made and durable; it can be asked for again
 */
export async function restoreFiles({ folder, files, isReplacing }: Restoration): Promise<Digests> {
  const plain = files.map(({ pieces, sizeBytes, to, hashedFrom }) => ({
    pieces: pieces.map(onlyPiece),
    sizeBytes,
    to,
    hashedFrom,
  }));
  const { digests = [] } = await ask({ kind: 'restore', folder, files: plain, isReplacing });
  // For few, the file system has no more to do than for each.
  if (files.length < MANY_FILES || !(await syncFileSystem(folder)))
    await ask({ kind: 'sync', paths: files.map(({ to }) => to) });
  return digests;
}

/** Begins a new file with what lies in the log, whole blocks. @throws SPOOL_WRITE_FAILED */
export async function copyPieces(file: number, pieces: readonly LogPiece[]): Promise<void> {
  await ask({ kind: 'copy', file, pieces: pieces.map(onlyPiece) });
}

/** Closes a file and removes it, after all that is still to be written to it. */
export async function removeFile(file: number, from: string): Promise<void> {
  await ask({ kind: 'remove', file, from });
}

/**
 * Writes a line, some time after what was asked before, and lets nobody wait for it: what a journal lacks is read from the
 * files themselves.
 */
export function noteLater(journal: number, line: string): void {
  // Not at once: whoever is to be answered goes first.
  if (notes.size === 0) setImmediate(sendNotes);
  notes.set(journal, `${notes.get(journal) ?? ''}${line}`);
}

function sendNotes(): void {
  for (const [journal, text] of notes)
    scribe?.thread.postMessage({ id: 0, kind: 'note', journal, text } satisfies ScribeTask);
  notes.clear();
}

/** Resolves when all that was asked before is done, journals included. */
export async function scribeIsIdle(): Promise<void> {
  sendNotes();
  if (scribe !== undefined) await ask({ kind: 'ask' });
}

/** Nothing else crosses to the thread. */
function onlyPiece({ file, at, bytes, crc }: LogPiece): LogPiece {
  return { file, at, bytes, crc };
}

function ask(act: Act): Promise<ScribeResult> {
  scribe ??= start();
  const { thread, waiting } = scribe;
  lastId += 1;
  const task: ScribeTask = { id: lastId, ...act };
  return new Promise((resolve, reject) => {
    // Only while somebody waits for it.
    thread.ref();
    waiting.set(task.id, { resolve, reject });
    thread.postMessage(task);
  });
}

function start(): NonNullable<typeof scribe> {
  const thread = new Worker(new URL('./scribe-thread.mjs', import.meta.url), {
    workerData: SLABS.memory,
    // It closes files that were opened elsewhere.
    trackUnmanagedFds: false,
  });
  const waiting = new Map<number, Waiting>();
  thread.on('message', (results: readonly ScribeResult[]) => {
    for (const result of results) {
      const { resolve, reject } = waiting.get(result.id) ?? {};
      waiting.delete(result.id);
      if (result.errno === undefined) resolve?.(result);
      else reject?.(diskError(result.errno));
    }
    if (waiting.size === 0) thread.unref();
  });
  const broken = () => {
    scribe = undefined;
    for (const { reject } of waiting.values()) reject(diskError('ESRCH'));
    waiting.clear();
  };
  thread.on('error', broken).on('exit', broken);
  thread.unref();
  return { thread, waiting };
}

function diskError(errno: string): Error {
  return classifyDiskError(Object.assign(new Error(errno), { code: errno }));
}
