/** `drawbridge seal`: several receivers, files that go along, what the manifest says; and what is refused before a byte. */
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import { TAGS } from '../../src/dicom/tags.js';
import { readInstanceFile } from '../../src/spool/instance-file.js';
import { drawbridge, drawbridgeJson } from '../support/cli.js';

let root: string;
let out: string;
let series: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'drawbridge-cli-seal-'));
  for (const name of ['a', 'b', 'c']) await drawbridge('keygen', '--out', join(root, name));
  const [first] = await makeStudy({ kind: 'ct', out: join(root, 'study'), slices: 2, rows: 16 });
  const { header } = await readInstanceFile(first?.path ?? '', [TAGS.SeriesInstanceUID]);
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

it('consent may be said in the words of the JMIX schema', async () => {
  const consent = '{"status": "granted", "signed_on": "2026-01-01"}';
  const sealed = await seal(...toB(), '--consent', consent);
  expect((await manifestOf(sealed['path'])).extensions.consent).toEqual({
    status: 'granted',
    signed_on: '2026-01-01',
  });
});

it('links in a folder are followed, and what file managers leave about stays at home', async () => {
  const folder = join(root, 'linked');
  await mkdir(folder);
  for (const name of await readdir(join(root, 'study')))
    await symlink(join(root, 'study', name), join(folder, name));
  for (const name of ['.DS_Store', 'Thumbs.db']) await writeFile(join(folder, name), 'litter');
  const sealed = await drawbridgeJson(
    ...['seal', folder, '--sender-id', 'site-a', '--out', out, ...toB()],
    ...['--sign-with', join(root, 'a', 'signing.key')],
  );
  expect(sealed).toMatchObject({ ok: true, instances: 2 });
  const { opened } = await openAs('b', sealed['path']);
  expect(
    (opened['files'] as { file: string }[]).filter(({ file: name }) => name.startsWith('files/')),
  ).toEqual([]);
});

it.each([
  ['a receiver without a key', () => [...toB(), '--receiver-id', 'site-c'], 'REQUEST_INVALID'],
  ['names for some of the receivers', () => [...toB(), ...toC(), '--receiver-name', 'B'], 'REQUEST_INVALID'],
  ['a receiver twice', () => [...toB(), ...toB()], 'REQUEST_INVALID'],
  ['consent that nobody knows', () => [...toB(), '--consent', '{"status": "perhaps"}'], 'REQUEST_INVALID'],
  ['consent that is no JSON', () => [...toB(), '--consent', '{status'], 'REQUEST_INVALID'],
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
