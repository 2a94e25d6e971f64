/**
 * Slabs of shared memory, each beginning at a block's boundary, through which payloads pass between disk and threads.
 * What is given back is lent again: taking such memory anew costs more than what passes through it.
 */
import { alignedMemory } from '../disk/uncached.mjs';

export interface SlabPool {
  readonly memory: SharedArrayBuffer;
  /** Views of it, one behind the other. */
  readonly slabs: readonly Buffer[];
  /** The number of a slab that is free now, for the caller alone; they come in the order of asking. @throws what `fail` was told first */
  take(): Promise<number>;
  give(slab: number): void;
  /** Whoever waits, and whoever asks later, hears of it. */
  fail(error: unknown): void;
  /** To be called when nobody reads or writes any of it any more; a second time does nothing. */
  giveBack(): void;
}

/** By their size, those that nobody has. */
const idle = new Map<number, SharedArrayBuffer[]>();

/** @param slabBytes whole blocks */
export function borrowSlabs(count: number, slabBytes: number): SlabPool {
  const memory = idle.get(count * slabBytes)?.pop() ?? alignedMemory(count * slabBytes);
  const free = Array.from({ length: count }, (_, slab) => slab);
  const waiting: Waiting[] = [];
  const failures: unknown[] = [];
  let isLent = true;
  return {
    memory,
    slabs: free.map((slab) => Buffer.from(memory, slab * slabBytes, slabBytes)),
    async take() {
      if (failures.length > 0) throw failures[0];
      const slab = free.shift();
      if (slab !== undefined) return slab;
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
    },
    give(slab) {
      const next = waiting.shift();
      if (next === undefined) free.push(slab);
      else next.resolve(slab);
    },
    fail(error) {
      failures.push(error);
      for (const { reject } of waiting.splice(0)) reject(failures[0]);
    },
    giveBack() {
      if (!isLent) return;
      isLent = false;
      const others = idle.get(memory.byteLength) ?? [];
      idle.set(memory.byteLength, [...others, memory]);
    },
  };
}

interface Waiting {
  resolve(slab: number): void;
  reject(error: unknown): void;
}
