/**
 * Reads exact numbers of bytes from a stream that comes in chunks of any size. Copies only what is asked for in one piece,
 * and leaves the source open when its reader stops early, so that the rest can still be drained.
 */

export interface ByteReader {
  /** Bytes given out so far. */
  readonly offset: number;
  /** The next `sizeBytes` bytes, or fewer at the end of the source, to be kept; for small numbers only. */
  read(sizeBytes: number): Promise<Buffer>;
  /** The next piece as it came, and as long as it stays there, at most `maxBytes` long; undefined at the end of the source. */
  readSome(maxBytes: number): Promise<Buffer | undefined>;
}

export function createByteReader(source: AsyncIterator<Buffer, unknown, undefined>): ByteReader {
  let chunk: Buffer = Buffer.alloc(0);
  let offset = 0;

  const readSome = async (maxBytes: number): Promise<Buffer | undefined> => {
    while (chunk.length === 0) {
      const next = await source.next();
      if (next.done === true) return undefined;
      chunk = next.value;
    }
    const piece = chunk.subarray(0, maxBytes);
    chunk = chunk.subarray(piece.length);
    offset += piece.length;
    return piece;
  };

  return {
    get offset() {
      return offset;
    },
    readSome,
    async read(sizeBytes) {
      const pieces: Buffer[] = [];
      let missing = sizeBytes;
      while (missing > 0) {
        const piece = await readSome(missing);
        if (piece === undefined) break;
        // A copy, because a source may use its memory again, and the next piece may be needed for this.
        pieces.push(Buffer.from(piece));
        missing -= piece.length;
      }
      return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
    },
  };
}
