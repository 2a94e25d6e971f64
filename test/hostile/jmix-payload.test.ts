/** Payloads that lie, in envelopes whose seal and signatures are good: each is refused for what it is. */
import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { toGatewayError } from '../../src/errors/gateway-error.js';
import { openEnvelope } from '../../src/jmix/open.js';
import { type RawEntry, tarOf } from '../unit/jmix/support/archives.js';
import { codeOf, LIMITS, openRequest } from '../unit/jmix/support/sealing.js';
import { METADATA, sealEntries, sealTar, sha256 } from './support/hostile-envelopes.js';

const INSTANCE: RawEntry = { name: 'dicom/DOE^JANE.dcm', content: 'DOE^JANE 1970-01-01' };
const REPORT: RawEntry = { name: 'files/report.pdf', content: 'of DOE^JANE' };

const open = (entries: readonly RawEntry[]) => openEnvelope(openRequest(sealEntries(entries)));
const claimOf = ({ name, content = '' }: RawEntry) => ({
  file: name,
  hash: sha256(content),
  size_bytes: Buffer.byteLength(content),
});
const listOf = (claims: unknown): RawEntry => ({ name: 'files.json', content: JSON.stringify(claims) });

describe('files.json', () => {
  const truth = [METADATA, INSTANCE, REPORT].map(claimOf);
  const [ofMetadata, ofInstance, ofReport] = truth;

  it.each<[string, unknown]>([
    ['that names a file that is not there', [...truth, { ...ofInstance, file: 'dicom/other.dcm' }]],
    ['that leaves out what lies under files/', [ofMetadata, ofInstance]],
    ['with another size', [ofMetadata, { ...ofInstance, size_bytes: 7 }, ofReport]],
    ['with another hash', [ofMetadata, { ...ofInstance, hash: sha256('other') }, ofReport]],
    ['with another hash, prefixed', [ofMetadata, { ...ofInstance, hash: `sha256:${sha256('')}` }, ofReport]],
    ['that lists a file twice', [...truth, ofInstance]],
    ['that lists a file twice, once without a claim', [...truth, { file: INSTANCE.name }]],
    ['that lists itself', [...truth, { file: 'files.json' }]],
    [
      'that names a file by a way around',
      [ofMetadata, { ...ofInstance, file: `./${INSTANCE.name}` }, ofReport],
    ],
    [
      'that swaps two files',
      [ofMetadata, { ...ofInstance, file: REPORT.name }, { ...ofReport, file: INSTANCE.name }],
    ],
  ])('%s is PAYLOAD_INCONSISTENT', async (_, claims) => {
    expect(await codeOf(open([INSTANCE, REPORT, listOf(claims)]))).toBe('PAYLOAD_INCONSISTENT');
  });

  it.each<[string, unknown]>([
    ['that is no list', { file: 'dicom/1.dcm' }],
    ['with a size below zero', [{ ...ofInstance, size_bytes: -1 }]],
    ['with a size that is no integer', [{ ...ofInstance, size_bytes: 1.5 }]],
    ['with a hash that is none', [{ ...ofInstance, hash: 'd41d8cd98f00b204e9800998ecf8427e' }]],
  ])('%s is METADATA_INVALID', async (_, claims) => {
    expect(await codeOf(open([INSTANCE, listOf(claims)]))).toBe('METADATA_INVALID');
  });

  it('that is true opens', async () => {
    expect(await codeOf(open([INSTANCE, REPORT, listOf(truth)]))).toBeUndefined();
  });
});

describe('a payload', () => {
  it.each<[string, string, () => readonly RawEntry[]]>([
    ['with a manifest of its own', 'ARCHIVE_UNSAFE', () => [{ name: 'manifest.json', content: '{}' }]],
    ['with a second metadata.json in capitals', 'ARCHIVE_UNSAFE', () => [{ name: 'METADATA.JSON' }]],
    ['with a file outside its folders', 'ARCHIVE_UNSAFE', () => [{ name: '.bashrc' }]],
    ['with a file where its folder is', 'ARCHIVE_UNSAFE', () => [{ name: 'dicom' }]],
    ['with a name that climbs', 'ARCHIVE_UNSAFE', () => [{ name: 'dicom/../../evil' }]],
    ['with a link', 'ARCHIVE_UNSAFE', () => [{ name: 'dicom/1.dcm', type: '2' }]],
    ['with half of it under payload/', 'ARCHIVE_UNSAFE', () => [{ name: 'payload/dicom/1.dcm' }]],
    ['without metadata.json', 'METADATA_INVALID', () => []],
    [
      'with more files than the limit',
      'ENVELOPE_TOO_LARGE',
      () => Array.from({ length: LIMITS.maxEntries }, (_, index) => ({ name: `dicom/${index}` })),
    ],
  ])('%s is %s', async (_, code, entries) => {
    const source = code === 'METADATA_INVALID' ? sealTar(tarOf([INSTANCE])) : sealEntries(entries());
    expect(await codeOf(openEnvelope(openRequest(source)))).toBe(code);
  });

  it.each<[string, string, unknown]>([
    ['of another envelope', 'PAYLOAD_INCONSISTENT', { id: '11111111-2222-4333-8444-555555555555' }],
    ['without a patient', 'METADATA_INVALID', { patient: undefined }],
    ['whose patient is __proto__', 'METADATA_INVALID', '__proto__'],
  ])('with metadata.json %s is %s', async (_, code, change) => {
    const document = JSON.parse(String(METADATA.content));
    const text =
      change === '__proto__'
        ? JSON.stringify(document).replace('"patient"', '"__proto__"')
        : JSON.stringify({ ...document, ...(change as object) });
    const source = sealTar(tarOf([{ name: 'metadata.json', content: text }, INSTANCE]));
    expect(await codeOf(openEnvelope(openRequest(source)))).toBe(code);
  });

  it('whose metadata.json is two million objects is refused before they are made', async () => {
    const content = `[${'{},'.repeat(2_000_000)}{}]`;
    const source = sealTar(tarOf([{ name: 'metadata.json', content }]));
    expect(await codeOf(openEnvelope(openRequest(source)))).toBe('METADATA_INVALID');
  });

  it('of too many empty files is refused before one is made, and one of few has them all', async () => {
    const staged: string[] = [];
    const openEmpty = (count: number) => {
      const entries = Array.from({ length: count }, (_, index) => ({ name: `dicom/${index}` }));
      const stage = async (name: string) => {
        staged.push(name);
        return new Writable({ write: (_chunk, _encoding, done) => done() });
      };
      return openEnvelope({ ...openRequest(sealTar(tarOf([...entries, METADATA]))), stage });
    };
    expect(await codeOf(openEmpty(LIMITS.maxEntries + 1))).toBe('ENVELOPE_TOO_LARGE');
    expect(staged).toEqual([]);
    const opened = await openEmpty(3);
    expect(staged.sort()).toEqual(opened.files.map(({ file }) => file).sort());
  });

  it('whose metadata.json is larger than any study needs is refused before it is read', async () => {
    const content = `{"x":"${' '.repeat(8 * 1024 * 1024)}"}`;
    const source = sealTar(tarOf([{ name: 'metadata.json', content }]));
    expect(await codeOf(openEnvelope(openRequest(source)))).toBe('ENVELOPE_TOO_LARGE');
  });

  it('whose metadata.json has more values than any study is METADATA_INVALID', async () => {
    const content = `{"x":[${'0,'.repeat(200_000)}0]}`;
    const source = sealTar(tarOf([{ name: 'metadata.json', content }]));
    expect(await codeOf(openEnvelope(openRequest(source)))).toBe('METADATA_INVALID');
  });

  it('with files/ and no list of them opens as one that does not conform', async () => {
    expect((await open([INSTANCE, REPORT])).checks).toMatchObject({
      filesJson: 'absent',
      schema: 'nonconforming',
    });
    expect((await open([INSTANCE])).checks).toMatchObject({ filesJson: 'absent', schema: 'ok' });
  });

  it('whose metadata.json names a report that is not there opens as one that does not conform', async () => {
    const content = JSON.stringify({
      ...JSON.parse(String(METADATA.content)),
      report: { file: REPORT.name },
    });
    const openReport = async (entries: readonly RawEntry[]) => {
      const source = sealTar(tarOf([{ name: 'metadata.json', content }, ...entries]));
      return (await openEnvelope(openRequest(source))).checks.schema;
    };
    expect(await openReport([INSTANCE])).toBe('nonconforming');
    expect(await openReport([REPORT, listOf([claimOf(REPORT)])])).toBe('ok');
  });
});

describe('what a refusal says', () => {
  const lists = [
    listOf([{ file: 'dicom/DOE^JANE.dcm', hash: sha256('x') }]),
    listOf([{ file: 'DOE^JANE', hash: 'DOE^JANE' }]),
    listOf([{ 'DOE^JANE': 1 }]),
    { name: 'files.json', content: '{"DOE^JANE' },
    { name: 'files.json', content: '["DOE^JANE", "DOE^JANE", 1e999]' },
    { name: 'DOE^JANE' },
    { name: 'dicom/DOE^JANE.dcm/1' },
  ];

  it.each(lists.map((list) => [list.name, list] as const))('of %s names no patient', async (_, list) => {
    const error = await open([INSTANCE, list]).then(
      () => undefined,
      (raw: unknown) => toGatewayError(raw),
    );
    expect(error?.code).not.toBe('FAULT');
    const said = [error?.message, error?.advice, JSON.stringify(error?.facts), String(error?.cause)].join(
      ' ',
    );
    expect(said).not.toMatch(/DOE|JANE|1970/);
  });
});
