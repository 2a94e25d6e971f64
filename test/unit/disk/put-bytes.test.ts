/** Copying into shared memory: what Buffer.copy does, whatever the sizes. */
import { expect, it } from 'vitest';
import { putBytes } from '../../../src/disk/put-bytes.mjs';

const shared = (sizeBytes: number) => Buffer.from(new SharedArrayBuffer(sizeBytes));

it.each([
  ['in the middle', 8, 2, 3, 0],
  ['from a place in it', 8, 2, 6, 3],
  ['more than there is room for', 8, 5, 9, 1],
  ['nothing', 8, 4, 0, 0],
  ['from its end', 8, 4, 3, 3],
  ['where there is no room', 8, 8, 3, 0],
  ['one byte', 8, 7, 1, 0],
  ['far more than one block', 300_000, 5, 290_000, 17],
])('%s', (_title, size, at, length, from) => {
  const bytes = Buffer.from(Array.from({ length }, (_, index) => (index * 7 + 1) % 251));
  const fromShared = shared(length);
  bytes.copy(fromShared);
  for (const source of [bytes, fromShared]) {
    const [expected, target] = [Buffer.alloc(size, 0xee), shared(size).fill(0xee)];
    expect(putBytes(target, at, source, from)).toBe(bytes.copy(expected, at, from));
    expect(target.equals(expected)).toBe(true);
  }
});
