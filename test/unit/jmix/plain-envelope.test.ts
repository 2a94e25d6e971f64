/** Signed envelopes that are not sealed: what the archive holds, who takes it, and what it costs. */
import { createHash } from 'node:crypto';
import { Writable } from 'node:stream';
import { afterAll, describe, expect, it } from 'vitest';
import { openEnvelope } from '../../../src/jmix/open.js';
import { plainEnvelope } from '../../../src/jmix/plain-envelope.js';
import { plainOnDisk, plainRequest } from './support/plain.js';
import { codeOf, openRequest, payloadFile, STRANGER } from './support/sealing.js';
import { memoryStaging } from './support/staging.js';

const FILES = [
  payloadFile('dicom/1.2.3.dcm', Buffer.alloc(70_000, 1)),
  payloadFile('files/a/report.pdf', Buffer.from('a report')),
  payloadFile('preview/1.2.jpg', Buffer.alloc(0)),
];
const plain = await plainOnDisk({ files: FILES });
afterAll(() => plain.remove());

describe('a plain envelope is not written', () => {
  it.each([
    ['without a receiver', { receivers: [] }, 'MANIFEST_INVALID'],
    ['with a name that climbs', { files: [payloadFile('files/../x', Buffer.alloc(1))] }, 'ARCHIVE_UNSAFE'],
    [
      'with metadata that break the schema',
      { metadata: { patient: { id: 'T', dob: '1970' } } },
      'METADATA_INVALID',
    ],
    [
      'with a file that is shorter than announced',
      { files: [{ ...FILES[1], sizeBytes: 9 }] },
      'SPOOL_CORRUPT',
    ],
  ])('%s', async (_, overrides, code) => {
    const request = plainRequest(overrides as Parameters<typeof plainRequest>[0]);
    expect(await codeOf(plainEnvelope(request))).toBe(code);
    expect(request.archiveSink.destroyed).toBe(true);
  });

  it('after an abort, nor on a full disk', async () => {
    expect(await codeOf(plainEnvelope(plainRequest({ signal: AbortSignal.abort() })))).toBe('CANCELLED');
    const full = Object.assign(new Error('no space'), { code: 'ENOSPC' });
    const archiveSink = new Writable({ write: (_chunk, _encoding, done) => done(full) });
    expect(await codeOf(plainEnvelope(plainRequest({ archiveSink })))).toBe('SPOOL_WRITE_FAILED');
  });
});

describe('a plain envelope', () => {
  it('opens without a key, signed, with every file', async () => {
    const staging = memoryStaging();
    const opened = await openEnvelope(openRequest(plain.source, { recipientKeys: [], stage: staging.stage }));
    expect(opened).toMatchObject({
      dialect: 'canon',
      payloadCovered: true,
      manifestCovered: true,
      checks: {
        assertion: 'valid',
        jws: 'valid:exact-bytes',
        payloadHash: 'ok:tree-lines',
        filesJson: 'ok',
        schema: 'ok',
      },
    });
    for (const { file, sha256 } of plain.envelope.files) expect(staging.hashes()[file]).toBe(sha256);
    expect(staging.files.size).toBe(FILES.length + 2);
  });

  it('is SIGNER_NOT_PINNED when a stranger is pinned', async () => {
    const trust = { kind: 'pinned', keys: [STRANGER.publicKey] } as const;
    expect(await codeOf(openEnvelope(openRequest(plain.source, { trust })))).toBe('SIGNER_NOT_PINNED');
  });

  it('has the payload hash of the specification: a line for each file and folder, sorted', async () => {
    const staging = memoryStaging();
    await openEnvelope(openRequest(plain.source, { stage: staging.stage }));
    const folders = ['dicom', 'files', 'files/a', 'preview'].map((path) => [path, `dir:${path}\n`] as const);
    const files = [...staging.files].map(([path, bytes]) => {
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      return [path, `file:${path}:${bytes.length}:${sha256}\n`] as const;
    });
    const lines = [...folders, ...files].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, line]) => line);
    const digest = createHash('sha256').update(lines.join('')).digest('hex');
    expect(plain.envelope.payloadHash).toBe(`sha256:${digest}`);
  });

  it('says how long its archive is', () => {
    expect(plain.envelope.archiveSizeBytes).toBe(plain.archive.length);
    expect(plain.archive.length % 512).toBe(0);
  });

  it('takes its files one at a time, however many and large', async () => {
    let open = 0;
    let most = 0;
    const piece = Buffer.alloc(256 * 1024);
    const files = Array.from({ length: 40 }, (_, index) => ({
      name: `dicom/${index}.dcm`,
      sizeBytes: 8 * piece.length,
      open: async function* () {
        most = Math.max(most, ++open);
        for (let count = 0; count < 8; count += 1) yield piece;
        open -= 1;
      },
    }));
    let written = 0;
    const archiveSink = new Writable({
      write(chunk: Buffer, _encoding, done) {
        written += chunk.length;
        setImmediate(done);
      },
    });
    const { archiveSizeBytes } = await plainEnvelope(plainRequest({ files, archiveSink }));
    expect([most, open, written]).toEqual([1, 0, archiveSizeBytes]);
  });
});
