/**
 * One file being written from a stream of chunks, with bounded memory and a running SHA-256. Chunks are gathered, copied
 * into the scribe's memory a piece at a time and written by its thread; a writer that is ahead of the disk is told to wait.
 */
import { createHash, type Hash } from 'node:crypto';
import { putBytes } from '../disk/put-bytes.mjs';
import { BLOCK_BYTES } from '../disk/uncached.mjs';
import type { LateHash } from './reception-log.js';
import { SLABS } from './scribe.js';
import { SLAB_BYTES, type Slab } from './slabs.js';
import type { StagingMemory } from './staging-memory.js';
import type { PlaceFolder, SlabPiece, StagingPlace } from './staging-place.js';

/** Of an instance that is not larger the hash can wait until there is time for it; of others it is made on the way. */
const MAX_UNHASHED_BYTES = 1024 * 1024;

export interface StagedFile {
  /** Takes a chunk, which the caller must not change afterwards. A promise means: wait before the next one. */
  write(chunk: Buffer): void | Promise<void>;
  /** Nothing more comes. It is durable only when it is committed. @throws SPOOL_WRITE_FAILED */
  finish(): { readonly sizeBytes: number };
  /** SHA-256, lower hex, of what was written. Only after `finish`; takes its time at the first call. */
  sha256(): string;
  /** Everything is written and durable. @returns where @throws SPOOL_WRITE_FAILED */
  settle(): Promise<string>;
  /** Everything is written. @returns the path by which it can be read @throws SPOOL_WRITE_FAILED */
  flush(): Promise<string>;
  /**
   * Makes it durable and gives it its name, never replacing what stands there; what it was called before is gone, whatever
   * happens. Resolves to false when the name is taken.
   * @param folder of `to`
   * @param hashed is told the SHA-256, at once or when the bytes are read for another reason; see `StudyStore.settled`
   * @throws SPOOL_WRITE_FAILED
   */
  place(to: string, folder: PlaceFolder, hashed: LateHash['done']): Promise<boolean>;
  /** Lets go of everything, unless it has been placed. May be called at any time, also twice. */
  discard(): Promise<void>;
}

/**
 * @param place let go of by `place` or `discard`
 * @param prefix written first, but not part of the size or the hash (the Part 10 header)
 */
export function createStagedFile(place: StagingPlace, prefix: Buffer, memory: StagingMemory): StagedFile {
  /** Begun when it is needed: a file that nobody wants to know the hash of costs none. */
  let hash: Hash | undefined;
  let unhashed: Buffer[] = [];
  let unhashedBytes = 0;
  let digest: string | undefined;
  let sizeBytes = 0;
  let gathered: Buffer[] = [prefix];
  let gatheredBytes = prefix.length;
  /** Of what was handed to the scribe. */
  let position = 0;
  let failure: Error | undefined;
  let gone: Promise<void> | undefined;
  memory.hold(gatheredBytes);

  /** Takes so many bytes from the front. */
  const fill = (slab: Slab, bytes: number): void => {
    const piece = slab.data.subarray(0, bytes);
    let filled = 0;
    let used = 0;
    while (filled < bytes) {
      const chunk = gathered[used] ?? prefix;
      const taken = putBytes(piece, filled, chunk);
      filled += taken;
      if (taken < chunk.length) gathered[used] = chunk.subarray(taken);
      else used += 1;
    }
    gathered = gathered.slice(used);
    gatheredBytes -= bytes;
    memory.release(bytes);
  };

  const nextPiece = (slab: Slab, bytes: number): SlabPiece => {
    fill(slab, bytes);
    const piece = { slab, bytes, position };
    position += bytes;
    return piece;
  };

  /** Hands on what has come together, whole blocks, if it is so much; false when that must wait for a slab. */
  const sendPieces = (leastBytes: number): boolean => {
    while (gatheredBytes >= leastBytes) {
      const slab = SLABS.take();
      if (slab === undefined) return false;
      const bytes = Math.min(gatheredBytes - (gatheredBytes % BLOCK_BYTES), SLAB_BYTES);
      place
        .write(nextPiece(slab, bytes))
        .catch((error: Error) => {
          failure ??= error;
        })
        .finally(() => SLABS.give(slab));
    }
    return true;
  };

  /** What is left, in a slab that is given back when `use` is done with it. */
  const withRest = async <T>(use: (rest: SlabPiece) => Promise<T>): Promise<T> => {
    while (!sendPieces(SLAB_BYTES)) await SLABS.free();
    let slab = SLABS.take();
    for (; slab === undefined; slab = SLABS.take()) await SLABS.free();
    try {
      if (failure !== undefined) throw failure;
      return await use(nextPiece(slab, gatheredBytes));
    } finally {
      SLABS.give(slab);
    }
  };

  const hashLater = (chunk: Buffer) => {
    unhashed.push(chunk);
    unhashedBytes += chunk.length;
    memory.hold(chunk.length);
    if (sizeBytes > MAX_UNHASHED_BYTES || memory.isScarce()) hashNow();
  };

  const hashNow = (): Hash => {
    hash ??= createHash('sha256');
    for (const chunk of unhashed) hash.update(chunk);
    forgetUnhashed();
    return hash;
  };

  const sha256 = (): string => {
    digest ??= hashNow().digest('hex');
    return digest;
  };

  const forgetUnhashed = () => {
    memory.release(unhashedBytes);
    unhashed = [];
    unhashedBytes = 0;
  };

  return {
    write(chunk) {
      if (failure !== undefined) throw failure;
      sizeBytes += chunk.length;
      hashLater(chunk);
      gathered.push(chunk);
      gatheredBytes += chunk.length;
      memory.hold(chunk.length);
      const leastBytes = memory.isScarce() ? BLOCK_BYTES : place.pieceBytes;
      return sendPieces(leastBytes) ? undefined : SLABS.free();
    },
    finish() {
      if (failure !== undefined) throw failure;
      return { sizeBytes };
    },
    sha256,
    settle: () => withRest((rest) => place.complete(rest, true)),
    flush: () => withRest((rest) => place.complete(rest, false)),
    place: (to, folder, hashed) =>
      withRest((rest) => {
        gone = Promise.resolve();
        const isBegun = digest !== undefined || hash !== undefined;
        return place.place(rest, to, folder, { from: prefix.length, isBegun, now: sha256, done: hashed });
      }),
    async discard() {
      forgetUnhashed();
      memory.release(gatheredBytes);
      gathered = [];
      gatheredBytes = 0;
      gone ??= place.remove().catch(() => undefined);
      await gone;
    },
  };
}
