/**
 * One thread that does what a commit costs on the disk, one call after the other and in one go for all commits that wait
 * at that moment: with the thread pool each call would be a trip of its own, and each commit alone. The thread is
 * started by the first commit, and keeps no process alive.
 */
import { Worker } from 'node:worker_threads';
import { classifyDiskError } from './atomic.js';

/** A file to be given its name. Descriptors are of this process, and stay open until the result is in. */
export interface Placing {
  /** Of the file; the scribe closes it, whatever becomes of it. */
  readonly file: number;
  /** What is still to be written to it. */
  readonly tail: Uint8Array<ArrayBuffer>;
  /** Its name so far, which the scribe removes, whatever becomes of it. */
  readonly from: string;
  readonly to: string;
  /** Of the folder of `to`. */
  readonly folder: number;
}

/** A line for a journal. */
interface Note {
  readonly file?: never;
  readonly journal: number;
  readonly line: string;
}

/** Nothing to do: an answer is all that is wanted. */
interface Question {
  readonly file?: never;
  readonly line?: never;
}

export type ScribeTask = { readonly id: number } & (Placing | Note | Question);

export interface ScribeResult {
  readonly id: number;
  /** False without an `errno`: the name is taken. */
  readonly placed: boolean;
  readonly errno?: string;
}

interface Waiting {
  resolve(placed: boolean): void;
  reject(error: Error): void;
}

let scribe: { readonly thread: Worker; readonly waiting: Map<number, Waiting> } | undefined;
let lastId = 0;

/**
 * Writes the rest of a file, makes it durable, and gives it its name, never replacing what stands there.
 * @returns false when the name is taken
 * @throws SPOOL_WRITE_FAILED
 */
export function placeFile(placing: Placing): Promise<boolean> {
  return ask(placing, [placing.tail.buffer]);
}

/**
 * Writes a line, some time after what was asked before, and lets nobody wait for it: what a journal lacks is read from the
 * files themselves.
 */
export function noteLater(journal: number, line: string): void {
  scribe?.thread.postMessage({ id: 0, journal, line } satisfies ScribeTask);
}

/** Resolves when all that was asked before is done, journals included. */
export async function scribeIsIdle(): Promise<void> {
  if (scribe !== undefined) await ask({}, []);
}

function ask(task: Placing | Question, transferred: readonly ArrayBuffer[]): Promise<boolean> {
  scribe ??= start();
  const { thread, waiting } = scribe;
  lastId += 1;
  const id = lastId;
  return new Promise((resolve, reject) => {
    // Only while somebody waits for it.
    thread.ref();
    waiting.set(id, { resolve, reject });
    thread.postMessage({ id, ...task }, transferred);
  });
}

function start(): NonNullable<typeof scribe> {
  const thread = new Worker(new URL('./scribe-thread.mjs', import.meta.url), {
    // It closes files that were opened elsewhere.
    trackUnmanagedFds: false,
  });
  const waiting = new Map<number, Waiting>();
  thread.on('message', (results: readonly ScribeResult[]) => {
    for (const { id, placed, errno } of results) {
      const { resolve, reject } = waiting.get(id) ?? {};
      waiting.delete(id);
      if (errno === undefined) resolve?.(placed);
      else reject?.(diskError(errno));
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
