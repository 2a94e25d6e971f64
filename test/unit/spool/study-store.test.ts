/** Studies in the spool: what is a duplicate, what a conflict, and what a restart makes of the files. */
import { createHash } from 'node:crypto';
import { chmod, chown, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { formatFileMeta } from '../../../src/dicom/part10.js';
import type { Attachment } from '../../../src/domain/attachment.js';
import type { Freeze } from '../../../src/domain/study.js';
import { parseUid } from '../../../src/domain/uid.js';
import { createSpool } from '../../../src/spool/envelope-store.js';
import { createLayout, type Layout, studyKey } from '../../../src/spool/layout.js';
import { openStudyStore, type StudyStore, type UnhashedInstance } from '../../../src/spool/study-store.js';

const STUDY = parseUid('1.2.3', 'StudyInstanceUID');
const KEY = studyKey(STUDY);
const CT = parseUid('1.2.840.10008.5.1.4.1.1.2', 'SOPClassUID');
const IMPLICIT = parseUid('1.2.840.10008.1.2', 'TransferSyntaxUID');
const NOBODY = 65_534;
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

const hashOf = (content: string) => createHash('sha256').update(dataSet(content)).digest('hex');

/** Whoever may do everything with a folder becomes somebody who may not. */
const asNobody = async <T>(own: string, work: () => Promise<T>): Promise<T> => {
  if (process.geteuid?.() !== 0) return work();
  await chown(own, NOBODY, NOBODY);
  process.seteuid?.(NOBODY);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
};

const store = async (studies: StudyStore, uid: string, content: string) => {
  const sopInstanceUid = parseUid(uid, 'SOPInstanceUID');
  const staged = await studies.stageNext(
    formatFileMeta({ sopClassUid: CT, sopInstanceUid, transferSyntaxUid: IMPLICIT }),
  );
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

it('of what is in the reception log alone, a duplicate and a conflict are known as well; its hash when it has its file', async () => {
  const studies = await openStudyStore(layout, { logMegabytes: 64 });
  expect(await store(studies, '1.5', 'aaaa')).toBe('stored');
  expect(await store(studies, '1.6', 'cccc')).toBe('stored');
  expect(await Promise.all([store(studies, '1.5', 'aaaa'), store(studies, '1.6', 'bbbb')])).toEqual([
    'duplicate',
    'conflict',
  ]);
  expect(await store(studies, '1.7', 'dddd')).toBe('stored');
  await studies.settled();
  const hashes = [...((await studies.find(KEY))?.instances.values() ?? [])].map(({ sha256 }) => sha256);
  expect(hashes).toEqual(['aaaa', 'cccc', 'dddd'].map(hashOf));
  await studies.close();
  const journal = await readFile(join(layout.study(KEY), 'journal.jsonl'), 'utf8');
  expect(hashes.every((sha256) => journal.includes(sha256))).toBe(true);
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

const attach = async (
  studies: StudyStore,
  name: string,
  content: string,
  kind: Attachment['kind'] = 'file',
) => {
  const staged = await studies.stage(Buffer.alloc(0));
  await staged.write(Buffer.from(content));
  const { sizeBytes } = await staged.finish();
  const sha256 = await staged.sha256();
  return studies.attach(staged, KEY, { name, kind, sizeBytes, sha256, addedAtMs: 9 });
};

it.runIf(process.platform === 'linux')(
  'a freeze that could not be made durable can be made again',
  async () => {
    const studies = await openStudyStore(layout);
    await store(studies, '1.5', 'aaaa');
    const freeze: Freeze = {
      number: 1,
      sopInstanceUids: [parseUid('1.5', 'x')],
      deliveries: [],
      frozenAtMs: 7,
      reason: 'quiet',
    };
    const study = layout.study(KEY);
    for (const above of [folder, layout.studies]) await chmod(above, 0o755);
    // Files can be made in it, but it cannot be opened to be synced.
    await chmod(study, 0o300);
    await expect(asNobody(study, () => studies.freeze(KEY, freeze))).rejects.toMatchObject({
      code: 'EACCES',
    });
    await chmod(study, 0o700);
    expect((await readdir(study)).filter((name) => name.startsWith('freeze'))).toEqual([]);
    await studies.freeze(KEY, freeze);
    expect((await studies.find(KEY))?.freezes).toEqual([freeze]);
  },
);

it('an attachment needs a study; the same name is a duplicate or a conflict, and the first one stays', async () => {
  const studies = await openStudyStore(layout);
  await expect(attach(studies, 'files/a.pdf', 'aaaa')).rejects.toMatchObject({ code: 'STUDY_NOT_FOUND' });
  await store(studies, '1.5', 'aaaa');
  expect(await attach(studies, 'files/a.pdf', 'aaaa')).toBe('stored');
  expect(await attach(studies, 'files/a.pdf', 'aaaa')).toBe('duplicate');
  expect(await attach(studies, 'files/a.pdf', 'bbbb')).toBe('conflict');
  expect(await attach(studies, 'files/b.pdf', 'aaaa')).toBe('stored');
  expect(await readdir(layout.incoming)).toEqual([]);
  expect([...(studies.gathering()[0]?.gathering.attachments ?? [])]).toEqual(['files/a.pdf', 'files/b.pdf']);
});

it('a crash between the bytes of an attachment and its name is as if it had not come', async () => {
  const studies = await openStudyStore(layout);
  await store(studies, '1.5', 'aaaa');
  await attach(studies, 'files/a.pdf', 'aaaa');
  for (const name of await readdir(layout.attachmentsOf(KEY))) {
    if (name.endsWith('.json')) await rm(join(layout.attachmentsOf(KEY), name));
  }
  const again = await openStudyStore(layout);
  expect(again.gathering()[0]?.attachments.size).toBe(0);
  expect(await attach(again, 'files/a.pdf', 'aaaa')).toBe('stored');
});

it('an attachment that waits keeps its study gathering over a freeze, a restart, and being forgotten', async () => {
  const studies = await openStudyStore(layout);
  await store(studies, '1.5', 'aaaa');
  const sopInstanceUids = [parseUid('1.5', 'x')];
  const freeze = { number: 1, frozenAtMs: 1, reason: 'quiet' as const, sopInstanceUids, deliveries: [] };
  await studies.freeze(KEY, freeze);
  studies.release(KEY);
  expect(await attach(studies, 'files/a.pdf', 'aaaa')).toBe('stored');
  expect(await studies.forget(KEY)).toBe(false);
  const again = await openStudyStore(layout);
  expect(again.gathering()[0]?.gathering).toMatchObject({ firstAtMs: 9, lastAtMs: 9 });
  await again.freeze(KEY, { ...freeze, number: 2, attachments: ['files/a.pdf'] });
  expect(again.gathering()).toEqual([]);
  expect(await again.forget(KEY)).toBe(true);
  expect(await readdir(layout.studies)).toEqual([]);
});

it('an attachment that comes while its study is frozen and let go of waits for the next freeze', async () => {
  const studies = await openStudyStore(layout);
  await store(studies, '1.5', 'aaaa');
  const adding = attach(studies, 'files/a.pdf', 'aaaa');
  const sopInstanceUids = [parseUid('1.5', 'x')];
  await studies.freeze(KEY, { number: 1, frozenAtMs: 1, reason: 'quiet', sopInstanceUids, deliveries: [] });
  studies.release(KEY);
  expect(await adding).toBe('stored');
  expect(studies.gathering().map(({ key }) => key)).toEqual([KEY]);
});
