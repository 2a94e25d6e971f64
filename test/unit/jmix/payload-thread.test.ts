/** Sealing and opening with other threads: files on a disk that change meanwhile, aborts, and threads that die. */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import {
  appendFile,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFileSink } from '../../../src/jmix/file-sink.js';
import { openEnvelope } from '../../../src/jmix/open.js';
import { stagedIn } from '../../../src/jmix/payload-staging.js';
import { HAS_SECOND_PROCESSOR } from '../../../src/jmix/payload-thread.js';
import type { PayloadFile } from '../../../src/jmix/seal.js';
import { codeOf, openRequest, type SealedInMemory, sealInMemory } from './support/sealing.js';
import { memoryStaging } from './support/staging.js';

const threads: Worker[] = [];
const noteThread = (worker: Worker): void => void threads.push(worker);
let root: string;

beforeAll(async () => {
  process.on('worker', noteThread);
  root = await mkdtemp(join(tmpdir(), 'payload-thread-'));
});

afterAll(async () => {
  process.off('worker', noteThread);
  await rm(root, { recursive: true });
});

type Write = (path: string, bytes: Buffer) => Promise<void>;

/** Where the file system can, so that it is read from the disk. */
const writePastTheCache: Write = (path, bytes) => pipeline([bytes], createFileSink(path));

async function storedFile(
  index: number,
  bytes: Buffer,
  write: Write = writeFile,
): Promise<PayloadFile & { readonly path: string }> {
  const path = join(root, randomUUID());
  await write(path, bytes);
  return {
    path,
    name: `dicom/1.2.${index}.dcm`,
    sizeBytes: bytes.length,
    open: () => {
      throw new Error('a stored file is read by the thread');
    },
    stored: {
      from: path,
      proof: { offset: 100, holds: (found: string) => found === sha256(bytes.subarray(100)) },
    },
  };
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Of every size at which a piece, a slab or a file might end. */
const SIZES = [
  ...[0, 1, 99, 100, 101, 511, 512, 4095, 4096, 4097, 65_536, 65_537, 262_143, 262_144, 262_145],
  ...[1_000_000, 1_048_576, 1_048_577, 3_000_001],
];

describe.runIf(HAS_SECOND_PROCESSOR)('stored files, sealed and opened beside the first thread', () => {
  let contents: Buffer[];
  let sealed: SealedInMemory;

  beforeAll(async () => {
    contents = SIZES.map((size) => randomBytes(size));
    const files = await Promise.all(contents.map((bytes, index) => storedFile(index, bytes)));
    sealed = await sealInMemory({ files });
  });

  it('come out of the tar as they lay on the disk', async () => {
    const staging = memoryStaging();
    await openEnvelope(openRequest(sealed.source, { stage: staging.stage }));
    for (const [index, bytes] of contents.entries())
      expect(staging.files.get(`dicom/1.2.${index}.dcm`)?.equals(bytes)).toBe(true);
  });

  it('come out of the tar as they lay on the disk, and nowhere else', async () => {
    const cold: PayloadFile[] = [];
    for (const [index, bytes] of contents.entries())
      cold.push(await storedFile(index, bytes, writePastTheCache));
    const staging = memoryStaging();
    await openEnvelope(openRequest((await sealInMemory({ files: cold })).source, { stage: staging.stage }));
    for (const [index, bytes] of contents.entries())
      expect(staging.files.get(`dicom/1.2.${index}.dcm`)?.equals(bytes)).toBe(true);
  });

  it.each([
    ['as ever', 0],
    ['past the cache', constants.O_DIRECT],
  ])('come out of the tar as they lay in pieces of an open file, which is read %s', async (_, flag) => {
    const BLOCK = 4096;
    const blocks: Buffer[] = [];
    const lying = contents.map((bytes) => {
      const pieces = [];
      // Cut where a block of the file ends, with something else between.
      for (let from = 0; from < bytes.length; ) {
        const piece = bytes.subarray(from, from + (pieces.length === 0 ? 4 * BLOCK : 300 * BLOCK));
        blocks.push(Buffer.alloc(BLOCK, 0xee));
        pieces.push({ at: Buffer.concat(blocks).length, bytes: piece.length });
        blocks.push(piece, Buffer.alloc((BLOCK - (piece.length % BLOCK)) % BLOCK, 0xdd));
        from += piece.length;
      }
      return pieces;
    });
    const path = join(root, randomUUID());
    await writeFile(path, Buffer.concat(blocks));
    const log = await open(path, constants.O_RDONLY | flag);
    const files = contents.map((bytes, index): PayloadFile => {
      const from = lying[index]?.map((piece) => ({ file: log.fd, ...piece })) ?? [];
      const proof = { offset: 100, holds: (found: string) => found === sha256(bytes.subarray(100)) };
      const reading = () => {
        throw new Error('a stored file is read by the thread');
      };
      return {
        name: `dicom/1.2.${index}.dcm`,
        sizeBytes: bytes.length,
        open: reading,
        stored: { from, proof },
      };
    });
    const staging = memoryStaging();
    await openEnvelope(openRequest((await sealInMemory({ files })).source, { stage: staging.stage }));
    for (const [index, bytes] of contents.entries())
      expect(staging.files.get(`dicom/1.2.${index}.dcm`)?.equals(bytes)).toBe(true);
    // It is somebody else's, and still open.
    expect((await log.stat()).size).toBe(Buffer.concat(blocks).length);
    await log.close();
  });

  it('are staged in a folder with the hashes of what lies there', async () => {
    const folder = await mkdtemp(join(root, 'staged-'));
    const { files } = await openEnvelope(openRequest(sealed.source, stagedIn(folder)));
    expect(files.length).toBe(contents.length + 2);
    for (const { file, sha256: hash } of files)
      expect([file, hash]).toEqual([file, sha256(await readFile(join(folder, file)))]);
  });

  it('are not staged over what stands there', async () => {
    const folder = await mkdtemp(join(root, 'taken-'));
    await mkdir(join(folder, 'dicom'));
    await writeFile(join(folder, 'dicom/1.2.10.dcm'), 'stays');
    expect(await codeOf(openEnvelope(openRequest(sealed.source, stagedIn(folder))))).toBe('FAULT');
    expect(await readFile(join(folder, 'dicom/1.2.10.dcm'), 'utf8')).toBe('stays');
  });

  it('are refused as a whole when one bit of the sealed payload has changed', async () => {
    const bytes = Buffer.from(sealed.payload);
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 2000) ^ 1, bytes.length - 2000);
    const { source } = sealed;
    const payload = { ...source.payload, open: () => slices(bytes) } as typeof source.payload;
    const folder = await mkdtemp(join(root, 'changed-'));
    const opening = openEnvelope(openRequest({ ...source, payload }, stagedIn(folder)));
    expect(await codeOf(opening)).toBe('PAYLOAD_DECRYPT_FAILED');
  });

  it('leave nothing on its way to the folder when opening is stopped in the middle', async () => {
    const folder = await mkdtemp(join(root, 'stopped-'));
    const stop = new AbortController();
    const onProgress = (bytes: number): void => {
      if (bytes > 500_000) stop.abort();
    };
    const opening = openEnvelope(
      openRequest(sealed.source, { ...stagedIn(folder), signal: stop.signal, onProgress }),
    );
    expect(await codeOf(opening)).toBe('CANCELLED');
    await rm(folder, { recursive: true });
    expect(await readdir(root)).not.toContain(basename(folder));
  });
});

describe.runIf(HAS_SECOND_PROCESSOR)('a stored file that is not what it was', () => {
  const seal = (files: readonly PayloadFile[]) => codeOf(sealInMemory({ files }));

  const changes = [
    ['has become shorter', (path: string) => truncate(path, 10_000), 'SPOOL_CORRUPT'],
    ['has grown', (path: string) => appendFile(path, 'x'), 'SPOOL_CORRUPT'],
    ['has other bytes', (path: string) => writeFile(path, Buffer.alloc(700_000)), 'SPOOL_CORRUPT'],
    ['is a folder now', replaceByFolder, 'SPOOL_CORRUPT'],
    ['is gone', (path: string) => rm(path), 'FAULT'],
  ] as const;

  const sealChanged = async (change: (path: string) => Promise<void>, write?: Write) => {
    const files = [];
    for (let index = 0; index < 5; index += 1)
      files.push(await storedFile(index, randomBytes(700_000), write));
    await change(files[3]?.path ?? '');
    return seal(files);
  };

  it.each(changes)('fails the sealing when it %s', async (_what, change, code) => {
    expect(await sealChanged(change)).toBe(code);
  });

  it.each(changes)('fails the sealing from the disk when it %s', async (_what, change, code) => {
    expect(await sealChanged(change, writePastTheCache)).toBe(code);
  });
});

describe.runIf(HAS_SECOND_PROCESSOR)('a thread that dies', () => {
  it('fails the sealing, and the next one has a new thread', async () => {
    const file = await storedFile(0, randomBytes(8_000_000));
    await sealInMemory({ files: [file] });
    const killed: Promise<number>[] = [];
    const onProgress = () => threads.splice(0).forEach((worker) => void killed.push(worker.terminate()));
    expect(await codeOf(sealInMemory({ files: [file], onProgress }))).toBe('FAULT');
    await Promise.all(killed);
    expect(await codeOf(sealInMemory({ files: [file] }))).toBeUndefined();
  });

  it('fails the opening', async () => {
    const { source } = await sealInMemory({ files: [await storedFile(0, randomBytes(8_000_000))] });
    const folder = await mkdtemp(join(root, 'dead-'));
    await openEnvelope(openRequest(source, stagedIn(folder)));
    const again = await mkdtemp(join(root, 'dead-'));
    const onProgress = () => threads.splice(0).forEach((worker) => void worker.terminate());
    expect(await codeOf(openEnvelope(openRequest(source, { ...stagedIn(again), onProgress })))).toBe('FAULT');
  });
});

describe.runIf(HAS_SECOND_PROCESSOR)('sealing that is stopped in the middle', () => {
  it('says CANCELLED', async () => {
    const stop = new AbortController();
    const files = [await storedFile(0, randomBytes(8_000_000))];
    const request = { files, signal: stop.signal, onProgress: () => stop.abort() };
    expect(await codeOf(sealInMemory(request))).toBe('CANCELLED');
  });
});

async function replaceByFolder(path: string): Promise<void> {
  await rm(path);
  await mkdir(path);
}

async function* slices(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000);
}
