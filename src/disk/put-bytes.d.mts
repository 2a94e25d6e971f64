/** Types of put-bytes.mjs, which says what it does. */
export function putBytes(target: Buffer, at: number, bytes: Buffer, from?: number): number;
