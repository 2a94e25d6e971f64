import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { writeArriving } from '../../../src/spool/arriving-file.js';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-arriving-'));
  path = join(folder, 'file');
});
afterEach(() => rm(folder, { recursive: true }));

const bytesOf = (count: number) =>
  Buffer.from(Uint8Array.from({ length: count }, (_, at) => (at * 31) % 251));
async function* inPieces(bytes: Buffer, pieceBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

const SIZES = [0, 1, 511, 512, 513, 4095, 4096, 4097, 262_143, 262_144, 262_145, 1_048_577, 3_000_001];

it.each(SIZES)('%i bytes are written and shown as they came, and no more', async (count) => {
  const bytes = bytesOf(count);
  const shown: Buffer[] = [];
  await writeArriving(path, inPieces(bytes, 70_001), async (piece) => {
    await setImmediate();
    shown.push(Buffer.from(piece));
  });
  expect((await readFile(path)).equals(bytes)).toBe(true);
  expect(Buffer.concat(shown).equals(bytes)).toBe(true);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

it('two at once do not write into each other', async () => {
  const [one, two] = [bytesOf(2_000_000), bytesOf(1_500_000).reverse()];
  await Promise.all([
    writeArriving(path, inPieces(one, 65_536)),
    writeArriving(`${path}2`, inPieces(two, 16_384)),
  ]);
  expect((await readFile(path)).equals(one)).toBe(true);
  expect((await readFile(`${path}2`)).equals(two)).toBe(true);
});

it('a piece that is looked at for long holds up the sender, and is not written over', async () => {
  const bytes = bytesOf(4_000_000);
  let taken = 0;
  const counted = async function* () {
    for await (const piece of inPieces(bytes, 65_536)) {
      taken += piece.length;
      yield piece;
    }
  };
  let look = (): void => undefined;
  const first = new Promise<void>((resolve) => {
    look = resolve;
  });
  const shown: Buffer[] = [];
  const writing = writeArriving(path, counted(), async (piece) => {
    await first;
    shown.push(Buffer.from(piece));
  });
  for (let turn = 0; turn < 200; turn += 1) await setImmediate();
  expect(taken).toBeLessThan(1_500_000);
  look();
  await writing;
  expect(Buffer.concat(shown).equals(bytes)).toBe(true);
});

it('a sender that breaks off is told of when everything under way has ended', async () => {
  const broken = async function* () {
    yield bytesOf(600_000);
    throw new Error('gone');
  };
  let looking = 0;
  const show = async () => {
    looking += 1;
    await setImmediate();
    looking -= 1;
  };
  await expect(writeArriving(path, broken(), show)).rejects.toThrow('gone');
  expect(looking).toBe(0);
});

it('a file that is there is never written over', async () => {
  await writeArriving(path, inPieces(bytesOf(10), 10));
  await expect(writeArriving(path, inPieces(bytesOf(20), 20))).rejects.toMatchObject({ code: 'EEXIST' });
  expect(await readdir(folder)).toEqual(['file']);
  expect((await readFile(path)).length).toBe(10);
});
