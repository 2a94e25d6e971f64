/**
 * Threads that give instances of the reception log files of their own. Not the scribe: whoever sends the next instance
 * waits for that one. Two, since each waits for the disk at every file; each holds a dozen megabytes, so they end when
 * nothing has come for a while.
 */
import { Worker } from 'node:worker_threads';
import { type Answer, type Asked, createAskedThread } from './asked-thread.js';
import { plainPiece } from './log-piece.js';
import type { LoggedFile } from './logged-file.js';
import { syncFileSystem } from './sync-file-system.js';

/** A file to be made of what lies in the log. */
export interface RestoredFile extends LoggedFile {
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

export type RestorerTask = Asked<Restoring | Syncing>;

export interface RestorerResult extends Answer {
  /** Of restored files. */
  readonly digests?: Digests;
}

/** For each file the SHA-256, lower hex; undefined when it was not made, since the log holds other bytes than were written. */
export type Digests = readonly (string | undefined)[];

const THREADS = 2;
const IDLE_MS = 2_000;
/** Of so many, one sync of the file system costs less than one for each. */
const MANY_FILES = 16;

const threads = Array.from({ length: THREADS }, () =>
  createAskedThread<Restoring | Syncing, RestorerResult>(
    () =>
      new Worker(new URL('./restorer-thread.mjs', import.meta.url), {
        // It reads files that were opened elsewhere.
        trackUnmanagedFds: false,
      }),
    IDLE_MS,
  ),
);

/**
 * Makes the files, all at once, and then makes them durable. None is made in a folder that is not there.
 * @throws SPOOL_WRITE_FAILED when not all are made and durable; it can be asked for again
 */
export async function restoreFiles({ folder, files, isReplacing }: Restoration): Promise<Digests> {
  const parts = threads.map((thread, turn) => ({
    thread,
    files: files.filter((_, at) => at % THREADS === turn).map(plainFile),
  }));
  const digests: (string | undefined)[] = [];
  const restored = await Promise.allSettled(
    parts.map(async ({ thread, files: some }, turn) => {
      if (some.length === 0) return;
      const made = await thread.ask({ kind: 'restore', folder, files: some, isReplacing });
      made.digests?.forEach((digest, at) => {
        digests[at * THREADS + turn] = digest;
      });
    }),
  );
  // Not before all have ended: they may be asked for again at once.
  for (const result of restored) if (result.status === 'rejected') throw result.reason;
  // For few, the file system has no more to do than for each.
  if (files.length < MANY_FILES || !(await syncFileSystem(folder)))
    await threads[0]?.ask({ kind: 'sync', paths: files.map(({ to }) => to) });
  return digests;
}

/** Nothing else crosses to a thread. */
function plainFile({ pieces, sizeBytes, to, hashedFrom }: RestoredFile): RestoredFile {
  return { pieces: pieces.map(plainPiece), sizeBytes, to, hashedFrom };
}
