/** Files of the spool, read for sending: through the page cache and past it, the bytes are the same. */
import { randomBytes } from 'node:crypto';
import { truncateSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { alignedMemory, BLOCK_BYTES, uncachedFlag } from '../../src/disk/uncached.mjs';
import { readPieces } from '../../src/spool/file-pieces.js';

const INTO_BYTES = 16 * BLOCK_BYTES;
const into = Buffer.from(alignedMemory(INTO_BYTES));
const content = randomBytes(3 * INTO_BYTES + 1);
let folder: string;
let flag: number;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-pieces-'));
  flag = uncachedFlag(folder);
});
afterAll(() => rm(folder, { recursive: true }));

async function readAll(path: string, offset: number, howToRead: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of readPieces(path, offset, into, howToRead)) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

describe.each([
  ['through the cache', () => 0],
  ['past the cache', () => flag],
])('%s', (_, howToRead) => {
  test.each([0, 1, BLOCK_BYTES, INTO_BYTES - 1, INTO_BYTES, INTO_BYTES + 1, 3 * INTO_BYTES + 1])(
    'a file of %i bytes, from several offsets',
    async (size) => {
      const path = join(folder, `${size}`);
      writeFileSync(path, content.subarray(0, size));
      for (const offset of [0, 340, BLOCK_BYTES, BLOCK_BYTES + 1, size]) {
        const read = await readAll(path, offset, howToRead());
        expect(read.equals(content.subarray(offset, size)), `from ${offset} on`).toBe(true);
      }
    },
  );

  test('a file that is cut short meanwhile: what is there', async () => {
    const path = join(folder, 'cut');
    writeFileSync(path, content);
    let length = 0;
    for await (const piece of readPieces(path, 0, into, howToRead())) {
      length += piece.length;
      truncateSync(path, INTO_BYTES);
    }
    expect(length).toBe(INTO_BYTES);
  });

  test('a file that is not there: the errno', async () => {
    await expect(readAll(join(folder, 'none'), 0, howToRead())).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
