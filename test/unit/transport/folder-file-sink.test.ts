import { type FileHandle, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { classifyFolderError } from '../../../src/transport/folder/classify.js';
import { createFileSink, type FileSinkOptions } from '../../../src/transport/folder/file-sink.js';
import { codeOf } from '../jmix/support/sealing.js';

describe('the end of a pipeline in a file', () => {
  let folder: string;
  let handle: FileHandle | undefined;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sink-'));
  });

  afterEach(async () => {
    await handle?.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** Writes the bytes in pieces of 1000. */
  const write = async (
    path: string,
    bytes: Buffer,
    options: Partial<FileSinkOptions>,
    signal?: AbortSignal,
  ) => {
    handle = await open(path, 'r+');
    const sink = createFileSink(handle, { position: 0, classify: classifyFolderError, ...options });
    const pieces = function* () {
      for (let at = 0; at < bytes.length; at += 1_000) yield bytes.subarray(at, at + 1_000);
    };
    await pipeline(Readable.from(pieces()), sink, signal === undefined ? {} : { signal });
  };

  it('reports a full disk as such', async () => {
    expect(await codeOf(write('/dev/full', Buffer.alloc(5_000), {}))).toBe('QUOTA_EXCEEDED');
  });

  it('that is stopped writes nothing after it has ended', async () => {
    const path = join(folder, 'file');
    await writeFile(path, '');
    const stop = new AbortController();
    let written = 0;
    const onBytes = (count: number) => {
      written += count;
      if (written === 3_000) stop.abort();
    };
    const bytes = Buffer.alloc(100_000, 'x');
    await expect(write(path, bytes, { onBytes }, stop.signal)).rejects.toThrow();
    const there = (await readFile(path)).length;
    expect(there).toBe(written);
    await handle?.close();
    handle = undefined;
    expect((await readFile(path)).length).toBe(there);
  });

  it('writes from its position on, across its steps', async () => {
    const path = join(folder, 'file');
    await writeFile(path, Buffer.alloc(2_500, 'o'));
    const counts: number[] = [];
    const onBytes = (count: number) => counts.push(count);
    await write(path, Buffer.alloc(3_000, 'n'), { position: 1_024, syncEveryBytes: 512, onBytes });
    const expected = Buffer.concat([Buffer.alloc(1_024, 'o'), Buffer.alloc(3_000, 'n')]);
    expect((await readFile(path)).equals(expected)).toBe(true);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(3_000);
    expect(Math.max(...counts)).toBeLessThanOrEqual(512);
  });
});
