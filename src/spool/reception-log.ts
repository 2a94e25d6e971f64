/**
 * Where instances become durable first: one write into room that is there already, and one sync, instead of a new file,
 * its blocks, its name and the folder's. An instance in the log is committed, whatever happens; it gets its file in its
 * study's folder when nothing else is to be done, or when somebody wants to read the study. What was committed and had no
 * file when the process was stopped gets it at the next start (log-recovery.ts). An instance for which there is no room
 * goes into a file at once, as does one that turns out to be large.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { BLOCK_BYTES } from '../disk/uncached.mjs';
import { GatewayError } from '../errors/gateway-error.js';
import type { Layout } from './layout.js';
import type { LogPiece } from './log-piece.js';
import { beginRecord, dataCrcOf, recordBytes } from './log-record.mjs';
import { createLogSegments, SEGMENT_BYTES, type Segment } from './log-segments.js';
import { formatRecordText, nameInStudy, type RecordText } from './log-text.js';
import type { Unfiled } from './logged-file.js';
import { restoreStudies } from './restore-studies.js';
import type { RestoredFile } from './restorer.js';
import { appendRecord, SLABS } from './scribe.js';
import type { Slab } from './slabs.js';
import type { Tell } from './study-folder.js';

/** An instance begins here only if there is so much room: several come at the same time. */
const LEAST_FREE_BYTES = 16 * 1024 * 1024;
/** Larger ones are written to a file: they take long enough. */
const MAX_INSTANCE_BYTES = 4 * 1024 * 1024;
/** Nothing has come for so long: time to make files. */
const IDLE_MS = 40;
/** After the disk did not take a file. */
const RETRY_MS = 2_000;
/** At the first start, room is made. */
const PREPARATION_MS = 1_000;
/** Files made in one go, while whatever comes has less of the disk: so many, or of so many bytes. */
const FILES_AT_ONCE = 256;
const BYTES_AT_ONCE = 32 * 1024 * 1024;
/** So many fit into the head of a record. */
const IDS_IN_RECORD = 64;

/** Bytes of one instance: in a slab behind a block that is left for the record's head. */
export interface LoggedBytes {
  readonly slab: Slab;
  readonly bytes: number;
  /** In the instance's file. */
  readonly position: number;
}

export interface LoggedInstance {
  /** Resolves when all that was appended so far is written, to where it lies. @throws SPOOL_WRITE_FAILED */
  written(): Promise<readonly LogPiece[]>;
  /** Undefined, and nothing is done, when it must go on in a file. @throws SPOOL_WRITE_FAILED */
  append(piece: LoggedBytes): Promise<void> | undefined;
  /**
   * Durable when it resolves; `to` is its name from now on, although the file may be made later. False when that name is
   * taken. Undefined, and nothing is done, when it must go on in a file.
   * @param hash is made and told with the file
   * @throws SPOOL_WRITE_FAILED
   */
  commit(last: LoggedBytes, to: string, hash: LateHash): Promise<boolean> | undefined;
  /** What was appended is not needed any more, unless it was committed. */
  letGo(): void;
}

/** The SHA-256 of an instance, made together with its file. */
export interface LateHash {
  /** In the file, where that begins whose hash it is. */
  readonly from: number;
  /** Told it, in lower hex. It must not reject. */
  done(sha256: string): void | Promise<void>;
}

export interface ReceptionLog {
  /** Undefined when an instance should rather begin in a file. */
  begin(): LoggedInstance | undefined;
  /**
   * All that was committed before has its file, and its hash is told.
   * @param studyKey whose instances are meant; absent: all
   * @throws SPOOL_WRITE_FAILED
   */
  settled(studyKey?: string): Promise<void>;
  /** What was committed of a study and has no file yet. */
  unfiled(studyKey: string): Unfiled;
  /** Settles, as far as the disk allows. Nothing is to be appended afterwards. */
  close(): Promise<void>;
}

interface Committed extends RestoredFile {
  readonly id: string;
  /** Of all that were committed, which it is. */
  readonly turn: number;
  readonly segments: readonly Segment[];
  readonly hashed: LateHash['done'];
}

/**
 * The log of the last run must have been recovered: what it still says is lost now.
 * @param megabytes of the segments together; without room for one, every instance is to begin in a file
 * @param tell hears of instances that the disk has damaged before they had their files
 */
export async function openReceptionLog(
  layout: Layout,
  megabytes: number,
  tell: Tell = () => undefined,
): Promise<ReceptionLog> {
  const segments = createLogSegments(
    layout.receptionLog,
    Math.floor((megabytes * 1024 * 1024) / SEGMENT_BYTES),
  );
  // The rest of it, where the disk is slow, is made while the first instances come.
  await Promise.race([segments.prepare(), pause(PREPARATION_MS, undefined, { ref: false })]);
  /** No id comes twice, in this run or another. */
  const run = randomBytes(12).toString('base64url');
  let begun = 0;
  let committed = 0;
  let waiting: Committed[] = [];
  /** Those that have their files, and of which no record says so yet. */
  const unmarked: string[] = [];
  let settling: Promise<void> | undefined;
  let isBroken = false;
  let idle: NodeJS.Timeout | undefined;
  let lastAppendMs = 0;

  /** Undefined where there is no room. */
  const append = (text: RecordText, { slab, bytes }: Omit<LoggedBytes, 'position'>, isDurable: boolean) => {
    const place = isBroken ? undefined : segments.reserve(recordBytes(bytes));
    if (place === undefined) return undefined;
    const { segment, position } = place;
    beginRecord(slab.bytes, segment.epoch, formatRecordText(text), bytes);
    const written = appendRecord({ file: segment.file, at: slab.at, bytes, position, isDurable }).catch(
      (error: unknown) => {
        // Behind a record that is not whole, none can be found.
        isBroken = true;
        throw error;
      },
    );
    return { segment, at: position + BLOCK_BYTES, written };
  };

  const isBehind = (): boolean => waiting.length + (isBroken ? 0 : unmarked.length) > 0;
  const isIdle = (): boolean => performance.now() - lastAppendMs >= IDLE_MS;

  const settleLater = (waitMs = IDLE_MS): void => {
    idle ??= setTimeout(() => {
      idle = undefined;
      if (!isIdle()) settleLater();
      // Nothing is lost by it: the disk is full, or worse, and whoever wants to read the study will hear.
      else settle(isIdle).catch(() => settleLater(RETRY_MS));
    }, waitMs).unref();
  };

  const settle = (mayGoOn: (next: Committed) => boolean): Promise<void> => {
    const running = (settling ?? Promise.resolve()).catch(() => undefined).then(() => makeFiles(mayGoOn));
    settling = running;
    return running;
  };

  /** @throws SPOOL_WRITE_FAILED for the first that cannot be made, when all others are */
  const makeFiles = async (mayGoOn: (next: Committed) => boolean): Promise<void> => {
    const stuck = new Set<Committed>();
    let failure: unknown;
    await markSettled([]);
    for (;;) {
      const files = nextFiles(waiting.filter((each) => !stuck.has(each)));
      const [next] = files;
      if (next === undefined || !mayGoOn(next)) break;
      const restored = await restoreStudies({ folder: layout.ready, files, isReplacing: false });
      for (const each of restored.failed) stuck.add(each);
      failure ??= restored.failure;
      await markSettled(restored.made.map(({ file }) => file.id));
      const made = new Set(restored.made.map(({ file }) => file));
      waiting = waiting.filter((each) => !made.has(each));
      await Promise.all(restored.made.map(({ file, sha256 }) => tellHash(file, sha256)));
      for (const { segments: needed } of made) for (const segment of needed) segment.needed -= 1;
    }
    if (failure !== undefined) throw failure;
    if (isBehind()) settleLater();
  };

  const tellHash = ({ to, hashed }: Committed, sha256: string | undefined) => {
    if (sha256 !== undefined) return hashed(sha256);
    const text =
      'an instance that was received a moment ago is lost: the disk does not hold what was written';
    return tell(new GatewayError('SPOOL_CORRUPT', text, { facts: { path: to } }));
  };

  /**
   * Or a start after a crash would make the file again of an instance whose study was forgotten since. Where there is no
   * memory or room for it just now, it is done the next time.
   */
  const markSettled = async (ids: readonly string[]): Promise<void> => {
    unmarked.push(...ids);
    const slab = unmarked.length === 0 ? undefined : SLABS.take();
    if (slab === undefined) return;
    try {
      while (unmarked.length > 0) {
        const settled = unmarked.slice(0, IDS_IN_RECORD);
        const marked = append({ settled }, { slab, bytes: 0 }, true);
        if (marked === undefined) return;
        await marked.written;
        marked.segment.needed -= 1;
        unmarked.splice(0, settled.length);
      }
    } finally {
      SLABS.give(slab);
    }
  };

  return {
    begin: () => (!isBroken && segments.freeBytes() >= LEAST_FREE_BYTES ? createInstance() : undefined),
    async settled(studyKey) {
      // Not those that come meanwhile: that may never end.
      const last = committed;
      try {
        await (isBehind() ? settle(({ turn }) => turn <= last) : settling);
      } catch (error) {
        if (studyKey === undefined || waiting.some(({ to }) => nameInStudy(to).study === studyKey))
          throw error;
      }
    },
    unfiled(studyKey) {
      const files = waiting.filter(({ to }) => nameInStudy(to).study === studyKey);
      const held = files.flatMap((file) => file.segments);
      for (const segment of held) segment.needed += 1;
      return {
        files: new Map(files.map((file) => [file.to, file])),
        letGo: () => {
          for (const segment of held.splice(0)) segment.needed -= 1;
        },
      };
    },
    async close() {
      clearTimeout(idle);
      await settle(() => true).catch(() => undefined);
      if (waiting.length === 0) await segments.close();
    },
  };

  function createInstance(): LoggedInstance {
    begun += 1;
    const id = `${run}-${begun}`;
    const pieces: LogPiece[] = [];
    const used: Segment[] = [];
    let lastWritten = Promise.resolve();
    let isCommitted = false;

    const add = (text: RecordText, piece: LoggedBytes, isDurable: boolean): Promise<void> | undefined => {
      if (piece.position + piece.bytes > MAX_INSTANCE_BYTES) return undefined;
      const appended = append(text, piece, isDurable);
      if (appended === undefined) return undefined;
      const { segment, at, written } = appended;
      const { slab, bytes } = piece;
      used.push(segment);
      lastWritten = written.then(() => {
        pieces.push({ file: segment.file, at, bytes, crc: dataCrcOf(slab.bytes) });
      });
      lastAppendMs = performance.now();
      settleLater();
      return lastWritten;
    };

    return {
      written: () => lastWritten.then(() => pieces),
      append: (piece) => add({ id, position: piece.position }, piece, false),
      commit(last, to, { from, done }) {
        if (existsSync(to)) return Promise.resolve(false);
        const sizeBytes = last.position + last.bytes;
        const text = { id, position: last.position, sizeBytes, ...nameInStudy(to) };
        return add(text, last, true)?.then(() => {
          isCommitted = true;
          committed += 1;
          const file = { pieces, sizeBytes, to, hashedFrom: from };
          waiting.push({ id, turn: committed, ...file, segments: used, hashed: done });
          // A slow disk may have taken longer than those wait who make files.
          settleLater();
          return true;
        });
      },
      letGo() {
        if (isCommitted) return;
        for (const segment of used.splice(0)) segment.needed -= 1;
      },
    };
  }
}

/** The first of them, and at least one, where there is one. */
function nextFiles(waiting: readonly Committed[]): readonly Committed[] {
  let bytes = 0;
  const end = waiting.findIndex(({ sizeBytes }, at) => {
    bytes += sizeBytes;
    return at === FILES_AT_ONCE || (at > 0 && bytes > BYTES_AT_ONCE);
  });
  return end === -1 ? [...waiting] : waiting.slice(0, end);
}
