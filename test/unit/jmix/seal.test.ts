import { createHash } from 'node:crypto';
import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { formatPayloadHash } from '../../../src/jmix/digest.js';
import { openEnvelope } from '../../../src/jmix/open.js';
import { checkSchema } from '../../../src/jmix/published-schemas.js';
import { sealEnvelope } from '../../../src/jmix/seal.js';
import {
  CREATED_AT_MS,
  codeOf,
  ENVELOPE_ID,
  openRequest,
  payloadFile,
  sealInMemory,
  sealRequest,
} from './support/sealing.js';
import { memoryStaging } from './support/staging.js';

const BOUNDARY_SIZES = [0, 1, 511, 512, 513, 65535, 65536, 65537];

describe('sealEnvelope refuses', () => {
  it.each([
    ['a name outside the payload folders', '1.2.3.dcm'],
    ['a generated name', 'metadata.json'],
    ['a name that climbs', 'dicom/../../evil'],
    ['an absolute name', '/dicom/1.dcm'],
    ['a backslash', 'dicom\\1.dcm'],
  ])('%s', async (_, name) => {
    const files = [payloadFile(name, Buffer.from('x'))];
    expect(await codeOf(sealEnvelope(sealRequest({ files })))).toBe('ARCHIVE_UNSAFE');
  });

  it('two files of one name', async () => {
    const files = [
      payloadFile('dicom/1.dcm', Buffer.from('x')),
      payloadFile('dicom/1.dcm', Buffer.from('y')),
    ];
    expect(await codeOf(sealEnvelope(sealRequest({ files })))).toBe('ARCHIVE_UNSAFE');
  });

  it.each([
    ['shorter', 5],
    ['longer', 3],
  ])('a file that is %s than announced', async (_, sizeBytes) => {
    const files = [
      { ...payloadFile('dicom/1.dcm', Buffer.from('four')), sizeBytes: sizeBytes === 5 ? 5 : 3 },
    ];
    expect(await codeOf(sealEnvelope(sealRequest({ files })))).toBe('SPOOL_CORRUPT');
  });

  it('more than AES-GCM may seal under one key, before a byte is read', async () => {
    const file = { name: 'dicom/1.dcm', sizeBytes: 8 ** 11 - 1, open: () => expect.unreachable() };
    const files = Array.from({ length: 9 }, (_, index) => ({ ...file, name: `dicom/${index}.dcm` }));
    expect(await codeOf(sealEnvelope(sealRequest({ files })))).toBe('ENVELOPE_TOO_LARGE');
  });

  it('metadata that the published schema does not allow', async () => {
    const metadata = { patient: { id: 'TEST-1', dob: '19700101' } };
    expect(await codeOf(sealEnvelope(sealRequest({ metadata })))).toBe('METADATA_INVALID');
  });

  it('a report that is not among the files', async () => {
    const metadata = { patient: { id: 'TEST-1' }, report: { file: 'files/report.pdf' } };
    expect(await codeOf(sealEnvelope(sealRequest({ metadata })))).toBe('METADATA_INVALID');
  });

  it('a full disk with SPOOL_WRITE_FAILED', async () => {
    const full = Object.assign(new Error('no space'), { code: 'ENOSPC' });
    const payloadSink = new Writable({ write: (_chunk, _encoding, done) => done(full) });
    expect(await codeOf(sealEnvelope(sealRequest({ payloadSink })))).toBe('SPOOL_WRITE_FAILED');
    expect(payloadSink.destroyed).toBe(true);
  });

  it('to go on after an abort', async () => {
    const abort = new AbortController();
    const endless = async function* (): AsyncGenerator<Buffer> {
      for (;;) {
        yield Buffer.alloc(65536);
        abort.abort();
      }
    };
    const files = [{ name: 'dicom/1.dcm', sizeBytes: 2 ** 30, open: endless }];
    expect(await codeOf(sealEnvelope(sealRequest({ files, signal: abort.signal })))).toBe('CANCELLED');
  });
});

describe('sealEnvelope writes', () => {
  it('documents that conform to the published schemas', async () => {
    const { sealed, source } = await sealInMemory({
      extensions: { drawbridge: { addendum_to: ENVELOPE_ID } },
    });
    const staging = memoryStaging();
    await openEnvelope(openRequest(source, { stage: staging.stage }));
    const document = (bytes: Buffer | undefined): unknown => JSON.parse(String(bytes));
    expect(checkSchema('manifest', document(sealed.manifest))).toBeUndefined();
    expect(checkSchema('audit', document(sealed.audit))).toBeUndefined();
    expect(checkSchema('metadata', document(staging.files.get('metadata.json')))).toBeUndefined();
    expect(checkSchema('files', document(staging.files.get('files.json')))).toBeUndefined();
  });

  it('a manifest in the canonical profile, without anything of the patient', async () => {
    const metadata = { patient: { id: 'TEST-1', name: { family: 'Nobody' } } };
    const { sealed, payload } = await sealInMemory({ metadata, assertionExpiresAtMs: CREATED_AT_MS + 1000 });
    const text = sealed.manifest.toString();
    expect(text).not.toMatch(/TEST-1|Nobody/);
    expect(JSON.parse(text)).toMatchObject({
      version: '1.0',
      id: ENVELOPE_ID,
      timestamp: '2026-11-21T08:15:30Z',
      sender: { id: 'org:a', assertion: { expires_at: '2026-11-21T08:15:31Z' } },
      receiver: [{ id: 'org:b' }],
      security: {
        classification: 'confidential',
        payload_hash: formatPayloadHash(createHash('sha256').update(payload).digest('hex')),
        jws: { jws_file: 'manifest.jws' },
      },
    });
    expect(sealed.payloadSizeBytes).toBe(payload.length);
  });

  it('another key, IV and ciphertext each time', async () => {
    const [first, second] = [await sealInMemory(), await sealInMemory()];
    expect(first.payload.equals(second.payload)).toBe(false);
  });

  it.each([
    [
      ['dicom/9.dcm', 'dicom/10.dcm'],
      ['dicom/10.dcm', 'dicom/9.dcm', 'files.json', 'metadata.json'],
    ],
    [
      ['files/z', 'dicom/1', 'files/ÿ'],
      ['dicom/1', 'files/z', 'files/ÿ', 'files.json', 'metadata.json'],
    ],
    [
      ['preview/1', 'dicom/1'],
      ['dicom/1', 'metadata.json', 'preview/1', 'files.json'],
    ],
    [[], ['files.json', 'metadata.json']],
  ])('%j in byte order, with files.json behind what it lists', async (names, order) => {
    const { source } = await sealInMemory({
      files: names.map((name) => payloadFile(name, Buffer.from(name))),
    });
    const opened = await openEnvelope(openRequest(source));
    expect(opened.files.map(({ file }) => file)).toEqual(order);
  });
});

describe('open(seal(x)) = x', () => {
  it.each(BOUNDARY_SIZES)('for a file of %i bytes', async (sizeBytes) => {
    const content = Buffer.alloc(sizeBytes, 7);
    const { source, sealed } = await sealInMemory({ files: [payloadFile('dicom/1.dcm', content)] });
    const staging = memoryStaging();
    const opened = await openEnvelope(openRequest(source, { stage: staging.stage }));
    expect(staging.files.get('dicom/1.dcm')?.equals(content)).toBe(true);
    expect(opened).toMatchObject({
      id: ENVELOPE_ID,
      dialect: 'canon',
      payloadCovered: true,
      manifestCovered: true,
      checks: {
        assertion: 'valid',
        jws: 'valid:exact-bytes',
        payloadHash: 'ok:sha256-ciphertext',
        filesJson: 'ok',
        schema: 'ok',
      },
    });
    expect(sealed.payloadSizeBytes % 512).toBe(0);
  });
});
