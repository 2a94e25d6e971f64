/**
 * Puts small pieces together, so that cipher, hash and disk are called for large ones: a tar header of 512 bytes costs
 * as much per call as 256 KiB of pixels.
 */

const GATHER_BYTES = 256 * 1024;

/** The same bytes in the same order, in pieces of about 256 KiB or larger; empty pieces vanish. */
export async function* gathered(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  let pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of source) {
    if (piece.length === 0) continue;
    pieces.push(piece);
    size += piece.length;
    if (size < GATHER_BYTES) continue;
    yield joined(pieces);
    pieces = [];
    size = 0;
  }
  if (size > 0) yield joined(pieces);
}

function joined(pieces: readonly Buffer[]): Buffer {
  const [only, ...more] = pieces;
  return only !== undefined && more.length === 0 ? only : Buffer.concat(pieces);
}
