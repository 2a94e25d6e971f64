import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEnvelopeArchive } from '../../../src/jmix/envelope-archive.js';
import { collected } from './support/folders.js';
import { codeOf } from './support/sealing.js';

describe('an envelope archive from an offset', () => {
  let folder: string;
  let whole: Buffer;
  const from = async (offset: number, path = folder) => {
    const { sizeBytes, stream } = await openEnvelopeArchive(path, offset);
    return { sizeBytes, bytes: await collected(stream as AsyncIterable<Buffer>) };
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'archive-'));
    await writeFile(join(folder, 'manifest.json'), '{"a": 1}\n');
    await writeFile(join(folder, 'manifest.jws'), Buffer.alloc(512, 'j'));
    await writeFile(join(folder, 'audit.json'), '');
    await writeFile(join(folder, 'payload.encrypted'), Buffer.alloc(700_001, 'payload '));
    whole = (await from(0)).bytes;
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('fails when a file has become shorter than it was', async () => {
    const short = await mkdtemp(join(folder, 'short-'));
    await writeFile(join(short, 'manifest.json'), '{}');
    await writeFile(join(short, 'payload.encrypted'), Buffer.alloc(10_000));
    const { stream } = await openEnvelopeArchive(short, 5_000);
    await truncate(join(short, 'payload.encrypted'), 20);
    expect(await codeOf(collected(stream as AsyncIterable<Buffer>))).toBe('SPOOL_CORRUPT');
  });

  it('is its tail, for every offset around the borders of its parts', async () => {
    // Headers and contents, in turn: 512 each, but the payload.
    const borders = [0, 512, 521, 1_024, 1_536, 2_048, 2_560, 3_072, 3_072 + 262_144, 3_072 + 700_001];
    const ends = [whole.length - 1_024, whole.length];
    const around = [...borders, ...ends].flatMap((border) => [border - 1, border, border + 1]);
    for (const offset of around.filter((at) => at >= 0 && at <= whole.length)) {
      const { sizeBytes, bytes } = await from(offset);
      expect(sizeBytes).toBe(whole.length);
      expect(bytes.equals(whole.subarray(offset)), `from byte ${offset}`).toBe(true);
    }
  });

  it('crosses the files of a payload that is not sealed', async () => {
    const plain = await mkdtemp(join(folder, 'plain-'));
    await mkdir(join(plain, 'payload', 'dicom'), { recursive: true });
    await writeFile(join(plain, 'manifest.json'), '{}');
    await writeFile(join(plain, 'payload', 'dicom', '1.2.dcm'), Buffer.alloc(600, 'a'));
    await writeFile(join(plain, 'payload', 'metadata.json'), 'b');
    const all = (await from(0, plain)).bytes;
    for (let offset = 0; offset <= all.length; offset += 97) {
      expect((await from(offset, plain)).bytes.equals(all.subarray(offset))).toBe(true);
    }
  });
});
