/**
 * The memory that arriving bytes are gathered in, and written from by the scribe's thread: a bounded number of slabs, shared
 * by all files. Those who gather may keep one while more is to come, until few are left: these are for bytes that wait for
 * nothing but the disk, so that no number of slow senders can hold up the others.
 */
import { alignedMemory, BLOCK_BYTES } from '../disk/uncached.mjs';

/** Of data; before them lies a block for whoever writes something in front. */
export const SLAB_BYTES = 512 * 1024;
const SLABS = 64;
const LEFT_TO_THE_DISK = 16;

export interface Slab {
  /** Where it begins in the memory, in bytes. */
  readonly at: number;
  /** All of it, with the block in front. */
  readonly bytes: Buffer;
  readonly data: Buffer;
}

export interface Slabs {
  readonly memory: SharedArrayBuffer;
  /** One that nothing lies in; undefined when there is none just now. */
  take(): Slab | undefined;
  give(slab: Slab): void;
  /** Resolves when one is free; somebody else may take it first. */
  free(): Promise<void>;
  /** Whoever has one shall keep it no longer than the disk takes. */
  areScarce(): boolean;
}

export function createSlabs(): Slabs {
  const wholeBytes = BLOCK_BYTES + SLAB_BYTES;
  const memory = alignedMemory(SLABS * wholeBytes);
  const slabs = Array.from({ length: SLABS }, (_, index): Slab => {
    const at = index * wholeBytes;
    const bytes = Buffer.from(memory, at, wholeBytes);
    return { at, bytes, data: bytes.subarray(BLOCK_BYTES) };
  });
  /** Those used last are used first: the processor still knows them, and the others may never be touched. */
  const free = slabs.reverse();
  let waiting: (() => void)[] = [];
  return {
    memory,
    take: () => free.pop(),
    give(slab) {
      free.push(slab);
      // All of them: the first may not want it any more.
      const woken = waiting;
      waiting = [];
      for (const wake of woken) wake();
    },
    free: () =>
      free.length > 0
        ? Promise.resolve()
        : new Promise((resolve) => {
            waiting.push(resolve);
          }),
    areScarce: () => free.length < LEFT_TO_THE_DISK,
  };
}
