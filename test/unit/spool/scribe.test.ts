/** The commit point of an instance: whole and named, or not there; what stands there stays. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createNewFile } from '../../../src/spool/new-file.js';
import { placeFile, SLABS, scribeIsIdle } from '../../../src/spool/scribe.js';
import { createStagedFile } from '../../../src/spool/staged-file.js';
import { placeInFile } from '../../../src/spool/staging-place.js';
import { StudyWriter } from '../../../src/spool/study-writer.js';

let folder: string;
let study: string;
let writer: StudyWriter;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-scribe-'));
  study = join(folder, 'study');
  await mkdir(study);
  writer = new StudyWriter(study, join(study, 'journal.jsonl'));
});
afterEach(async () => {
  await writer.close();
  await rm(folder, { recursive: true, force: true });
});

const stage = async (...chunks: readonly Buffer[]) => {
  const place = placeInFile(await createNewFile(folder), 'head'.length);
  const staged = createStagedFile(place, Buffer.from('head'));
  for (const chunk of chunks) await staged.write(chunk);
  staged.finish();
  return staged;
};

it.each([
  ['nothing', []],
  ['less than one piece', [10]],
  ['many small chunks', Array<number>(500).fill(7)],
  ['exactly one block', [4096 - 4]],
  ['exactly one piece', [512 * 1024 - 4]],
  ['more than what is written at once', [3_000_000, 3_000_000, 1]],
])('a data set of %s is placed whole, and its first name is gone', async (_title, sizes) => {
  const chunks = sizes.map((size, at) => Buffer.alloc(size, at + 1));
  const body = Buffer.concat(chunks);
  const noted = (sha256: string) => writer.note({ sha256 });
  expect(await writer.place(await stage(...chunks), join(study, '1.dcm'), noted)).toBe(true);
  await scribeIsIdle();
  const placed = await readFile(join(study, '1.dcm'));
  expect(placed.equals(Buffer.concat([Buffer.from('head'), body]))).toBe(true);
  expect(await readdir(folder)).toEqual(['study']);
  const sha256 = createHash('sha256').update(body).digest('hex');
  expect(await readFile(join(study, 'journal.jsonl'), 'utf8')).toBe(`{"sha256":"${sha256}"}\n`);
});

it('a name that is taken keeps its bytes, and nobody is told of the newcomer', async () => {
  await writeFile(join(study, '1.dcm'), 'first');
  const noted = (sha256: string) => writer.note({ sha256 });
  expect(await writer.place(await stage(Buffer.from('other')), join(study, '1.dcm'), noted)).toBe(false);
  await scribeIsIdle();
  expect(await readFile(join(study, '1.dcm'), 'utf8')).toBe('first');
  expect(await readFile(join(study, 'journal.jsonl'), 'utf8')).toBe('');
  expect(await readdir(folder)).toEqual(['study']);
});

it('of many at once each has its own outcome: a file that cannot be placed fails alone', async () => {
  const staged = await Promise.all([1, 2, 3].map((at) => stage(Buffer.from(`${at}`))));
  const names = ['1.dcm', join('missing', '2.dcm'), '3.dcm'];
  const outcomes = await Promise.allSettled(
    staged.map((each, at) => writer.place(each, join(study, names[at] ?? ''), () => undefined)),
  );
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(outcomes[1]).toMatchObject({ reason: { code: 'SPOOL_WRITE_FAILED', facts: { errno: 'ENOENT' } } });
  await scribeIsIdle();
  expect((await readdir(study)).sort()).toEqual(['1.dcm', '3.dcm', 'journal.jsonl']);
});

it('a folder whose fsync fails takes its names back, so that the instance may come again', async () => {
  const { descriptor, path, isUncached } = await createNewFile(folder);
  const slab = SLABS.take();
  const placing = placeFile({
    file: descriptor,
    isUncached,
    at: slab?.at ?? 0,
    bytes: 3,
    position: 0,
    hashedFrom: 0,
    sizeBytes: 3,
    from: path,
    to: join(study, '1.dcm'),
    folder: 1_000_000,
    isOrdered: false,
  });
  await expect(placing).rejects.toMatchObject({ code: 'SPOOL_WRITE_FAILED', facts: { errno: 'EBADF' } });
  expect(await readdir(study)).not.toContain('1.dcm');
});

it.each([
  ['one sync for all', true],
  ['a sync for each', false],
])('several at once are placed whole with %s', async (_title, isOrdered) => {
  const bodies = [1, 700_000, 4096 - 4].map((size, at) => Buffer.alloc(size, at + 1));
  const staged = await Promise.all(bodies.map((body) => stage(body)));
  const opened = await open(study);
  try {
    const target = { descriptor: opened.fd, isOrdered };
    const placed = staged.map((each, at) => each.place(join(study, `${at}.dcm`), target, () => undefined));
    expect(await Promise.all(placed)).toEqual([true, true, true]);
  } finally {
    await opened.close();
  }
  for (const [at, body] of bodies.entries()) {
    const found = await readFile(join(study, `${at}.dcm`));
    expect(found.equals(Buffer.concat([Buffer.from('head'), body]))).toBe(true);
  }
});
