/** Archives from outside that must never be unpacked, as tar, tar.gz and zip: nothing of them may land outside. */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { deflateRawSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ArchiveMediaType, unpackEnvelopeArchive } from '../../src/jmix/envelope-archive.js';
import { type RawEntry, tarOf, zipOf } from '../unit/jmix/support/archives.js';
import { codeOf, streamOf } from '../unit/jmix/support/sealing.js';

const LIMITS = { maxBytes: 100_000, maxEntries: 20 };
const MANIFEST: RawEntry = { name: 'manifest.json', content: '{}' };
const MAKERS: readonly (readonly [ArchiveMediaType, (entries: readonly RawEntry[]) => Buffer])[] = [
  ['application/x-tar', tarOf],
  ['application/gzip', (entries) => gzipSync(tarOf(entries))],
  ['application/zip', zipOf],
];

let root: string;
let into: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'jmix-archive-'));
  into = join(root, 'a/b/c/envelope');
  await mkdir(into, { recursive: true });
});
afterEach(() => rm(root, { recursive: true, force: true }));

const unpack = (bytes: Buffer, mediaType: ArchiveMediaType, limits = LIMITS) => {
  return unpackEnvelopeArchive(streamOf(bytes), mediaType, into, limits, {
    scratchFile: join(root, 'scratch'),
  });
};

/** What lies under the root, but for the folders that were made beforehand. */
async function strays(): Promise<string[]> {
  const names = await readdir(root, { recursive: true });
  return names.filter((name) => !'a/b/c/envelope'.startsWith(name) && !name.startsWith('a/b/c/envelope/'));
}

describe.each(MAKERS)('%s with', (mediaType, make) => {
  it.each([
    ['a name that climbs', [MANIFEST, { name: '../../evil', content: 'x' }]],
    ['a payload name that climbs', [MANIFEST, { name: 'payload/../../evil', content: 'x' }]],
    ['an absolute name', [MANIFEST, { name: '/tmp/evil', content: 'x' }]],
    ['a backslash', [MANIFEST, { name: 'payload\\evil', content: 'x' }]],
    ['manifest.json twice', [MANIFEST, { ...MANIFEST, content: '{"other":1}' }]],
    [
      'manifest.json twice, once in capitals',
      [MANIFEST, { ...MANIFEST, name: 'payload/x' }, { name: 'PAYLOAD/x' }],
    ],
    ['a second envelope in a folder', [MANIFEST, { name: 'other/manifest.json', content: '{}' }]],
    ['a document beside the one top folder', [{ name: 'id.JMIX/manifest.json' }, { name: 'audit.json' }]],
    ['an envelope two folders deep', [{ name: 'a/b/manifest.json' }]],
    ['a second manifest deep in an unknown folder', [MANIFEST, { name: 'a/b/c/Manifest.JSON' }]],
    ['a second manifest among what macOS adds', [MANIFEST, { name: '__MACOSX/manifest.json' }]],
    ['a manifest in capitals', [MANIFEST, { name: 'id.JMIX/MANIFEST.json' }]],
    ['a payload in capitals', [MANIFEST, { name: 'Payload.encrypted' }]],
    ['a message that is a payload in the spool', [MANIFEST, { name: 'message.gpg' }]],
    ['an unknown name that climbs', [MANIFEST, { name: 'notes/../../evil' }]],
    ['an unknown name twice', [MANIFEST, { name: 'notes.txt' }, { name: 'Notes.txt' }]],
    ['a file where the payload folder should be', [MANIFEST, { name: 'payload', content: 'x' }]],
    ['a file below manifest.json', [MANIFEST, { name: 'manifest.json/evil', content: 'x' }]],
  ] as const)('%s is ARCHIVE_UNSAFE', async (_, entries) => {
    expect(await codeOf(unpack(make(entries), mediaType))).toBe('ARCHIVE_UNSAFE');
    expect(await strays()).toEqual([]);
  });

  it('no manifest is ENVELOPE_MALFORMED', async () => {
    expect(await codeOf(unpack(make([{ name: 'audit.json' }]), mediaType))).toBe('ENVELOPE_MALFORMED');
  });

  it('more entries than the limit is ENVELOPE_TOO_LARGE', async () => {
    const many = Array.from({ length: 30 }, (_, index) => ({ name: `payload/dicom/${index}` }));
    expect(await codeOf(unpack(make([MANIFEST, ...many]), mediaType))).toBe('ENVELOPE_TOO_LARGE');
  });

  it('more bytes than the limit is ENVELOPE_TOO_LARGE', async () => {
    const big = { name: 'payload.encrypted', content: Buffer.alloc(100_001) };
    expect(await codeOf(unpack(make([MANIFEST, big]), mediaType))).toBe('ENVELOPE_TOO_LARGE');
    expect(await strays()).toEqual([]);
  });

  it('its end missing is ENVELOPE_MALFORMED', async () => {
    const whole = make([MANIFEST, { name: 'payload.encrypted', content: Buffer.alloc(3000, 1) }]);
    expect(await codeOf(unpack(whole.subarray(0, whole.length >> 1), mediaType))).toBe('ENVELOPE_MALFORMED');
    expect(await strays()).toEqual([]);
  });

  it('noise instead is ENVELOPE_MALFORMED', async () => {
    expect(await codeOf(unpack(Buffer.alloc(5000, 0x5a), mediaType))).toBe('ENVELOPE_MALFORMED');
    expect(await codeOf(unpack(Buffer.alloc(0), mediaType))).toBe('ENVELOPE_MALFORMED');
  });

  it('an abort in between is CANCELLED', async () => {
    const source = new PassThrough();
    const abort = new AbortController();
    const options = { signal: abort.signal, scratchFile: join(root, 'scratch') };
    const unpacking = codeOf(unpackEnvelopeArchive(source, mediaType, into, LIMITS, options));
    source.write(make([MANIFEST]).subarray(0, 20));
    abort.abort();
    expect(await unpacking).toBe('CANCELLED');
  });

  it.each([
    ['at top level', ''],
    ['under a folder', 'id.JMIX/'],
  ])('unknown names %s are passed over, and never written', async (_, top) => {
    const archive = make([
      { name: 'notes.txt', content: 'x' },
      { name: `${top}README.md` },
      { name: `${top}.bashrc` },
      { ...MANIFEST, name: `${top}manifest.json` },
      { name: `${top}notes/deep/note.txt` },
      { name: `__MACOSX/${top}._manifest.json` },
      { name: `__MACOSX/${top}payload/._dicom` },
    ]);
    expect(await unpack(archive, mediaType)).toEqual([join(into, 'manifest.json')]);
    expect(await readdir(into)).toEqual(['manifest.json']);
    expect(await strays()).toEqual([]);
  });

  it('more unknown names than the limit is ENVELOPE_TOO_LARGE', async () => {
    const many = Array.from({ length: 30 }, (_, index) => ({ name: `notes/${index}` }));
    expect(await codeOf(unpack(make([MANIFEST, ...many]), mediaType))).toBe('ENVELOPE_TOO_LARGE');
  });

  it('a known README is taken, and left out', async () => {
    const written = await unpack(make([{ name: 'README.md', content: 'x' }, MANIFEST]), mediaType);
    expect(written).toEqual([join(into, 'manifest.json')]);
    expect(await readdir(into)).toEqual(['manifest.json']);
  });
});

describe('a link', () => {
  it.each(['1', '2', '3', '4', '6'])('of tar type %s is ARCHIVE_UNSAFE', async (type) => {
    const tar = tarOf([MANIFEST, { name: 'payload/link', type }]);
    expect(await codeOf(unpack(tar, 'application/x-tar'))).toBe('ARCHIVE_UNSAFE');
  });

  it.each([0o120777, 0o020644, 0o010644])('of zip mode %o is ARCHIVE_UNSAFE', async (mode) => {
    const zip = zipOf([MANIFEST, { name: 'payload/link', content: '/etc/passwd', mode }]);
    expect(await codeOf(unpack(zip, 'application/zip'))).toBe('ARCHIVE_UNSAFE');
  });
});

describe('a bomb', () => {
  const zeros = Buffer.alloc(20_000_000);

  it('of gzip stops at the limit', async () => {
    const tar = tarOf([MANIFEST, { name: 'payload.encrypted', content: zeros }]);
    expect(await codeOf(unpack(gzipSync(tar), 'application/gzip'))).toBe('ENVELOPE_TOO_LARGE');
  });

  it('of gzip behind the end of the tar stops at the limit', async () => {
    const bomb = gzipSync(Buffer.concat([tarOf([MANIFEST]), zeros]));
    expect(await codeOf(unpack(bomb, 'application/gzip'))).toBe('ENVELOPE_TOO_LARGE');
  });

  it('of zip that says its size stops before it is inflated', async () => {
    const deflated = deflateRawSync(zeros);
    const zip = zipOf([MANIFEST, { name: 'payload.encrypted', content: zeros, deflated }]);
    expect(await codeOf(unpack(zip, 'application/zip'))).toBe('ENVELOPE_TOO_LARGE');
  });

  it('of zip that lies about its size stops at what it said', async () => {
    const deflated = deflateRawSync(zeros);
    const zip = zipOf([MANIFEST, { name: 'payload.encrypted', content: zeros, deflated, claimedSize: 10 }]);
    expect(await codeOf(unpack(zip, 'application/zip'))).toBe('ENVELOPE_MALFORMED');
  });
});

describe('a zip', () => {
  it('with a wrong CRC-32 is ENVELOPE_MALFORMED', async () => {
    const zip = zipOf([MANIFEST, { name: 'payload.encrypted', content: 'sealed' }]);
    zip.write('S', zip.indexOf('sealed'));
    expect(await codeOf(unpack(zip, 'application/zip'))).toBe('ENVELOPE_MALFORMED');
  });
});

describe('a refusal', () => {
  it('leaves the source open, so that a server can still answer', async () => {
    const source = new PassThrough();
    source.write(tarOf([{ name: '../evil' }]));
    expect(await codeOf(unpackEnvelopeArchive(source, 'application/x-tar', into, LIMITS))).toBe(
      'ARCHIVE_UNSAFE',
    );
    expect(source.destroyed).toBe(false);
  });

  it('never writes through a file that is there already', async () => {
    const archive = tarOf([MANIFEST]);
    await unpack(archive, 'application/x-tar');
    expect(await codeOf(unpack(archive, 'application/x-tar'))).toBeDefined();
  });
});
