/**
 * One file being written from a stream of chunks, with bounded memory and a running SHA-256. Chunks are gathered and
 * written in large pieces; a writer that is ahead of the disk is told to wait.
 */
import { createHash } from 'node:crypto';
import { unlink } from 'node:fs/promises';
import { classifyDiskError } from './atomic.js';
import type { OpenFile } from './open-file.js';
import type { StagingMemory } from './staging-memory.js';

/**
 * The beginning of a file is written at once, in pieces of about this size: so little stays in the kernel's memory, and
 * costs less than to have another thread write it.
 */
const FIRST_PIECE_BYTES = 64 * 1024;
const FIRST_BYTES = 4 * 1024 * 1024;
/** What comes after it is handed to the thread pool in larger ones. */
const PIECE_BYTES = 512 * 1024;
/** Of very small chunks no more than so many are gathered. */
const PIECE_CHUNKS = 64;
/** As much as this may be written by whoever takes the file. */
const MAX_TAIL_BYTES = 128 * 1024;
/** A writer waits while more than this is not yet written. */
const MAX_PENDING_BYTES = 4 * 1024 * 1024;
/** Of an instance that is not larger the hash can wait until there is time for it; of others it is made on the way. */
const MAX_UNHASHED_BYTES = 1024 * 1024;

export interface StagedFile {
  readonly path: string;
  /** Takes a chunk, which the caller must not change afterwards. A promise means: wait before the next one. */
  write(chunk: Buffer): void | Promise<void>;
  /** Nothing more comes. It is durable only when it is committed. @throws SPOOL_WRITE_FAILED */
  finish(): Promise<{ readonly sizeBytes: number }>;
  /** SHA-256, lower hex, of what was written. Only after `finish`; takes its time at the first call. */
  sha256(): string;
  /** Everything is written and durable, and the file closed. @throws SPOOL_WRITE_FAILED */
  settle(): Promise<void>;
  /** Everything is written, and can be read by its path. @throws SPOOL_WRITE_FAILED */
  flush(): Promise<void>;
  /**
   * Gives the file away, with what is still to be written to it; whoever takes it closes and removes it.
   * @throws SPOOL_WRITE_FAILED
   */
  surrender(): Promise<{ readonly file: OpenFile; readonly tail: Uint8Array<ArrayBuffer> }>;
  /** Closes and removes the file, unless it was given away. May be called at any time, also twice. */
  discard(): Promise<void>;
}

/**
 * @param file new and empty; it is closed by `settle` or `discard`, if it is not given away
 * @param prefix written first, but not part of the size or the hash (the Part 10 header)
 */
export function createStagedFile(file: OpenFile, prefix: Buffer, memory: StagingMemory): StagedFile {
  const hash = createHash('sha256');
  let unhashed: Buffer[] = [];
  let unhashedBytes = 0;
  let digest: string | undefined;
  let sizeBytes = 0;
  let gathered: Buffer[] = [prefix];
  let gatheredBytes = prefix.length;
  let pendingBytes = 0;
  let closing: Promise<void> | undefined;
  let isGivenAway = false;
  let failure: Error | undefined;
  let writing: Promise<void> = Promise.resolve();
  memory.hold(gatheredBytes);

  const flush = () => {
    const pieces = gathered;
    const bytes = gatheredBytes;
    gathered = [];
    gatheredBytes = 0;
    pendingBytes += bytes;
    writing = writing.then(async () => {
      try {
        if (failure === undefined) await file.write(pieces);
      } catch (error) {
        failure = classifyDiskError(error);
      }
      pendingBytes -= bytes;
      memory.release(bytes);
    });
  };

  const flushNow = () => {
    const pieces = gathered;
    memory.release(gatheredBytes);
    gathered = [];
    gatheredBytes = 0;
    try {
      file.writeNow(pieces);
    } catch (error) {
      failure = classifyDiskError(error);
      throw failure;
    }
  };

  const close = (): Promise<void> => {
    closing ??= writing.then(() => file.close());
    return closing;
  };

  const written = async (): Promise<void> => {
    if (gatheredBytes > 0) flush();
    await writing;
    if (failure !== undefined) throw failure;
  };

  const hashLater = (chunk: Buffer) => {
    unhashed.push(chunk);
    unhashedBytes += chunk.length;
    memory.hold(chunk.length);
    if (sizeBytes > MAX_UNHASHED_BYTES || memory.isScarce()) hashNow();
  };

  const hashNow = () => {
    for (const chunk of unhashed) hash.update(chunk);
    forgetUnhashed();
  };

  const forgetUnhashed = () => {
    memory.release(unhashedBytes);
    unhashed = [];
    unhashedBytes = 0;
  };

  /** A copy, since it goes to another thread and its chunks are parts of larger buffers. */
  const takeTail = (): Uint8Array<ArrayBuffer> => {
    const tail = new Uint8Array(gatheredBytes);
    let at = 0;
    for (const piece of gathered) {
      tail.set(piece, at);
      at += piece.length;
    }
    memory.release(gatheredBytes);
    gathered = [];
    gatheredBytes = 0;
    return tail;
  };

  return {
    path: file.path,
    write(chunk) {
      if (failure !== undefined) throw failure;
      sizeBytes += chunk.length;
      hashLater(chunk);
      gathered.push(chunk);
      gatheredBytes += chunk.length;
      memory.hold(chunk.length);
      if (sizeBytes < FIRST_BYTES) {
        if (gatheredBytes >= FIRST_PIECE_BYTES || gathered.length >= PIECE_CHUNKS) flushNow();
        return undefined;
      }
      const isScarce = memory.isScarce();
      if (gatheredBytes >= PIECE_BYTES || gathered.length >= PIECE_CHUNKS || isScarce) flush();
      return isScarce || pendingBytes > MAX_PENDING_BYTES ? writing : undefined;
    },
    async finish() {
      if (failure !== undefined) throw failure;
      return { sizeBytes };
    },
    sha256() {
      hashNow();
      digest ??= hash.digest('hex');
      return digest;
    },
    async settle() {
      await written();
      try {
        await file.datasync();
        await close();
      } catch (error) {
        throw classifyDiskError(error);
      }
    },
    flush: written,
    async surrender() {
      if (gatheredBytes > MAX_TAIL_BYTES) flush();
      await writing;
      if (failure !== undefined) throw failure;
      const tail = takeTail();
      isGivenAway = true;
      return { file, tail };
    },
    async discard() {
      forgetUnhashed();
      if (isGivenAway) return;
      memory.release(gatheredBytes);
      gathered = [];
      gatheredBytes = 0;
      await close().catch(() => undefined);
      await unlink(file.path).catch(() => undefined);
    },
  };
}
