/**
 * One thread that writes what comes in to the disk and makes it durable, one call after the other and in one go for all
 * commits that wait at that moment: with the thread pool each call would be a trip of its own, and each commit alone. The
 * thread is started by the first file, and keeps no process alive.
 */
import { Worker } from 'node:worker_threads';
import { type Asked, createAskedThread } from './asked-thread.js';
import { type LogPiece, plainPiece } from './log-piece.js';
import { createSlabs } from './slabs.js';

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
  /** Where in the file that begins whose SHA-256 is wanted in the end. */
  readonly hashedFrom: number;
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

/** Pieces that a file that goes on elsewhere begins with. */
interface Copying {
  readonly kind: 'copy';
  readonly file: number;
  readonly pieces: readonly LogPiece[];
  readonly hashedFrom: number;
}

/** Bytes of the memory, and what comes before them: all of a file so far, or pieces of the log. */
export type Digested = Pick<Piece, 'at' | 'bytes' | 'hashedFrom'> &
  ({ readonly file: number } | { readonly pieces: readonly LogPiece[] });

interface Digesting {
  readonly kind: 'digest';
  readonly digested: Digested;
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

type Act = Writing | Completion | Placement | Appending | Copying | Digesting | Removal | Note | Question;
export type ScribeTask = Asked<Act>;

export interface ScribeResult {
  readonly id: number;
  /** False without an `errno`: the name is taken. */
  readonly isDone: boolean;
  /** SHA-256, lower hex: of what was asked for, or of a file that was placed. */
  readonly sha256?: string;
  readonly errno?: string;
}

export const SLABS = createSlabs();

const scribe = createAskedThread<Act, ScribeResult>(
  () =>
    new Worker(new URL('./scribe-thread.mjs', import.meta.url), {
      workerData: SLABS.memory,
      // It closes files that were opened elsewhere.
      trackUnmanagedFds: false,
    }),
);
/** Lines to be written, by journal. */
const notes = new Map<number, string>();

/** Writes a piece, which is a multiple of a block. @throws SPOOL_WRITE_FAILED */
export async function writePiece(piece: Piece): Promise<void> {
  await scribe.ask({ kind: 'write', ...piece });
}

/** Afterwards the file is whole, and durable if asked for; nothing more can be written to it. @throws SPOOL_WRITE_FAILED */
export async function completeFile(completing: Completing, isDurable: boolean): Promise<void> {
  await scribe.ask({ kind: 'complete', ...completing, isDurable });
}

/**
 * Writes the rest of a file, makes it durable, and gives it its name, never replacing what stands there.
 * @returns undefined when the name is taken
 * @throws SPOOL_WRITE_FAILED, also when a piece before could not be written
 */
export async function placeFile(placing: Placing): Promise<{ readonly sha256: string } | undefined> {
  const { isDone, sha256 = '' } = await scribe.ask({ kind: 'place', ...placing });
  return isDone ? { sha256 } : undefined;
}

/** SHA-256, lower hex. @throws SPOOL_WRITE_FAILED, also when a piece before could not be written */
export async function digestOf(digested: Digested): Promise<string> {
  const plain = 'pieces' in digested ? { ...digested, pieces: digested.pieces.map(plainPiece) } : digested;
  const { sha256 = '' } = await scribe.ask({ kind: 'digest', digested: plain });
  return sha256;
}

/** @throws SPOOL_WRITE_FAILED */
export async function appendRecord(append: Append): Promise<void> {
  await scribe.ask({ kind: 'append', ...append });
}

/** Begins a new file with what lies in the log, whole blocks. @throws SPOOL_WRITE_FAILED */
export async function copyPieces(
  file: number,
  pieces: readonly LogPiece[],
  hashedFrom: number,
): Promise<void> {
  await scribe.ask({ kind: 'copy', file, pieces: pieces.map(plainPiece), hashedFrom });
}

/** Closes a file and removes it, after all that is still to be written to it. */
export async function removeFile(file: number, from: string): Promise<void> {
  await scribe.ask({ kind: 'remove', file, from });
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
  for (const [journal, text] of notes) scribe.tell({ kind: 'note', journal, text });
  notes.clear();
}

/** Resolves when all that was asked before is done, journals included. */
export async function scribeIsIdle(): Promise<void> {
  sendNotes();
  if (scribe.isRunning()) await scribe.ask({ kind: 'ask' });
}
