/**
 * Envelope folders that others can write to: what is no plain file, and what changes between the look and the reading.
 * And bits that flip in archives of an envelope, wherever they may be.
 */
import { execFileSync } from 'node:child_process';
import { appendFile, link, mkdir, mkdtemp, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ArchiveMediaType, unpackEnvelopeArchive } from '../../src/jmix/envelope-archive.js';
import { type EnvelopeSource, openEnvelopeFolder } from '../../src/jmix/envelope-folder.js';
import { openEnvelope } from '../../src/jmix/open.js';
import { tarOf, zipOf } from '../unit/jmix/support/archives.js';
import {
  codeOf,
  LIMITS,
  openRequest,
  payloadFile,
  sealInMemory,
  streamOf,
} from '../unit/jmix/support/sealing.js';
import { memoryStaging } from '../unit/jmix/support/staging.js';

const { sealed, payload } = await sealInMemory({
  files: [
    payloadFile('dicom/1.dcm', Buffer.alloc(700_000, 'one')),
    payloadFile('files/a.txt', Buffer.from('a')),
  ],
});
const FILES = [
  { name: 'manifest.json', content: sealed.manifest },
  { name: 'manifest.jws', content: sealed.jws },
  { name: 'audit.json', content: sealed.audit },
  { name: 'payload.encrypted', content: payload },
];

let root: string;
let folder: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'jmix-folder-'));
  folder = join(root, 'envelope');
  await mkdir(folder);
  for (const { name, content } of FILES) await writeFile(join(folder, name), content);
});
afterEach(() => rm(root, { recursive: true, force: true }));

const at = (name: string) => join(folder, name);
const open = (source: EnvelopeSource) => codeOf(openEnvelope(openRequest(source)));

describe.each(FILES.map(({ name }) => name))('%s that is', (name) => {
  it.each<[string, string, () => Promise<unknown> | unknown]>([
    ['a pipe', 'ARCHIVE_UNSAFE', () => execFileSync('mkfifo', [at(name)])],
    ['a link to a device', 'ARCHIVE_UNSAFE', () => symlink('/dev/zero', at(name))],
    ['a link to nothing', 'ARCHIVE_UNSAFE', () => symlink('/nowhere', at(name))],
    ['a folder', 'ARCHIVE_UNSAFE', () => mkdir(at(name))],
  ])('%s is %s, at once', async (_, code, put) => {
    await rm(at(name));
    await put();
    expect(await codeOf(openEnvelopeFolder(folder))).toBe(code);
  });

  it('a socket is ARCHIVE_UNSAFE', async () => {
    await rm(at(name));
    const server = createServer().listen(at(name));
    await new Promise((resolve) => server.once('listening', resolve));
    expect(await codeOf(openEnvelopeFolder(folder))).toBe('ARCHIVE_UNSAFE');
    await new Promise((resolve) => server.close(resolve));
  });

  it('a hard link is a file like others, as in every backup', async () => {
    await link(at(name), join(root, 'backup'));
    expect(await open(await openEnvelopeFolder(folder))).toBeUndefined();
  });

  it('cut off anywhere never opens', async () => {
    const size = FILES.find((file) => file.name === name)?.content.length ?? 0;
    for (const length of [0, 1, 511, 512, 513, size >> 1, size - 1].filter((each) => each < size)) {
      await truncate(at(name), length);
      const code = await codeOf(
        openEnvelopeFolder(folder).then((source) => openEnvelope(openRequest(source))),
      );
      // The trail is not what the signatures are over; it is verified by itself.
      if (name !== 'audit.json') expect(code, `at ${length}`).toMatch(/^[A-Z_]+$/);
      expect(code).not.toBe('FAULT');
      await writeFile(at(name), FILES.find((file) => file.name === name)?.content ?? '');
    }
  });
});

describe('a payload that changes after the folder was looked at', () => {
  it.each<[string, string, () => Promise<unknown> | unknown]>([
    ['to a link', 'ARCHIVE_UNSAFE', () => symlink('/etc/hostname', at('payload.encrypted'))],
    [
      'to a link to itself, elsewhere',
      'ARCHIVE_UNSAFE',
      () => symlink(join(root, 'moved'), at('payload.encrypted')),
    ],
    ['to a pipe', 'ENVELOPE_MALFORMED', () => execFileSync('mkfifo', [at('payload.encrypted')])],
    ['to a folder', 'ENVELOPE_MALFORMED', () => mkdir(at('payload.encrypted'))],
    [
      'to another file with the same bytes',
      'ENVELOPE_MALFORMED',
      () => writeFile(at('payload.encrypted'), payload),
    ],
  ])('%s is %s', async (_, code, put) => {
    const source = await openEnvelopeFolder(folder);
    await rename(at('payload.encrypted'), join(root, 'moved'));
    await put();
    expect(await open(source)).toBe(code);
  });

  it('by losing its end is ENVELOPE_MALFORMED', async () => {
    const source = await openEnvelopeFolder(folder);
    await truncate(at('payload.encrypted'), payload.length - 1);
    expect(await open(source)).toBe('ENVELOPE_MALFORMED');
  });

  it('by growing is read as far as it went, so that it need not end', async () => {
    const source = await openEnvelopeFolder(folder);
    await appendFile(at('payload.encrypted'), Buffer.alloc(1_000_000));
    expect(await open(source)).toBeUndefined();
  });
});

describe('a payload that is not sealed', () => {
  const look = async () => {
    await rm(at('payload.encrypted'));
    await mkdir(at('payload/dicom'), { recursive: true });
    await writeFile(at('payload/dicom/1.dcm'), 'one');
    const { payload: found } = await openEnvelopeFolder(folder);
    const [file] = found.kind === 'plain' ? found.files : [];
    return async () => {
      for await (const _ of file?.open() ?? []);
    };
  };

  it('whose folder becomes a link to another is refused', async () => {
    const read = await look();
    await mkdir(join(root, 'secrets'));
    await writeFile(join(root, 'secrets/1.dcm'), 'key');
    await rename(at('payload/dicom'), join(root, 'moved'));
    await symlink(join(root, 'secrets'), at('payload/dicom'));
    expect(await codeOf(read())).toBe('ENVELOPE_MALFORMED');
  });

  it('whose file becomes a pipe is refused, and not waited at', async () => {
    const read = await look();
    await rm(at('payload/dicom/1.dcm'));
    execFileSync('mkfifo', [at('payload/dicom/1.dcm')]);
    expect(await codeOf(read())).toBe('ENVELOPE_MALFORMED');
  });

  it.each([
    ['a pipe', () => execFileSync('mkfifo', [at('payload/dicom/2.dcm')])],
    ['a link to a folder', () => symlink('/etc', at('payload/dicom/2'))],
    ['a name with a line end', () => writeFile(at('payload/dicom/a\nb'), '')],
    ['a name with a backslash', () => writeFile(at('payload/dicom/a\\b'), '')],
  ])('that holds %s is ARCHIVE_UNSAFE', async (_, put) => {
    await look();
    await put();
    expect(await codeOf(openEnvelopeFolder(folder))).toBe('ARCHIVE_UNSAFE');
  });
});

describe.each<[ArchiveMediaType, () => Buffer]>([
  ['application/x-tar', () => tarOf(FILES)],
  ['application/gzip', () => gzipSync(tarOf(FILES))],
  ['application/zip', () => zipOf(FILES)],
])('a flipped bit in %s', (mediaType, make) => {
  it('is refused, or was in what nobody reads: what opens is what was sealed', async () => {
    const archive = make();
    // The payload, most of the bytes, is another test's; here it is the packaging around it.
    const payloadAt = mediaType === 'application/gzip' ? -1 : archive.indexOf(payload.subarray(0, 64));
    const isPackaging = (byte: number) =>
      payloadAt < 0 || byte < payloadAt || byte >= payloadAt + payload.length;
    const anywhere = fc.nat({ max: archive.length - 1 }).filter(isPackaging);
    const head = fc.nat({ max: Math.min(archive.length, 3000) - 1 }).filter(isPackaging);
    const tail = fc
      .nat({ max: 1500 })
      .map((from) => archive.length - 1 - from)
      .filter(isPackaging);
    await fc.assert(
      fc.asyncProperty(fc.oneof(anywhere, head, tail), fc.nat({ max: 7 }), async (byte, bit) => {
        const flipped = Buffer.from(archive);
        flipped[byte] = (flipped[byte] ?? 0) ^ (1 << bit);
        const into = await mkdtemp(join(root, 'into-'));
        const staging = memoryStaging();
        const code = await codeOf(
          unpackEnvelopeArchive(streamOf(flipped), mediaType, into, LIMITS, { scratchFile: `${into}.zip` })
            .then(() => openEnvelopeFolder(into))
            .then((source) => openEnvelope(openRequest(source, { stage: staging.stage }))),
        );
        await rm(into, { recursive: true });
        expect(code).not.toBe('FAULT');
        if (code === undefined)
          expect(staging.files.get('dicom/1.dcm')?.equals(Buffer.alloc(700_000, 'one'))).toBe(true);
      }),
      { numRuns: 120 },
    );
  });
});
