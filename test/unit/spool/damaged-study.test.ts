/** Studies that a disk has damaged: each is told with its file, keeps nothing else from being read, and may come again. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { formatFileMeta } from '../../../src/dicom/part10.js';
import { parseUid } from '../../../src/domain/uid.js';
import type { GatewayError } from '../../../src/errors/gateway-error.js';
import { createSpool } from '../../../src/spool/envelope-store.js';
import { createLayout, type Layout, studyKey } from '../../../src/spool/layout.js';
import { loadStudy } from '../../../src/spool/study-folder.js';

const STUDY = parseUid('1.2.33', 'StudyInstanceUID');
const KEY = studyKey(STUDY);

let folder: string;
let layout: Layout;
let told: GatewayError[];

const at = (name: string) => join(layout.study(KEY), name);
const load = async () => {
  told = [];
  const study = await loadStudy(layout, KEY, (damage) => told.push(damage));
  return study === undefined ? undefined : [...study.instances.keys()].sort();
};

/** (0008,0060) CT, (0020,000D) the study, (0020,000E) 1.9. */
const instance = (sopInstanceUid: string) =>
  Buffer.concat([
    formatFileMeta({
      sopClassUid: parseUid('1.2.840.10008.5.1.4.1.1.2', 'SOPClassUID'),
      sopInstanceUid: parseUid(sopInstanceUid, 'SOPInstanceUID'),
      transferSyntaxUid: parseUid('1.2.840.10008.1.2', 'TransferSyntaxUID'),
    }),
    Buffer.from('0800600002000000', 'hex'),
    Buffer.from('CT'),
    Buffer.from('20000d0006000000', 'hex'),
    Buffer.from(STUDY),
    Buffer.from('20000e0004000000', 'hex'),
    Buffer.from('1.9\0'),
  ]);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-damaged-'));
  layout = createLayout(folder);
  await createSpool(layout);
  await mkdir(layout.study(KEY));
  await writeFile(at('study.json'), JSON.stringify({ studyInstanceUid: STUDY }));
  await writeFile(at('1.5.dcm'), instance('1.5'));
  await writeFile(at('1.6.dcm'), instance('1.6'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it.each([
  ['is empty', Buffer.alloc(0)],
  ['is all zeros', Buffer.alloc(400)],
  ['ends in its head', instance('1.6').subarray(0, 150)],
])('an instance whose file %s is put aside and told; the others are listed', async (_title, bytes) => {
  await writeFile(at('1.6.dcm'), bytes);
  expect(await load()).toEqual(['1.5']);
  expect(told).toMatchObject([{ code: 'SPOOL_CORRUPT' }]);
  expect(told[0]?.message).toContain('1.6.dcm.damaged');
  expect((await readFile(at('1.6.dcm.damaged'))).equals(bytes)).toBe(true);
  expect(await readdir(layout.study(KEY))).not.toContain('1.6.dcm');
});

it.each([
  ['is missing', undefined],
  ['is empty', ''],
  ['is torn', '{"studyInst'],
  ['is null', 'null'],
])('a study whose document %s is known by its instances, and has it again', async (_title, text) => {
  if (text === undefined) await rm(at('study.json'));
  else await writeFile(at('study.json'), text);
  expect(await load()).toEqual(['1.5', '1.6']);
  expect(told).toEqual([]);
  expect(JSON.parse(await readFile(at('study.json'), 'utf8'))).toEqual({ studyInstanceUid: STUDY });
});

it('a study of which neither document nor instances can be read is told, and passed over', async () => {
  await writeFile(at('study.json'), '');
  for (const name of ['1.5.dcm', '1.6.dcm']) await writeFile(at(name), '');
  expect(await load()).toBeUndefined();
  expect(told).toMatchObject([{ code: 'SPOOL_CORRUPT' }]);
});

it('a study whose freeze cannot be read is told, and passed over: what was sent of it is not known', async () => {
  await writeFile(at('freeze-0001.json'), '');
  expect(await load()).toBeUndefined();
  expect(told).toMatchObject([{ code: 'SPOOL_CORRUPT' }]);
});

it.each(['null\n', '7\n', '"text"\n', '\0\0\0\n', '{}\n'])(
  'a journal of %j is as good as none',
  async (line) => {
    await writeFile(at('journal.jsonl'), line);
    expect(await load()).toEqual(['1.5', '1.6']);
    expect(told).toEqual([]);
  },
);
