/** `drawbridge seal`: several receivers, files that go along, what the manifest says; and what is refused before a byte. */
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import { TAGS } from '../../src/dicom/tags.js';
import { readInstanceFile } from '../../src/spool/instance-file.js';
import { drawbridge, drawbridgeJson } from '../support/cli.js';

let root: string;
let out: string;
let series: string;
let slices: readonly string[];

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'drawbridge-cli-seal-'));
  for (const name of ['a', 'b', 'c']) await drawbridge('keygen', '--out', join(root, name));
  const study = await makeStudy({ kind: 'ct', out: join(root, 'study'), slices: 2, rows: 16 });
  slices = study.map(({ path }) => path);
  const { header } = await readInstanceFile(slices[0] ?? '', [TAGS.SeriesInstanceUID]);
  series = header.string(TAGS.SeriesInstanceUID) ?? '';
});
afterAll(() => rm(root, { recursive: true, force: true }));
beforeEach(async () => {
  out = await mkdtemp(join(root, 'out-'));
});

const file = async (name: string, text = 'some bytes') => {
  const path = join(root, 'files', name);
  await mkdir(join(root, 'files'), { recursive: true });
  await writeFile(path, text);
  return path;
};
const toB = () => ['--to', join(root, 'b', 'encryption.pub'), '--receiver-id', 'site-b'];
const toC = () => ['--to', join(root, 'c', 'encryption.pub'), '--receiver-id', 'site-c'];
const seal = (...more: readonly string[]) =>
  drawbridgeJson(
    ...['seal', join(root, 'study'), '--sender-id', 'site-a', '--out', out],
    ...['--sign-with', join(root, 'a', 'signing.key'), ...more],
  );
const openAs = async (name: string, path: unknown) => {
  const folder = await mkdtemp(join(root, 'opened-'));
  const opened = await drawbridgeJson(
    ...['open', String(path), '--out', folder, '--key', join(root, name, 'encryption.key')],
    ...['--signer', join(root, 'a', 'signing.pub')],
  );
  return { opened, folder };
};
const manifestOf = async (path: unknown) =>
  JSON.parse(await readFile(join(String(path), 'manifest.json'), 'utf8'));
const filesIn = async (folder: string) =>
  (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map(({ name }) => name);

it('one envelope for two receivers is opened by each of them, and by nobody else', async () => {
  const sealed = await seal(
    ...toB(),
    '--receiver-name',
    'Hospital B',
    ...toC(),
    '--receiver-name',
    'Hospital C',
  );
  expect(sealed).toMatchObject({ exit: 0, instances: 2 });
  const { receiver } = await manifestOf(sealed['path']);
  expect(receiver.map(({ id, name }: { id: string; name: string }) => [id, name])).toEqual([
    ['site-b', 'Hospital B'],
    ['site-c', 'Hospital C'],
  ]);
  for (const name of ['b', 'c'])
    expect((await openAs(name, sealed['path'])).opened).toMatchObject({ exit: 0 });
  expect((await openAs('a', sealed['path'])).opened).toMatchObject({ exit: 1 });
});

it('report, previews and other files lie where they belong, and metadata.json names the report', async () => {
  const sealed = await seal(
    await file('notes.txt', 'notes'),
    ...toB(),
    ...['--report', await file('report.pdf', 'findings'), '--preview', await file(`${series}.jpg`, 'small')],
  );
  expect(sealed).toMatchObject({ exit: 0 });
  const { folder } = await openAs('b', sealed['path']);
  const names = await filesIn(folder);
  expect(names).toEqual(expect.arrayContaining(['report.pdf', 'notes.txt', `${series}.jpg`]));
  const [metadata] = (await readdir(folder, { recursive: true })).filter((name) =>
    name.endsWith('metadata.json'),
  );
  expect(JSON.parse(await readFile(join(folder, metadata ?? ''), 'utf8'))).toMatchObject({
    report: { file: 'files/report.pdf' },
  });
});

it('the manifest says what it is told to say', async () => {
  const consent = await file('consent.json', '{"status": "granted", "scope": ["treatment"]}');
  const sealed = await seal(
    ...toB(),
    ...['--consent', consent, '--tag', 'x', '--tag', 'y', '--deid', 'PatientName', 'PatientID'],
    ...['--classification', 'de-identified', '--expires-days', '2'],
  );
  const manifest = await manifestOf(sealed['path']);
  expect(manifest.extensions).toMatchObject({
    consent: { status: 'granted', scope: ['treatment'] },
    custom_tags: ['x', 'y'],
    deid: { keys: ['PatientName', 'PatientID'] },
  });
  expect(manifest.security.classification).toBe('de-identified');
  const left = Date.parse(manifest.sender.assertion.expires_at) - Date.parse(manifest.timestamp);
  expect(left).toBe(2 * 86_400_000);
});

it.each([
  ['a receiver without a key', () => [...toB(), '--receiver-id', 'site-c'], 'REQUEST_INVALID'],
  ['names for some of the receivers', () => [...toB(), ...toC(), '--receiver-name', 'B'], 'REQUEST_INVALID'],
  ['a receiver twice', () => [...toB(), ...toB()], 'REQUEST_INVALID'],
  ['consent that nobody knows', () => [...toB(), '--consent', '{"status": "perhaps"}'], 'REQUEST_INVALID'],
  ['consent that is no JSON', () => [...toB(), '--consent', '{status'], 'REQUEST_INVALID'],
  [
    'consent signed on two days',
    () => [
      ...toB(),
      '--consent',
      '{"status": "granted", "signed_on": "2026-01-01", "signedOn": "2026-01-02"}',
    ],
    'REQUEST_INVALID',
  ],
  ['consent from nowhere', () => [...toB(), '--consent', join(root, 'missing.json')], 'REQUEST_INVALID'],
  ['a report that is not there', () => [...toB(), '--report', join(root, 'missing.pdf')], 'REQUEST_INVALID'],
  [
    'an expiry nobody could read',
    () => [...toB(), '--dialect', 'js', '--expires-days', '2'],
    'REQUEST_INVALID',
  ],
  ['two receivers in a dialect for one', () => [...toB(), ...toC(), '--dialect', 'php'], 'MANIFEST_INVALID'],
])('%s is refused, and nothing is left', async (_what, options, code) => {
  expect(await seal(...options())).toMatchObject({ exit: 1, ok: false, code });
  expect(await readdir(out)).toEqual([]);
});

it('names that no payload holds, and previews of no series, are refused before anything is written', async () => {
  const long = await file(`${'x'.repeat(101)}.pdf`);
  expect(await seal(...toB(), long)).toMatchObject({ exit: 1, code: 'ARCHIVE_UNSAFE' });
  expect(await seal(...toB(), '--report', long)).toMatchObject({ exit: 1, code: 'ARCHIVE_UNSAFE' });
  const foreign = await file('1.2.3.jpg');
  expect(await seal(...toB(), '--preview', foreign)).toMatchObject({ exit: 1, code: 'REQUEST_INVALID' });
  expect(await readdir(out)).toEqual([]);
});

it.each(['signed_on', 'signedOn'])(
  'consent is taken with %s, and written as the specification has it',
  async (name) => {
    const sealed = await seal(
      ...toB(),
      '--consent',
      JSON.stringify({ status: 'granted', [name]: '2026-01-01' }),
    );
    expect((await manifestOf(sealed['path'])).extensions.consent).toEqual({
      status: 'granted',
      signed_on: '2026-01-01',
    });
  },
);

/** A folder that holds the study's first image, and nothing else yet. */
const folderOfOne = async () => {
  const folder = await mkdtemp(join(root, 'folder-'));
  await copyFile(slices[0] ?? '', join(folder, 'first.dcm'));
  return folder;
};
const sealFolder = (folder: string, ...more: readonly string[]) =>
  drawbridgeJson(
    ...['seal', folder, '--sender-id', 'site-a', '--out', out],
    ...['--sign-with', join(root, 'a', 'signing.key'), ...toB(), ...more],
  );
const namesIn = ({ files }: Record<string, unknown>) =>
  (files as readonly { file: string }[])
    .map(({ file: name }) => name)
    .filter((name) => name.startsWith('files/'));

it('links to files and folders count as what they lead to; a folder that holds itself is searched once', async () => {
  const [folder, beside] = [await folderOfOne(), await mkdtemp(join(root, 'beside-'))];
  await writeFile(join(beside, 'notes.txt'), 'notes');
  await symlink(slices[1] ?? '', join(folder, 'second.dcm'));
  await symlink(beside, join(folder, 'beside'));
  await symlink(folder, join(folder, 'loop'));
  const sealed = await sealFolder(folder);
  expect(sealed).toMatchObject({ exit: 0, instances: 2, skipped: 0 });
  expect(namesIn(sealed)).toEqual(['files/notes.txt']);
});

it('a link that leads nowhere is refused, and not named', async () => {
  const folder = await folderOfOne();
  await symlink(join(root, 'missing'), join(folder, 'DOE^JANE.dcm'));
  const refused = await sealFolder(folder);
  expect(refused).toMatchObject({ exit: 1, code: 'REQUEST_INVALID' });
  expect(JSON.stringify(refused)).not.toContain('DOE');
});

it('what file managers leave in folders, and what is hidden, does not travel, and is counted', async () => {
  const folder = await folderOfOne();
  for (const name of ['.DS_Store', '._first.dcm', 'Thumbs.db', 'desktop.ini', 'DICOMDIR', 'notes.txt'])
    await writeFile(join(folder, name), 'bytes');
  await mkdir(join(folder, '.hidden'));
  await writeFile(join(folder, '.hidden', 'secret.txt'), 'bytes');
  // A folder of that name is no media directory.
  await mkdir(join(folder, 'sub', 'DICOMDIR'), { recursive: true });
  await copyFile(slices[1] ?? '', join(folder, 'sub', 'DICOMDIR', 'second.dcm'));
  const sealed = await sealFolder(folder);
  expect(sealed).toMatchObject({ exit: 0, instances: 2, skipped: 6 });
  expect(namesIn(sealed)).toEqual(['files/notes.txt']);
});

it('seal lists the files that it has sealed as open lists them, but for the list itself', async () => {
  const sealed = await seal(...toB(), await file('notes.txt', 'notes'));
  const { opened } = await openAs('b', sealed['path']);
  const all = opened['files'] as readonly { file: string }[];
  expect(sealed['files']).toEqual(all.filter(({ file: name }) => name !== 'files.json'));
});

it('two attachments with one name are refused by that name', async () => {
  const folder = await folderOfOne();
  await writeFile(join(folder, 'Letter.pdf'), 'one');
  const refused = await sealFolder(folder, '--report', await file('letter.pdf', 'two'));
  expect(refused).toMatchObject({ exit: 1, code: 'REQUEST_INVALID' });
  expect(refused['message']).toContain('letter.pdf');
  expect(await readdir(out)).toEqual([]);
});

it('a report that lies in the folder of the study travels once, as the report', async () => {
  const folder = await folderOfOne();
  await writeFile(join(folder, 'report.pdf'), 'findings');
  const sealed = await sealFolder(folder, '--report', join(folder, 'report.pdf'));
  expect(sealed).toMatchObject({ exit: 0 });
  expect(namesIn(sealed)).toEqual(['files/report.pdf']);
});

it('an open that fails removes the folders that it made, and no other', async () => {
  const sealed = await seal(...toB());
  const made = join(out, 'a', 'b', 'c');
  await mkdir(join(out, 'a'));
  const refused = await drawbridgeJson(
    ...['open', String(sealed['path']), '--out', made, '--key', join(root, 'c', 'encryption.key')],
    ...['--signer', join(root, 'a', 'signing.pub')],
  );
  expect(refused).toMatchObject({ exit: 1, ok: false });
  expect((await readdir(out)).sort()).toEqual([basename(String(sealed['path'])), 'a'].sort());
  expect(await readdir(join(out, 'a'))).toEqual([]);
});
