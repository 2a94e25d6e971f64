/**
 * Bytes in blocks of one size, in buffers that come round again: for a long stream of pieces, each of which would
 * otherwise be memory to take, to fill and to give back. Copying costs a tenth of what that does.
 */

export const BLOCK_BYTES = 256 * 1024;

/**
 * The same bytes in blocks of 256 KiB, the last one shorter.
 * @param alive a block is overwritten when so many more have been asked for; whoever keeps one longer must copy it
 */
export async function* inBlocks(
  source: AsyncIterable<Buffer>,
  alive: number,
): AsyncGenerator<Buffer, void, undefined> {
  const ring = Array.from({ length: alive + 1 }, () => Buffer.allocUnsafeSlow(BLOCK_BYTES));
  let turn = 0;
  let filled = 0;
  for await (const piece of source) {
    for (let at = 0; at < piece.length; ) {
      const block = ring[turn % ring.length] ?? Buffer.alloc(0);
      const copied = piece.copy(block, filled, at);
      at += copied;
      filled += copied;
      if (filled < BLOCK_BYTES) continue;
      turn += 1;
      filled = 0;
      yield block;
    }
  }
  const last = ring[turn % ring.length];
  if (last !== undefined && filled > 0) yield last.subarray(0, filled);
}
