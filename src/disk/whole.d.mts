/** Types of whole.mjs, which says what they do. */
export function writeAll(file: number, bytes: Buffer, position: number): void;
export function writeAllLater(file: number, bytes: Buffer, position: number): Promise<void>;
export function readAll(file: number, into: Buffer, position: number): void;
