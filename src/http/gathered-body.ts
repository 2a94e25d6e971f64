/**
 * The body of a large request, in large pieces. Node hands out each TLS record by itself, 16 KiB, and puts together
 * what waits when it is asked for; both cost more than the bytes, for everything that stands behind.
 */
import type { IncomingMessage } from 'node:http';
import { finished, Readable } from 'node:stream';

const PIECE_BYTES = 256 * 1024;
/** That wait to be read; one more is being filled. */
const PIECES = 2;
/** A sender that is slower than this to fill a piece has it read as it is. */
const PATIENCE_MS = 5;

/** Pieces whose memory is used again by whoever says that he is done with one. */
export interface GatheredBody extends Readable {
  recycle(piece: Buffer): void;
}

/**
 * A stream of pieces, which fails with what breaks the request. Destroying it leaves the request as it is, so that its
 * sender can still be answered.
 * @param tooLarge what it fails with above `maxBytes`
 */
export function gatheredBody(
  request: IncomingMessage,
  maxBytes: number,
  tooLarge: () => Error,
): GatheredBody {
  const own = new Map<ArrayBufferLike, Buffer>();
  const free: Buffer[] = [];
  let piece: Buffer | undefined;
  let filled = 0;
  let bytes = 0;
  let patience: NodeJS.Timeout | undefined;

  const body = new Readable({
    objectMode: true,
    highWaterMark: PIECES,
    read: () => request.resume(),
    destroy(error, done) {
      clearTimeout(patience);
      request.off('data', take).pause();
      done(error);
    },
  });
  const give = (): void => {
    clearTimeout(patience);
    patience = undefined;
    if (piece === undefined) return;
    const hasRoom = body.push(piece.subarray(0, filled));
    piece = undefined;
    filled = 0;
    if (!hasRoom) request.pause();
  };
  const newPiece = (): Buffer => {
    const made = Buffer.allocUnsafeSlow(PIECE_BYTES);
    own.set(made.buffer, made);
    return made;
  };
  const take = (chunk: Buffer): void => {
    bytes += chunk.length;
    if (bytes > maxBytes) {
      body.destroy(tooLarge());
      return;
    }
    for (let from = 0; from < chunk.length; ) {
      piece ??= free.pop() ?? newPiece();
      const copied = chunk.copy(piece, filled, from);
      from += copied;
      filled += copied;
      if (filled === PIECE_BYTES) give();
    }
    if (filled > 0) patience ??= setTimeout(give, PATIENCE_MS);
  };
  // Whoever reads it is told; when nobody does, it is no reason to end the process.
  body.on('error', () => undefined);
  request.on('data', take).pause();
  finished(request, { writable: false }, (error) => {
    if (error != null) {
      body.destroy(error);
      return;
    }
    give();
    body.push(null);
  });
  return Object.assign(body, {
    recycle({ buffer }: Buffer) {
      const whole = own.get(buffer);
      if (whole !== undefined) free.push(whole);
    },
  });
}
