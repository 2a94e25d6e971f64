/**
 * A file of an envelope as it was found, read as the same one, or refused: nothing is read by a link or from a pipe, also
 * where one is put in its place after it was looked at, and no more than there was.
 */
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { BLOCK_BYTES, DIRECT } from '../disk/uncached.mjs';
import { GatewayError } from '../errors/gateway-error.js';

/**
 * The payload passes through cipher, hash and TLS in pieces of this size: large enough that a call costs nothing, small
 * enough for the processor's cache. Pieces of 1 MiB made everything behind them about a third slower.
 */
export const READ_CHUNK_BYTES = 256 * 1024;

/** Without O_NONBLOCK a pipe would be waited at for ever. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Reads past the cache that are under way at once. */
const READS_AHEAD = 3;

export interface FoundFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** Device and number on it: what a name stands for may change. */
  readonly identity: string;
}

/** First and last byte, both inclusive. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** @returns undefined when nothing is there */
export async function findFile(path: string): Promise<FoundFile | undefined> {
  const found = await statOf(path);
  if (found === undefined) return undefined;
  if (!found.isFile()) unsafe();
  return { path, sizeBytes: Number(found.size), identity: identityOf(found) };
}

function identityOf({ dev, ino }: BigIntStats): string {
  return `${dev}:${ino}`;
}

/**
 * The bytes, in pieces that are overwritten when the next is asked for; those of the whole file, where `take` gives memory
 * for them, in pieces that stay.
 */
export function sealedBytes(
  file: FoundFile,
  range?: ByteRange,
  take?: () => Promise<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  if (range === undefined && take !== undefined) return uncachedBytes(file, take);
  return bytesInTurn(file, range ?? { start: 0, end: file.sizeBytes - 1 });
}

/** Two buffers in turn: while the piece in one is decrypted, the other is filled. */
async function* bytesInTurn(file: FoundFile, range: ByteRange): AsyncGenerator<Buffer, void, undefined> {
  const pair: [Buffer, Buffer] = [
    Buffer.allocUnsafeSlow(READ_CHUNK_BYTES),
    Buffer.allocUnsafeSlow(READ_CHUNK_BYTES),
  ];
  const pieces = bytesOf(file, range.start, range.end + 1, () => {
    pair.reverse();
    return pair[0];
  });
  try {
    let reading = pieces.next();
    for (;;) {
      const { done, value } = await reading;
      if (done === true) return;
      reading = pieces.next();
      // Whoever stops asking leaves it behind; its failure is nobody's then.
      reading.catch(() => undefined);
      yield value;
    }
  } finally {
    await pieces.return();
  }
}

/** From `start` to before `end`, or to the end of what was found; a file that has grown meanwhile is not read further. */
export async function* bytesOf(
  file: FoundFile,
  start: number,
  end: number,
  bufferOf: (sizeBytes: number) => Buffer = Buffer.allocUnsafeSlow,
): AsyncGenerator<Buffer, void, undefined> {
  const handle = await openFound(file);
  try {
    const last = Math.min(end, file.sizeBytes);
    for (let position = start; position < last; ) {
      const wanted = Math.min(READ_CHUNK_BYTES, last - position);
      const buffer = bufferOf(wanted);
      const { bytesRead } = await handle.read(buffer, 0, wanted, position);
      if (bytesRead === 0) malformed('a file has become shorter while it was read');
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}

/**
 * The whole file in pieces that fill the memory that `take` gives; past the page cache, unless it lies in there already.
 * @param take must fail once the bytes are not wanted any more
 */
async function* uncachedBytes(
  file: FoundFile,
  take: () => Promise<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  let handle = await openFound(file);
  const pieces: Promise<Buffer>[] = [];
  try {
    const first = await take();
    const readBefore = process.resourceUsage().fsRead;
    const piece = await readPiece(file, handle, first, 0);
    // By that, the kernel says whether it had to ask the disk.
    const uncached =
      process.resourceUsage().fsRead > readBefore ? await openUncached(file, first) : undefined;
    if (uncached !== undefined) {
      await handle.close();
      handle = uncached;
    }
    yield piece;
    for (let next = piece.length; pieces.length > 0 || next < file.sizeBytes; ) {
      for (; pieces.length < READS_AHEAD && next < file.sizeBytes; next += first.length) {
        const at = next;
        const ahead = take().then((memory) => readPiece(file, handle, memory, at));
        // Whoever stops asking leaves it behind; its failure is nobody's then.
        ahead.catch(() => undefined);
        pieces.push(ahead);
      }
      const ahead = await pieces.shift();
      if (ahead !== undefined) yield ahead;
    }
  } finally {
    await Promise.allSettled(pieces);
    await handle.close();
  }
}

/** @param head holds the file's first block, and will hold it again @returns undefined where it cannot be read so */
async function openUncached(file: FoundFile, head: Buffer): Promise<FileHandle | undefined> {
  let handle: FileHandle | undefined;
  try {
    handle = await openFound(file, DIRECT);
    // Some file systems take the flag, and say only now that they do not know it.
    await handle.read(head, 0, BLOCK_BYTES, 0);
    return handle;
  } catch (error) {
    await handle?.close();
    if (isErrno(error, 'EINVAL')) return undefined;
    throw error;
  }
}

/** One piece, whole unless the file ends in it. */
async function readPiece(
  { sizeBytes }: FoundFile,
  handle: FileHandle,
  memory: Buffer,
  position: number,
): Promise<Buffer> {
  const wanted = Math.min(memory.length, sizeBytes - position);
  for (let filled = 0; filled < wanted; ) {
    // Past the cache no part of a block is read, nor into a part of one.
    const at = filled - (filled % BLOCK_BYTES);
    const { bytesRead } = await handle.read(memory, at, memory.length - at, position + at);
    if (at + bytesRead <= filled) malformed('a file has become shorter while it was read');
    filled = at + bytesRead;
  }
  return memory.subarray(0, wanted);
}

async function openFound({ path, identity }: FoundFile, how = 0): Promise<FileHandle> {
  const handle = await open(path, OPEN_FLAGS | how).catch((error: unknown) => {
    // Linux and macOS say so of a link, BSD says EMLINK; a socket cannot be opened at all.
    if (isErrno(error, 'ELOOP', 'EMLINK', 'ENXIO')) unsafe();
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) malformed('a file has gone while it was read');
    throw error;
  });
  const found = await handle.stat({ bigint: true });
  if (found.isFile() && identityOf(found) === identity) return handle;
  await handle.close();
  return malformed('a file was replaced while it was read');
}

export async function statOf(path: string) {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}

export function malformed(message: string): never {
  throw new GatewayError('ENVELOPE_MALFORMED', `the envelope cannot be read: ${message}`);
}

export function unsafe(): never {
  throw new GatewayError('ARCHIVE_UNSAFE', 'the envelope holds a link, a device or another special entry');
}
