/**
 * One file being written from a stream of chunks, with bounded memory and a running SHA-256. Chunks are gathered and
 * written in large pieces; a writer that is ahead of the disk is told to wait.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { classifyDiskError } from './atomic.js';

/** Chunks are handed to the disk in pieces of about this size. */
const PIECE_BYTES = 512 * 1024;
/** A writer waits while more than this is not yet written. */
const MAX_PENDING_BYTES = 4 * 1024 * 1024;

export interface StagedFile {
  readonly path: string;
  /** Takes a chunk, which the caller must not change afterwards. A promise means: wait before the next one. */
  write(chunk: Buffer): void | Promise<void>;
  /** Everything written and durable. @throws SPOOL_WRITE_FAILED */
  finish(): Promise<{ readonly sizeBytes: number; readonly sha256: string }>;
  /** Closes and removes the file. May be called at any time, also twice. */
  discard(): Promise<void>;
}

/**
 * Opens a new file.
 * @param prefix written first, but not part of the size or the hash (the Part 10 header)
 * @throws SPOOL_WRITE_FAILED
 */
export async function openStagedFile(path: string, prefix: Buffer): Promise<StagedFile> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'wx', 0o600);
  } catch (error) {
    throw classifyDiskError(error);
  }
  const hash = createHash('sha256');
  let sizeBytes = 0;
  let gathered: Buffer[] = [prefix];
  let gatheredBytes = prefix.length;
  let pendingBytes = 0;
  let closed = false;
  let failure: Error | undefined;
  let writing: Promise<void> = Promise.resolve();

  const flush = () => {
    const pieces = gathered;
    const bytes = gatheredBytes;
    gathered = [];
    gatheredBytes = 0;
    pendingBytes += bytes;
    writing = writing.then(async () => {
      if (failure === undefined) {
        try {
          await writeAll(handle, pieces, bytes);
        } catch (error) {
          failure = classifyDiskError(error);
        }
      }
      pendingBytes -= bytes;
    });
  };

  const close = async () => {
    if (closed) return;
    closed = true;
    await writing;
    await handle.close();
  };

  return {
    path,
    write(chunk) {
      if (failure !== undefined) throw failure;
      hash.update(chunk);
      sizeBytes += chunk.length;
      gathered.push(chunk);
      gatheredBytes += chunk.length;
      if (gatheredBytes >= PIECE_BYTES) flush();
      if (pendingBytes > MAX_PENDING_BYTES) return writing;
      return undefined;
    },
    async finish() {
      if (gatheredBytes > 0) flush();
      await writing;
      if (failure !== undefined) throw failure;
      try {
        await handle.datasync();
        await close();
      } catch (error) {
        throw classifyDiskError(error);
      }
      return { sizeBytes, sha256: hash.digest('hex') };
    },
    async discard() {
      await close().catch(() => undefined);
      await rm(path, { force: true });
    },
  };
}

/** `writev` may write less than it was given. */
async function writeAll(handle: FileHandle, pieces: readonly Buffer[], bytes: number): Promise<void> {
  const { bytesWritten } = await handle.writev(pieces);
  if (bytesWritten === bytes) return;
  const rest = Buffer.concat(pieces).subarray(bytesWritten);
  for (let done = 0; done < rest.length; ) {
    const more = await handle.write(rest, done);
    if (more.bytesWritten === 0) throw Object.assign(new Error('short write'), { code: 'EIO' });
    done += more.bytesWritten;
  }
}
