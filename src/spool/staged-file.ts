/**
 * One file being written from a stream of chunks, with bounded memory. Chunks are copied into the scribe's memory as they
 * come, and written by its thread a piece at a time; a writer that is ahead of the disk is told to wait.
 */
import { putBytes } from '../disk/put-bytes.mjs';
import { BLOCK_BYTES } from '../disk/uncached.mjs';
import type { LateHash } from './reception-log.js';
import { SLABS } from './scribe.js';
import type { Slab } from './slabs.js';
import type { PlaceFolder, SlabPiece, StagingPlace } from './staging-place.js';

const NOTHING = Buffer.alloc(0);
/** Pieces of one file that the scribe has not written yet; who brings more waits. */
const MAX_UNDER_WAY = 4;

export interface StagedFile {
  /** Takes a chunk, which must stay as it is until this returns, or what it returns has resolved: then comes the next. */
  write(chunk: Buffer): void | Promise<void>;
  /** Nothing more comes. It is durable only when it is committed. @throws SPOOL_WRITE_FAILED */
  finish(): { readonly sizeBytes: number };
  /** SHA-256, lower hex, of what was written. Only after `finish`. @throws SPOOL_WRITE_FAILED */
  sha256(): Promise<string>;
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
 * @param prefix written first, but not part of the size (the Part 10 header); less than a slab
 */
export function createStagedFile(place: StagingPlace, prefix: Buffer): StagedFile {
  let sizeBytes = 0;
  /** What is to be written next: gathered in a slab, or, while it has none, outside. */
  let slab: Slab | undefined;
  let filled = 0;
  let outside = prefix;
  /** Of what was handed to the scribe. */
  let position = 0;
  const underWay = new Set<Promise<void>>();
  let failure: Error | undefined;
  let gone: Promise<void> | undefined;

  /** Undefined when there is none just now. */
  const ownSlab = (): Slab | undefined => {
    if (slab !== undefined) return slab;
    slab = SLABS.take();
    if (slab === undefined) return undefined;
    filled = putBytes(slab.data, 0, outside);
    outside = NOTHING;
    return slab;
  };

  /** Takes so many bytes from the front, with the slab; the caller gives it back. */
  const takePiece = (from: Slab, bytes: number): SlabPiece => {
    outside = bytes === filled ? NOTHING : Buffer.from(from.data.subarray(bytes, filled));
    slab = undefined;
    const piece = { slab: from, bytes, position };
    position += bytes;
    return piece;
  };

  const send = (from: Slab, bytes: number): void => {
    const piece = takePiece(from, bytes);
    const written = place
      .write(piece)
      .catch((error: Error) => {
        failure ??= error;
      })
      .finally(() => {
        underWay.delete(written);
        SLABS.give(piece.slab);
      });
    underWay.add(written);
  };

  const put = (chunk: Buffer): Promise<void> | undefined => {
    // Discarded while it waited.
    if (gone !== undefined) return undefined;
    for (let from = 0; from < chunk.length; ) {
      const into = underWay.size < MAX_UNDER_WAY ? ownSlab() : undefined;
      if (into === undefined) return roomForMore().then(() => put(chunk.subarray(from)));
      const pieceBytes = place.pieceBytes(position);
      const copied = putBytes(into.data.subarray(0, pieceBytes), filled, chunk, from);
      from += copied;
      filled += copied;
      if (filled >= pieceBytes) send(into, pieceBytes);
    }
    if (SLABS.areScarce()) giveSlab();
    return undefined;
  };

  const roomForMore = (): Promise<void> =>
    underWay.size < MAX_UNDER_WAY ? SLABS.free() : Promise.race(underWay);

  /** Before it is known when the next bytes come. */
  const giveSlab = (): void => {
    if (slab === undefined) return;
    const wholeBlocks = filled - (filled % BLOCK_BYTES);
    if (wholeBlocks > 0) send(slab, wholeBlocks);
    else SLABS.give(takePiece(slab, 0).slab);
  };

  /** What is left, in a slab that is given back when `use` is done with it. */
  const withRest = async <T>(use: (rest: SlabPiece) => Promise<T>): Promise<T> => {
    const last = await lastSlab();
    const rest = takePiece(last, filled);
    try {
      if (failure !== undefined) throw failure;
      return await use(rest);
    } finally {
      SLABS.give(rest.slab);
    }
  };

  const lastSlab = async (): Promise<Slab> => {
    for (;;) {
      const last = ownSlab();
      if (last !== undefined) return last;
      await SLABS.free();
    }
  };

  return {
    write(chunk) {
      if (failure !== undefined) throw failure;
      sizeBytes += chunk.length;
      return put(chunk);
    },
    finish() {
      if (failure !== undefined) throw failure;
      return { sizeBytes };
    },
    async sha256() {
      const last = await lastSlab();
      if (failure !== undefined) throw failure;
      return place.digest({ slab: last, bytes: filled, position });
    },
    settle: () => withRest((rest) => place.complete(rest, true)),
    flush: () => withRest((rest) => place.complete(rest, false)),
    place: (to, folder, hashed) =>
      withRest((rest) => {
        gone = Promise.resolve();
        return place.place(rest, to, folder, hashed);
      }),
    async discard() {
      if (slab !== undefined) SLABS.give(slab);
      slab = undefined;
      outside = NOTHING;
      gone ??= place.remove().catch(() => undefined);
      await gone;
    },
  };
}
