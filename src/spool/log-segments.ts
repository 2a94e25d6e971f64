/**
 * The files of the reception log: a ring of segments, filled with zeros ahead of time, so that writing to them changes
 * nothing but their contents. They are used one after the other, and again when nothing in them is still needed; the oldest
 * first, because what is said in a segment may be about the ones before it.
 */
import { randomBytes } from 'node:crypto';
import { close, constants, fdatasync, fstat, open, write } from 'node:fs';
import { readdir, statfs, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { alignedMemory, BLOCK_BYTES, uncachedFlag } from '../disk/uncached.mjs';
import { syncFolder } from './atomic.js';
import { EPOCH_BYTES } from './log-record.mjs';

export const SEGMENT_BYTES = 64 * 1024 * 1024;
const ZEROS_BYTES = 4 * 1024 * 1024;
/** A disk with less room needs it for other things. */
const LEAST_FREE_SEGMENTS = 4;

const openPath = promisify(open);
const closeDescriptor = promisify(close);
const datasync = promisify(fdatasync);
const writeAt = promisify(write);
const status = promisify(fstat);

export interface Segment {
  readonly file: number;
  /** Of its present use; each record in it bears it. */
  readonly epoch: Buffer;
  /** How many records in it are still needed. */
  needed: number;
}

interface Ring extends Segment {
  epoch: Buffer;
  usedBytes: number;
}

export interface LogSegments {
  /** What can be reserved, in bytes; a little less where it does not divide well. */
  freeBytes(): number;
  /** Room for one record; undefined where there is none. It counts as needed from now on. */
  reserve(bytes: number): { readonly segment: Segment; readonly position: number } | undefined;
  /** Makes the segments, one after the other; each can be used when it is made. Never rejects: with fewer there is less room. */
  prepare(): Promise<void>;
  /** Nothing may be on its way. */
  close(): Promise<void>;
}

function segmentPath(folder: string, index: number): string {
  return join(folder, `${index}.log`);
}

/** @param folder that is there, and holds no segment that says anything */
export function createLogSegments(folder: string, count: number): LogSegments {
  /** In the order of their use, the one that is written to last. */
  const used: Ring[] = [];
  const free: Ring[] = [];
  let isClosed = false;
  let preparing: Promise<void> = Promise.resolve();

  /** @param kept how many of the newest stay as they are */
  const recycle = (kept: number): void => {
    for (let oldest = used[0]; oldest?.needed === 0 && used.length > kept; oldest = used[0]) {
      used.shift();
      free.push(oldest);
    }
  };

  const nextSegment = (): Ring | undefined => {
    // The newest, which is full, comes last: what it says of the others is needed until they are written to.
    recycle(0);
    const next = free.shift();
    if (next === undefined) return undefined;
    next.epoch = randomBytes(EPOCH_BYTES);
    next.usedBytes = 0;
    used.push(next);
    return next;
  };

  const addSegments = async (): Promise<void> => {
    // There were more once.
    for (const name of await readdir(folder))
      if (Number.parseInt(name, 10) >= count) await unlink(join(folder, name));
    for (let index = 0; index < count && !isClosed; index += 1) {
      const file = await makeSegment(folder, index, () => isClosed);
      if (file === undefined) return;
      free.push({ file, epoch: Buffer.alloc(0), needed: 0, usedBytes: 0 });
    }
  };

  return {
    freeBytes() {
      recycle(1);
      const last = used.at(-1);
      if (last === undefined) return free.length * SEGMENT_BYTES;
      return free.length * SEGMENT_BYTES + (isDone(last) ? SEGMENT_BYTES : SEGMENT_BYTES - last.usedBytes);
    },
    reserve(bytes) {
      const last = used.at(-1);
      const segment = last !== undefined && takes(last, bytes) ? last : nextSegment();
      if (segment === undefined) return undefined;
      const position = segment.usedBytes;
      segment.usedBytes += bytes;
      segment.needed += 1;
      return { segment, position };
    },
    prepare() {
      preparing = addSegments().catch(() => undefined);
      return preparing;
    },
    async close() {
      isClosed = true;
      await preparing;
      for (const { file } of [...used.splice(0), ...free.splice(0)]) {
        await silenceSegment(file).catch(() => undefined);
        await closeDescriptor(file);
      }
    },
  };
}

function takes(segment: Ring, bytes: number): boolean {
  return !isDone(segment) && segment.usedBytes + bytes <= SEGMENT_BYTES;
}

/** What comes next may as well begin another one. */
function isDone({ needed, usedBytes }: Ring): boolean {
  return needed === 0 && usedBytes > SEGMENT_BYTES / 2;
}

/** It says nothing any more; what it said is done, or will be found done. */
export async function silenceSegment(file: number): Promise<void> {
  const block = Buffer.from(alignedMemory(BLOCK_BYTES), 0, BLOCK_BYTES);
  await writeAt(file, block, 0, BLOCK_BYTES, 0);
  await datasync(file);
}

/** @returns its descriptor; undefined when told to stop, or when there is little room on the disk */
async function makeSegment(
  folder: string,
  index: number,
  isStopped: () => boolean,
): Promise<number | undefined> {
  const path = segmentPath(folder, index);
  const file = await openPath(path, constants.O_RDWR | constants.O_CREAT | uncachedFlag(folder), 0o600);
  // It grows with the zeros, so that one of full length has them all.
  if ((await status(file)).size === SEGMENT_BYTES) return file;
  if (await isFilled(file, folder, isStopped)) return file;
  await closeDescriptor(file);
  await unlink(path);
  return undefined;
}

async function isFilled(file: number, folder: string, isStopped: () => boolean): Promise<boolean> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize < LEAST_FREE_SEGMENTS * SEGMENT_BYTES) return false;
  const zeros = Buffer.from(alignedMemory(ZEROS_BYTES));
  try {
    for (let at = 0; at < SEGMENT_BYTES; at += ZEROS_BYTES) {
      if (isStopped()) return false;
      const { bytesWritten } = await writeAt(file, zeros, 0, ZEROS_BYTES, at);
      if (bytesWritten < ZEROS_BYTES) return false;
    }
    await datasync(file);
    await syncFolder(folder);
    return true;
  } catch {
    return false;
  }
}
