/**
 * What a power failure can leave at each step of taking an instance in (contents durable, name, folder durable, answer;
 * then the journal's line, and the first name removed): the next start lists what has its name, wipes the rest, and the
 * sender, who sends again whatever was not answered, hears the truth.
 */
import {
  appendFile,
  cp,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatFileMeta } from '../../../src/dicom/part10.js';
import { parseUid, type Uid } from '../../../src/domain/uid.js';
import { createSpool } from '../../../src/spool/envelope-store.js';
import { createLayout, type Layout, studyKey } from '../../../src/spool/layout.js';
import { openStaging } from '../../../src/spool/staging.js';
import { openStudyStore, type StudyStore, type UnhashedInstance } from '../../../src/spool/study-store.js';
import { until } from '../../support/until.js';

const STUDY = parseUid('1.2.3', 'StudyInstanceUID');
const KEY = studyKey(STUDY);
const CT = parseUid('1.2.840.10008.5.1.4.1.1.2', 'SOPClassUID');
const IMPLICIT = parseUid('1.2.840.10008.1.2', 'TransferSyntaxUID');
const uid = (text: string) => parseUid(text, 'SOPInstanceUID');

let logMegabytes = 0;
let folder: string;
let layout: Layout;
const opened: StudyStore[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-power-'));
  layout = createLayout(folder);
  await createSpool(layout);
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((store) => store.close()));
  await rm(folder, { recursive: true, force: true });
});

const open = async (): Promise<StudyStore> => {
  const store = await openStudyStore(layout, { logMegabytes });
  opened.push(store);
  return store;
};

const header = (sopInstanceUid: Uid) =>
  formatFileMeta({
    sopClassUid: CT,
    sopInstanceUid,
    transferSyntaxUid: IMPLICIT,
    sendingAe: 'CT1',
    receivingAe: 'DRAWBRIDGE',
  });

/** (0008,0060) CT, (0020,000E) 1.9, and a private element that makes the bytes differ. */
const dataSet = (content: string) =>
  Buffer.concat([
    Buffer.from('0800600002000000', 'hex'),
    Buffer.from('CT'),
    Buffer.from('20000e0004000000', 'hex'),
    Buffer.from('1.9\0'),
    Buffer.from('2100011004000000', 'hex'),
    Buffer.from(content),
  ]);

const store = async (studies: StudyStore, sopInstanceUid: Uid, content: string) => {
  const staged = await studies.stageNext(header(sopInstanceUid));
  await staged.write(dataSet(content));
  const { sizeBytes } = await staged.finish();
  const instance: UnhashedInstance = {
    sopInstanceUid,
    sopClassUid: CT,
    transferSyntaxUid: IMPLICIT,
    seriesInstanceUid: parseUid('1.9', 'SeriesInstanceUID'),
    modality: 'CT',
    dataSetBytes: sizeBytes,
    receivedAtMs: 5,
    callingAe: 'CT1',
    calledAe: 'DRAWBRIDGE',
  };
  return studies.commit(staged, STUDY, instance);
};

const FIRST = uid('1.5');
const SECOND = uid('1.6');
const journal = () => join(layout.study(KEY), 'journal.jsonl');
const fileOf = (sopInstanceUid: Uid) => layout.instance(KEY, sopInstanceUid);
const whole = (sopInstanceUid: Uid, content: string) =>
  Buffer.concat([header(sopInstanceUid), dataSet(content)]);

/** What the bridge knows of each instance, apart from when it came. */
const listed = async (studies: StudyStore) =>
  [...((await studies.find(KEY))?.instances.values() ?? [])]
    .map(({ receivedAtMs: _, ...facts }) => facts)
    .sort((a, b) => a.sopInstanceUid.localeCompare(b.sopInstanceUid));

/** A study of two, as it is when all has been written. Returns what is listed of it. */
const twoStored = async () => {
  const studies = await open();
  expect(await store(studies, FIRST, 'aaaa')).toBe('stored');
  expect(await store(studies, SECOND, 'bbbb')).toBe('stored');
  await studies.settled();
  const facts = await listed(studies);
  await studies.close();
  return facts;
};

/** Each makes of a whole study of two what the failure has left; all keep both names. */
const LEFT_WITH_BOTH: readonly (readonly [string, () => Promise<void>])[] = [
  ['everything', async () => undefined],
  [
    'the last name, and no line of the journal for it',
    async () => writeFile(journal(), `${(await readFile(journal(), 'utf8')).split('\n')[0]}\n`),
  ],
  ['no journal at all', () => rm(journal())],
  ['a journal whose last line is torn', () => shorten(journal(), 20)],
  ['a journal whose last line has lost but its end', () => shorten(journal(), 1)],
  [
    'a torn line onto which another one was written',
    async () => {
      const [first = '', second = ''] = (await readFile(journal(), 'utf8')).split('\n');
      await writeFile(journal(), `${first.slice(0, 30)}${second}\n`);
    },
  ],
  ['a journal that ends in zeros', () => appendFile(journal(), Buffer.alloc(300))],
  ['the first name beside the last', () => link(fileOf(SECOND), join(layout.ready, 'left.part'))],
  [
    'files opened ahead, half-written, whole, or with a prefix alone',
    async () => {
      await writeFile(join(layout.ready, 'empty.part'), '');
      await writeFile(join(layout.ready, 'head.part'), header(uid('1.7')));
      await writeFile(join(layout.ready, 'whole.part'), whole(uid('1.7'), 'cccc'));
      await writeFile(join(layout.incoming, 'half.part'), whole(uid('1.8'), 'dddd').subarray(0, 100));
    },
  ],
  [
    'a line of the journal for an instance whose name never reached the disk',
    async () => {
      const [first = ''] = (await readFile(journal(), 'utf8')).split('\n');
      await appendFile(journal(), `${first.replace('"1.5"', '"1.7"')}\n`);
    },
  ],
];

async function shorten(path: string, bytes: number): Promise<void> {
  await truncate(path, (await readFile(path)).length - bytes);
}

describe.each([
  ['without the reception log', 0],
  ['with it', 64],
])('%s', (_where, megabytes) => {
  beforeEach(() => {
    logMegabytes = megabytes;
  });

  it.each(LEFT_WITH_BOTH)(
    'it leaves %s: both instances are listed, nothing else is kept, and sent again they are duplicates',
    async (_title, fail) => {
      const before = await twoStored();
      await fail();
      const after = await open();
      expect(await listed(after)).toEqual(before);
      expect(await Promise.all([readdir(layout.ready), readdir(layout.incoming)])).toEqual([[], []]);
      expect([...(after.gathering()[0]?.gathering.instances ?? [])].sort()).toEqual(['1.5', '1.6']);
      expect(await store(after, FIRST, 'aaaa')).toBe('duplicate');
      expect(await store(after, SECOND, 'bbbb')).toBe('duplicate');
      expect(await store(after, SECOND, 'cccc')).toBe('conflict');
      expect((await readFile(fileOf(SECOND))).equals(whole(SECOND, 'bbbb'))).toBe(true);
      await after.close();
      // And once more: what the start has mended stays so.
      const again = await open();
      expect(await listed(again)).toEqual(before);
    },
  );

  it('it leaves a whole file without its name: the instance is not there, and is stored when it comes again', async () => {
    const [first] = await twoStored();
    await rm(fileOf(SECOND));
    await writeFile(join(layout.ready, 'second.part'), whole(SECOND, 'bbbb'));
    const after = await open();
    expect(await listed(after)).toEqual([first]);
    expect(await readdir(layout.ready)).toEqual([]);
    expect(await store(after, SECOND, 'bbbb')).toBe('stored');
    expect(await store(after, SECOND, 'bbbb')).toBe('duplicate');
    await after.settled();
    expect((await readFile(fileOf(SECOND))).equals(whole(SECOND, 'bbbb'))).toBe(true);
  });

  it('it leaves a folder without its study: nothing is listed, and the study begins anew', async () => {
    await twoStored();
    for (const name of await readdir(layout.study(KEY))) await rm(join(layout.study(KEY), name));
    const after = await open();
    expect(await after.find(KEY)).toBeUndefined();
    expect(await store(after, FIRST, 'aaaa')).toBe('stored');
    expect(await listed(after)).toHaveLength(1);
  });

  it('instances that come after it are listed beside those before, though a line was torn', async () => {
    const before = await twoStored();
    await shorten(journal(), 20);
    const after = await open();
    expect(await store(after, uid('1.7'), 'cccc')).toBe('stored');
    await after.close();
    const again = await open();
    const now = await listed(again);
    expect(now.slice(0, 2)).toEqual(before);
    expect(now.map(({ sopInstanceUid }) => sopInstanceUid)).toEqual(['1.5', '1.6', '1.7']);
    expect(await store(again, uid('1.7'), 'cccc')).toBe('duplicate');
  });
});

it('it leaves instances that are in the reception log alone: they are listed, and can be read', async () => {
  logMegabytes = 64;
  const studies = await open();
  await rm(layout.ready, { recursive: true });
  // Until the log is ready to be used, an instance would go into a file, for which there is no folder.
  await until(() => store(studies, FIRST, 'aaaa').catch(() => undefined), { what: 'the log is used' });
  expect(await store(studies, SECOND, 'bbbb')).toBe('stored');
  const left = await mkdtemp(join(tmpdir(), 'drawbridge-power-'));
  await cp(folder, left, { recursive: true });
  await mkdir(layout.ready);
  await studies.settled();
  const before = await listed(studies);
  await studies.close();
  await rm(folder, { recursive: true });
  folder = left;
  layout = createLayout(left);
  await createSpool(layout);
  expect(await readdir(layout.study(KEY))).not.toContain('1.5.dcm');
  // A start that cannot make the files, here since something else is in their way, keeps what it could not place.
  await rename(layout.study(KEY), join(folder, 'aside'));
  await writeFile(layout.study(KEY), '');
  const told: string[] = [];
  const staging = await openStaging(layout, ({ code }) => told.push(code), 64);
  await staging.settled();
  await staging.close();
  expect(told).toEqual(['SPOOL_WRITE_FAILED']);
  await rm(layout.study(KEY));
  await rename(join(folder, 'aside'), layout.study(KEY));
  const after = await open();
  expect(await listed(after)).toEqual(before);
  expect((await readFile(fileOf(SECOND))).equals(whole(SECOND, 'bbbb'))).toBe(true);
  expect(await store(after, FIRST, 'aaaa')).toBe('duplicate');
  expect(await store(after, FIRST, 'cccc')).toBe('conflict');
});
