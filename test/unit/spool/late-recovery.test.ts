/** A start on a disk that takes no files, although instances of the last run need some: they come back by themselves. */
import { cp, mkdir, mkdtemp, rm, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { formatFileMeta } from '../../../src/dicom/part10.js';
import type { Freeze } from '../../../src/domain/study.js';
import { parseUid, type Uid } from '../../../src/domain/uid.js';
import { createSpool } from '../../../src/spool/envelope-store.js';
import { createLayout, type Layout, studyKey } from '../../../src/spool/layout.js';
import { openStudyStore, type StudyStore } from '../../../src/spool/study-store.js';
import { until } from '../../support/until.js';

const CT = parseUid('1.2.840.10008.5.1.4.1.1.2', 'SOPClassUID');
const IMPLICIT = parseUid('1.2.840.10008.1.2', 'TransferSyntaxUID');
const uid = (text: string) => parseUid(text, 'UID');
const STUDY = uid('1.2.3');
const KEY = studyKey(STUDY);
const OTHER = uid('1.2.4');

const folders: string[] = [];
const opened: StudyStore[] = [];
let told: string[];

beforeEach(() => {
  told = [];
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((store) => store.close()));
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true, force: true })));
});

const makeLayout = async (): Promise<Layout> => {
  const folder = await mkdtemp(join(tmpdir(), 'drawbridge-late-'));
  folders.push(folder);
  return createLayout(folder);
};

const open = async (layout: Layout): Promise<StudyStore> => {
  const store = await openStudyStore(layout, { logMegabytes: 64, tell: ({ code }) => told.push(code) });
  opened.push(store);
  return store;
};

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

const store = async (studies: StudyStore, study: Uid, sopInstanceUid: Uid, content: string) => {
  const header = formatFileMeta({ sopClassUid: CT, sopInstanceUid, transferSyntaxUid: IMPLICIT });
  const staged = await studies.stageNext(header);
  await staged.write(dataSet(content));
  const { sizeBytes } = staged.finish();
  return studies.commit(staged, study, {
    sopInstanceUid,
    sopClassUid: CT,
    transferSyntaxUid: IMPLICIT,
    seriesInstanceUid: uid('1.9'),
    modality: 'CT',
    dataSetBytes: sizeBytes,
    receivedAtMs: 5,
    callingAe: 'CT1',
    calledAe: 'DRAWBRIDGE',
  });
};

const instancesOf = async (studies: StudyStore, key: string) => [
  ...((await studies.find(key))?.instances.keys() ?? []),
];
const freezeOf = (...sopInstanceUids: readonly Uid[]): Freeze => ({
  number: 1,
  sopInstanceUids,
  deliveries: [],
  frozenAtMs: 7,
  reason: 'quiet',
});

/** What a process leaves that was killed before any file was made; `1.8`, which is known, is the first that is to get one. */
const killed = async (): Promise<Layout> => {
  const layout = await makeLayout();
  await createSpool(layout);
  const studies = await open(layout);
  await rm(layout.ready, { recursive: true });
  // Until the log is ready to be used, an instance would go into a file, for which there is no folder.
  await until(() => store(studies, STUDY, uid('1.8'), 'zzzz').catch(() => undefined), {
    what: 'the log is used',
  });
  for (const [name, content] of [
    ['1.4', 'aaaa'],
    ['1.5', 'bbbb'],
  ] as const)
    expect(await store(studies, STUDY, uid(name), content)).toBe('stored');
  const left = await makeLayout();
  await cp(layout.dataDir, left.dataDir, { recursive: true });
  await createSpool(left);
  await mkdir(layout.ready);
  await studies.settled();
  const known = (await studies.find(KEY))?.instances.get(uid('1.8'));
  await writeFile(join(left.study(KEY), 'journal.jsonl'), `${JSON.stringify(known)}\n`);
  return left;
};

it('instances come back when the disk takes their files; until then their study takes none, and is not complete', async () => {
  const layout = await killed();
  const inTheWay = layout.instance(KEY, uid('1.8'));
  await mkdir(inTheWay);
  const studies = await open(layout);
  expect(told).toEqual(['SPOOL_WRITE_FAILED']);
  expect(await instancesOf(studies, KEY)).not.toContain('1.5');
  const refusal = { code: 'SPOOL_WRITE_FAILED' };
  await expect(store(studies, STUDY, uid('1.5'), 'cccc')).rejects.toMatchObject(refusal);
  await expect(studies.freeze(KEY, freezeOf(uid('1.4')))).rejects.toMatchObject(refusal);
  expect(await studies.forget(KEY)).toBe(false);
  expect(await store(studies, OTHER, uid('1.7'), 'dddd')).toBe('stored');

  await rmdir(inTheWay);
  await until(async () => (await instancesOf(studies, KEY)).includes(uid('1.5')), {
    what: 'the instance is known',
  });
  expect(studies.gathering().map(({ key }) => key)).toContain(KEY);
  expect(await until(() => store(studies, STUDY, uid('1.5'), 'cccc').catch(() => undefined))).toBe(
    'conflict',
  );
  expect(await store(studies, STUDY, uid('1.5'), 'bbbb')).toBe('duplicate');
  expect(await store(studies, STUDY, uid('1.6'), 'eeee')).toBe('stored');
  await studies.freeze(KEY, freezeOf(uid('1.8'), uid('1.4'), uid('1.5'), uid('1.6')));
  expect(told).toEqual(['SPOOL_WRITE_FAILED']);
});

it('what is still missing when the process ends is left to the next start', async () => {
  const layout = await killed();
  const inTheWay = layout.instance(KEY, uid('1.8'));
  await mkdir(inTheWay);
  await (await open(layout)).close();
  await rmdir(inTheWay);
  const studies = await open(layout);
  expect((await instancesOf(studies, KEY)).sort()).toEqual(['1.4', '1.5', '1.8']);
});
