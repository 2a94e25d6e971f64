import fc from 'fast-check';
import { expect, it } from 'vitest';
import { BLOCK_BYTES, inBlocks } from '../../../src/jmix/blocks.js';

async function* pieces(sizes: readonly number[]): AsyncGenerator<Buffer, void, undefined> {
  // One buffer for all of them, as whoever reads files into the same one gives them.
  const buffer = Buffer.alloc(Math.max(0, ...sizes));
  for (const [index, size] of sizes.entries()) yield buffer.subarray(0, size).fill(index + 1);
}

it('the bytes are the same in blocks of one size, whatever pieces they come in', async () => {
  const size = fc.oneof(
    fc.nat({ max: 1000 }),
    fc.integer({ min: BLOCK_BYTES - 2, max: BLOCK_BYTES + 2 }),
    fc.integer({ min: 0, max: 3 * BLOCK_BYTES }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(size, { maxLength: 8 }), async (sizes) => {
      const expected = Buffer.concat(sizes.map((bytes, index) => Buffer.alloc(bytes, index + 1)));
      const blocks: Buffer[] = [];
      for await (const block of inBlocks(pieces(sizes), 2)) blocks.push(Buffer.from(block));
      expect(Buffer.concat(blocks).equals(expected)).toBe(true);
      expect(blocks.slice(0, -1).every((block) => block.length === BLOCK_BYTES)).toBe(true);
    }),
    { numRuns: 50 },
  );
});

it('a block stays as it is until so many more were asked for, and no longer', async () => {
  const blocks = inBlocks(pieces([1, 2, 3, 4].map(() => BLOCK_BYTES)), 2);
  const first = (await blocks.next()).value;
  await blocks.next();
  await blocks.next();
  expect(first?.[0]).toBe(1);
  await blocks.next();
  expect(first?.[0]).toBe(4);
});
