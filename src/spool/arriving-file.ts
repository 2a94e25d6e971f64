/**
 * A large file as it comes in: gathered into pieces, each written past the page cache, since nobody reads it soon, and shown
 * on its way to whoever works on it meanwhile. Makes nothing durable.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { alignedMemory, inWholeBlocks, uncachedFlag } from '../disk/uncached.mjs';

const PIECE_BYTES = 256 * 1024;
/** One is filled; the others are written, and looked at. */
const PIECES = 4;

/** Memory of files that are written whole; it is kept for the next. */
const idle: SharedArrayBuffer[] = [];

/**
 * Writes `body` to a new file with mode 0600. What was written when this throws is worthless.
 * @param show sees each piece, in its turn; the memory is used again when it has resolved. Must not reject.
 * @throws the errno (EEXIST for a file that is there), and what `body` throws
 */
export async function writeArriving(
  path: string,
  body: AsyncIterable<Buffer>,
  show: (piece: Buffer) => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  const flag = uncachedFlag(dirname(path));
  const handle = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | flag, 0o600);
  const memory = idle.pop() ?? alignedMemory(PIECES * PIECE_BYTES);
  const pieces: Buffer[] = Array.from({ length: PIECES }, (_, index) =>
    Buffer.from(memory, index * PIECE_BYTES, PIECE_BYTES),
  );
  /** Those that are still being written or looked at, the one first that has been so for longest. */
  const busy: Promise<Buffer>[] = [];
  let free = pieces.shift();
  let filled = 0;
  let position = 0;

  const send = async (piece: Buffer): Promise<void> => {
    const writing = writeAt(handle, piece, flag === 0 ? filled : padded(piece, filled), position);
    const sent = Promise.all([writing, show(piece.subarray(0, filled))]).then(() => piece);
    // Its failure is told to whoever waits for the piece.
    sent.catch(() => undefined);
    busy.push(sent);
    position += filled;
    filled = 0;
    free = pieces.shift() ?? (await busy.shift());
  };

  try {
    for await (const chunk of body) {
      for (let at = 0; at < chunk.length && free !== undefined; ) {
        const copied = chunk.copy(free, filled, at);
        at += copied;
        filled += copied;
        if (filled === PIECE_BYTES) await send(free);
      }
    }
    if (filled > 0 && free !== undefined) await send(free);
    await Promise.all(busy);
    if (flag !== 0) await handle.truncate(position);
  } finally {
    await Promise.allSettled(busy);
    await handle.close();
    idle.push(memory);
  }
}

/** The bytes of the blocks that these fill; what is behind them is cut off in the end. */
function padded(piece: Buffer, sizeBytes: number): number {
  const whole = inWholeBlocks(sizeBytes);
  piece.fill(0, sizeBytes, whole);
  return whole;
}

async function writeAt(
  handle: FileHandle,
  piece: Buffer,
  sizeBytes: number,
  position: number,
): Promise<void> {
  for (let written = 0; written < sizeBytes; ) {
    const { bytesWritten } = await handle.write(piece, written, sizeBytes - written, position + written);
    written += bytesWritten;
  }
}
