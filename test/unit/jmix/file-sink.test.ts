/** A file that is written as it comes, past the page cache where that can be. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createFileSink } from '../../../src/jmix/file-sink.js';
import { destroyed, pipeInto } from '../../../src/jmix/pipe-into.js';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'file-sink-'));
});
afterAll(() => rm(folder, { recursive: true }));

const PIECE_BYTES = 100_000;

async function* pieces(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
}

it.each([0, 1, 4095, 4096, 4097, 1_048_575, 1_048_576, 1_048_577, 9_000_001])(
  'a file of %d bytes holds them, and no more',
  async (size) => {
    const bytes = randomBytes(size);
    const path = join(folder, String(size));
    await pipeInto(pieces(bytes), createFileSink(path));
    expect((await readFile(path)).equals(bytes)).toBe(true);
  },
);

it('a file that is there already stays, and the sink fails', async () => {
  const path = join(folder, 'taken');
  await writeFile(path, 'stays');
  const writing = pipeInto(pieces(randomBytes(300_000)), createFileSink(path));
  await expect(writing).rejects.toMatchObject({ code: 'EEXIST' });
  expect(await readFile(path, 'utf8')).toBe('stays');
});

it('a sink that is destroyed has let go of its file, so that the folder can be removed', async () => {
  const own = await mkdtemp(join(folder, 'own-'));
  const sink = createFileSink(join(own, 'payload'));
  sink.write(randomBytes(3_000_000));
  await destroyed(sink);
  await rm(own, { recursive: true });
});
