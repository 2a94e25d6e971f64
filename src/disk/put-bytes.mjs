/** Copies into memory that may be shared. */

/**
 * As `bytes.copy(target, at, from)`; but that goes word by word into or out of shared memory, and this is one memcpy(3).
 * @param {Buffer} target
 * @param {number} at in it
 * @param {Buffer} bytes as many as there is room for
 * @param {number} [from] in them
 * @returns {number} how many were copied
 */
export function putBytes(target, at, bytes, from = 0) {
  const count = Math.min(target.length - at, bytes.length - from);
  // With nothing to copy, it would write zeros.
  if (count > 0) target.fill(bytes.subarray(from, from + count), at, at + count);
  return count;
}
