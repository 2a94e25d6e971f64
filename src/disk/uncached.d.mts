/** Types of uncached.mjs, which says what they are for. */
export const BLOCK_BYTES: number;
export const DIRECT: number;
export function alignedMemory(bytes: number): SharedArrayBuffer;
export function inWholeBlocks(bytes: number): number;
export function uncachedFlag(folder: string): number;
export function writeAll(file: number, bytes: Uint8Array, position: number): void;
export function readAll(file: number, into: Uint8Array, position: number): void;
