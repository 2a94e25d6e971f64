/** Folders that nobody sees, and what becomes of work in one that a starting gateway wipes. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { GatewayError } from '../../../src/errors/gateway-error.js';
import { createSpool, placeFolder, promoteFolder } from '../../../src/spool/envelope-store.js';
import { createLayout, type Layout } from '../../../src/spool/layout.js';
import { inScratch, openScratch, wipeScratch } from '../../../src/spool/scratch.js';
import { until } from '../../support/until.js';

const WIPED = { code: 'SPOOL_WRITE_FAILED', kind: 'transient' };

let layout: Layout;

beforeEach(async () => {
  layout = createLayout(await mkdtemp(join(tmpdir(), 'drawbridge-scratch-')));
  await createSpool(layout);
});
afterEach(() => rm(layout.dataDir, { recursive: true, force: true }));

const wipe = () => wipeScratch(layout, 0, Date.now());
const left = () => readdir(layout.scratch);

it('what was not given a name is gone when the work is done, or has failed', async () => {
  expect(await inScratch(layout, 'test', ({ path }) => writeFile(join(path, 'one'), '1'))).toBeUndefined();
  await expect(inScratch(layout, 'test', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(await left()).toEqual([]);
});

it('whatever fails in a folder that was wiped comes again, since it says nothing of what was worked on', async () => {
  for (const failure of [new GatewayError('ENVELOPE_MALFORMED', 'manifest.json is missing'), undefined]) {
    const work = inScratch(layout, 'test', async ({ path }) => {
      await wipe();
      if (failure !== undefined) throw failure;
      await readFile(join(path, 'one'));
    });
    await expect(work).rejects.toMatchObject(WIPED);
  }
});

it('files that are still being made in a folder while it is wiped do not stop the wipe', async () => {
  const { path, remove } = await openScratch(layout, 'test');
  const folder = await open(path);
  let made = 0;
  // By the folder itself: as one whose name was looked up before it changed.
  const makeFiles = async (_: unknown, maker: number) => {
    for (let at = 0; at < 50; at += 1) {
      await writeFile(`/proc/self/fd/${folder.fd}/${maker}-${at}`, '');
      made += 1;
    }
  };
  const making = Promise.allSettled(Array.from({ length: 4 }, makeFiles));
  await until(() => made > 0, { everyMs: 1 });
  await wipe();
  await making;
  expect(await left()).toEqual([]);
  await folder.close();
  await remove();
});

it('a file that is missing in a folder that is there stays what it is', async () => {
  const work = inScratch(layout, 'test', ({ path }) => readFile(join(path, 'one')));
  await expect(work).rejects.toMatchObject({ code: 'ENOENT' });
});

it('a full disk is told as one', async () => {
  const full = Object.assign(new Error('full'), { code: 'ENOSPC' });
  await expect(inScratch(layout, 'test', () => Promise.reject(full))).rejects.toMatchObject({
    ...WIPED,
    facts: { errno: 'ENOSPC' },
  });
});

it.each([
  ['promoted', (...args: Parameters<typeof promoteFolder>) => promoteFolder(...args)],
  ['placed', (...[, from, to]: Parameters<typeof promoteFolder>) => placeFolder(from, to)],
])('half of what was written, in a folder made anew after the wipe, is not %s', async (_, give) => {
  const to = join(layout.inbox, 'whole');
  const work = inScratch(layout, 'test', async (folder) => {
    await writeFile(join(folder.path, 'first'), '1');
    await wipe();
    // As who writes files of a tree does: with the folders above them.
    await mkdir(join(folder.path, 'dicom'), { recursive: true });
    await writeFile(join(folder.path, 'dicom', 'second'), '2');
    await give(layout, folder, to);
  });
  await expect(work).rejects.toMatchObject(WIPED);
  expect([existsSync(to), await left()]).toEqual([false, []]);
});

it('what fails after the folder has got its name is told as it is', async () => {
  const taken = new GatewayError('ENVELOPE_EXISTS', 'taken');
  const work = inScratch(layout, 'test', async (folder) => {
    await promoteFolder(layout, folder, join(layout.inbox, 'whole'));
    throw taken;
  });
  await expect(work).rejects.toBe(taken);
  expect(await readdir(layout.inbox)).toEqual(['whole']);
});

it('of two that grew side by side one gets the name, and stays', async () => {
  const to = join(layout.sealed, 'one');
  const folders = [await openScratch(layout, 'a'), await openScratch(layout, 'b')];
  for (const [at, { path }] of folders.entries()) await writeFile(join(path, 'who'), `${at}`);
  const got = await Promise.all(folders.map((folder) => placeFolder(folder, to)));
  expect(got.filter(Boolean)).toHaveLength(1);
  expect(await readFile(join(to, 'who'), 'utf8')).toBe(`${got.indexOf(true)}`);
  expect(await left()).toEqual([]);
});

it('who works in a folder finds all of it, or nothing, while it is wiped', async () => {
  const folder = await openScratch(layout, 'test');
  const names = Array.from({ length: 500 }, (_, at) => `${at}`);
  await Promise.all(names.map((name) => writeFile(join(folder.path, name), name)));
  const counts = new Set<number>();
  let isWiping = true;
  const wiping = wipe().finally(() => {
    isWiping = false;
  });
  while (isWiping)
    counts.add(
      await readdir(folder.path)
        .then(({ length }) => length)
        .catch(() => 0),
    );
  await wiping;
  await folder.remove();
  expect([...counts].filter((count) => count !== 0 && count !== names.length)).toEqual([]);
});

it('what an earlier wipe was stopped at goes too, and what is young stays where others may work', async () => {
  await mkdir(join(layout.scratch, 'wiped-1', 'dicom'), { recursive: true });
  await wipeScratch(layout, 60_000, Date.now());
  expect(await left()).toEqual(['wiped-1']);
  await wipe();
  expect(await left()).toEqual([]);
});
