/** Studies in the spool: what is a duplicate, what a conflict, and what a restart makes of the files. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { formatFileMeta } from '../../../src/dicom/part10.js';
import type { ReceivedInstance } from '../../../src/domain/instance.js';
import { parseUid } from '../../../src/domain/uid.js';
import { createSpool } from '../../../src/spool/envelope-store.js';
import { createLayout, type Layout, studyKey } from '../../../src/spool/layout.js';
import { openStudyStore, type StudyStore } from '../../../src/spool/study-store.js';

const STUDY = parseUid('1.2.3', 'StudyInstanceUID');
const KEY = studyKey(STUDY);
const CT = parseUid('1.2.840.10008.5.1.4.1.1.2', 'SOPClassUID');
const IMPLICIT = parseUid('1.2.840.10008.1.2', 'TransferSyntaxUID');
let folder: string;
let layout: Layout;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-studies-'));
  layout = createLayout(folder);
  await createSpool(layout);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

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

const store = async (studies: StudyStore, uid: string, content: string) => {
  const sopInstanceUid = parseUid(uid, 'SOPInstanceUID');
  const staged = await studies.stage(
    formatFileMeta({ sopClassUid: CT, sopInstanceUid, transferSyntaxUid: IMPLICIT }),
  );
  await staged.write(dataSet(content));
  const { sizeBytes, sha256 } = await staged.finish();
  const instance: ReceivedInstance = {
    sopInstanceUid,
    sopClassUid: CT,
    transferSyntaxUid: IMPLICIT,
    seriesInstanceUid: parseUid('1.9', 'SeriesInstanceUID'),
    modality: 'CT',
    dataSetBytes: sizeBytes,
    sha256,
    receivedAtMs: 5,
    callingAe: 'CT1',
    calledAe: 'DRAWBRIDGE',
  };
  return studies.commit(staged, STUDY, instance);
};

it('the same bytes again are a duplicate; other bytes a conflict, kept aside; the first one stays', async () => {
  const studies = await openStudyStore(layout);
  expect(await store(studies, '1.5', 'aaaa')).toBe('stored');
  expect(await store(studies, '1.5', 'aaaa')).toBe('duplicate');
  expect(await store(studies, '1.5', 'bbbb')).toBe('conflict');
  expect(await store(studies, '1.5', 'bbbb')).toBe('conflict');
  expect(await readdir(join(layout.conflicts, KEY))).toHaveLength(1);
  expect(studies.conflictCounts().get(KEY)).toBe(1);
  expect((await readFile(layout.instance(KEY, parseUid('1.5', 'x')))).subarray(-4).toString()).toBe('aaaa');
  expect(await readdir(layout.incoming)).toEqual([]);
});

it('of two that arrive at once, one is stored', async () => {
  const studies = await openStudyStore(layout);
  const outcomes = await Promise.all([1, 2, 3, 4].map(() => store(studies, '1.5', 'aaaa')));
  expect(outcomes.sort()).toEqual(['duplicate', 'duplicate', 'duplicate', 'stored']);
});

it.each(['with its journal', 'without its journal'])(
  'a restart finds every instance again, %s',
  async (title) => {
    const studies = await openStudyStore(layout);
    await store(studies, '1.5', 'aaaa');
    await store(studies, '1.6', 'bbbb');
    const [before] = studies.gathering();
    if (title.startsWith('without')) await rm(join(layout.study(KEY), 'journal.jsonl'));
    else await writeFile(join(layout.study(KEY), 'journal.jsonl'), '{"torn', { flag: 'a' });
    await writeFile(join(layout.incoming, 'half.part'), 'half');
    const [after] = (await openStudyStore(layout)).gathering();
    const facts = (study: typeof before) =>
      [...(study?.instances.values() ?? [])].map(
        ({ sopInstanceUid, sha256, seriesInstanceUid, modality, dataSetBytes }) => ({
          sopInstanceUid,
          sha256,
          seriesInstanceUid,
          modality,
          dataSetBytes,
        }),
      );
    expect(facts(after)).toEqual(facts(before));
    expect(await readdir(layout.incoming)).toEqual([]);
  },
);

it('a freeze is made once, takes what has gathered, and leaves what comes later', async () => {
  const studies = await openStudyStore(layout);
  await store(studies, '1.5', 'aaaa');
  const freeze = {
    number: 1,
    frozenAtMs: 1,
    reason: 'quiet' as const,
    sopInstanceUids: [parseUid('1.5', 'x')],
    deliveries: [],
  };
  await studies.freeze(KEY, freeze);
  expect(studies.gathering()).toEqual([]);
  await expect(studies.freeze(KEY, freeze)).rejects.toMatchObject({ code: 'STATE_INVALID' });
  await store(studies, '1.6', 'bbbb');
  expect([...(studies.gathering()[0]?.gathering.instances ?? [])]).toEqual(['1.6']);
  expect(await studies.forget(KEY)).toBe(false);
  const [again] = (await openStudyStore(layout)).gathering();
  expect([...(again?.gathering.instances ?? [])]).toEqual(['1.6']);
});
