/** Types of uncached.mjs, which says what they are for. */
export const BLOCK_BYTES: number;
export const DIRECT: number;
export function alignedMemory(bytes: number): SharedArrayBuffer;
export function ownAlignedMemory(bytes: number): ArrayBuffer;
export function inWholeBlocks(bytes: number): number;
export function uncachedFlag(folder: string): number;
