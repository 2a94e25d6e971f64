/**
 * A large file as it comes in: gathered into pieces, each written past the page cache, since nobody reads it soon, and shown
 * on its way to whoever works on it meanwhile. Makes nothing durable.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { putBytes } from '../disk/put-bytes.mjs';
import { inWholeBlocks, uncachedFlag } from '../disk/uncached.mjs';
import { writeAllLater } from '../disk/whole.mjs';
import { borrowSlabs } from '../jmix/slab-pool.js';

const PIECE_BYTES = 256 * 1024;
/** One is filled; the others are written, and looked at. */
const PIECES = 4;

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
  const { slabs, take, give, fail, giveBack } = borrowSlabs(PIECES, PIECE_BYTES);
  const busy = new Set<Promise<void>>();
  let slab: number | undefined;
  let filled = 0;
  let position = 0;

  const send = (): void => {
    const piece = slab === undefined ? undefined : slabs[slab];
    if (slab === undefined || piece === undefined) return;
    const [used, sizeBytes] = [slab, filled];
    const whole = flag === 0 ? sizeBytes : inWholeBlocks(sizeBytes);
    // What is behind the last byte is cut off in the end.
    piece.fill(0, sizeBytes, whole);
    const sent = Promise.all([
      writeAllLater(handle.fd, piece.subarray(0, whole), position),
      show(piece.subarray(0, sizeBytes)),
    ])
      .then(() => give(used), fail)
      .finally(() => busy.delete(sent));
    busy.add(sent);
    position += sizeBytes;
    slab = undefined;
    filled = 0;
  };

  try {
    for await (const chunk of body) {
      for (let from = 0; from < chunk.length; ) {
        slab ??= await take();
        const copied = putBytes(slabs[slab] ?? chunk, filled, chunk, from);
        from += copied;
        filled += copied;
        if (filled === PIECE_BYTES) send();
      }
    }
    send();
    await Promise.all(busy);
    // Hears of what failed last.
    give(await take());
    if (flag !== 0) await handle.truncate(position);
  } finally {
    await Promise.all(busy);
    await handle.close();
    giveBack();
  }
}
