/**
 * Tars and gzips that cost more than they weigh, end too early, or mean one thing to one reader and another to the next;
 * and every archive cut off anywhere.
 */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ArchiveMediaType, unpackEnvelopeArchive } from '../../src/jmix/envelope-archive.js';
import { MANIFEST_MAX_BYTES } from '../../src/jmix/manifest.js';
import { formatTarHeader } from '../../src/jmix/tar-header.js';
import { readTar } from '../../src/jmix/tar-reader.js';
import { type RawEntry, tarOf, zipOf } from '../unit/jmix/support/archives.js';
import { codeOf, streamOf } from '../unit/jmix/support/sealing.js';
import { paxHeader } from './support/hostile-tar.js';

const LIMITS = { maxBytes: 10_000_000, maxEntries: 1000 };
const MANIFEST: RawEntry = { name: 'manifest.json', content: '{}' };
const PAYLOAD: RawEntry = { name: 'payload.encrypted', content: Buffer.alloc(700, 'sealed') };

let root: string;
let into: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'jmix-tar-'));
  into = join(root, 'envelope');
  await mkdir(into);
});
afterEach(() => rm(root, { recursive: true, force: true }));

const unpack = (source: Readable, mediaType: ArchiveMediaType = 'application/x-tar', limits = LIMITS) =>
  unpackEnvelopeArchive(source, mediaType, into, limits, { scratchFile: join(root, 'scratch') });

/** The names of a tar, without a disk. */
async function namesOf(pieces: Iterable<Buffer> | AsyncIterable<Buffer>, limits = LIMITS): Promise<number> {
  const source = (async function* () {
    yield* pieces;
  })();
  let count = 0;
  for await (const _ of readTar(source, limits)) count += 1;
  return count;
}

describe('a tar entry that two readers would read differently', () => {
  const entry = (content = 'content') => tarOf([{ name: 'payload/dicom/1', content }]);
  const longName = tarOf([{ name: '././@LongLink', content: 'payload/dicom/2\0', type: 'L' }]).subarray(
    0,
    1024,
  );
  it.each<[string, string, () => readonly Buffer[]]>([
    ['a sparse file by PAX', 'ARCHIVE_UNSAFE', () => [paxHeader({ 'GNU.sparse.major': '1' }), entry()]],
    ['a sparse name by PAX', 'ARCHIVE_UNSAFE', () => [paxHeader({ 'GNU.sparse.name': 'a' }), entry()]],
    ['a link path by PAX', 'ARCHIVE_UNSAFE', () => [paxHeader({ linkpath: '/etc/passwd' }), entry()]],
    ['a global size', 'ARCHIVE_UNSAFE', () => [paxHeader({ size: '1' }, 'g'), entry()]],
    [
      'a GNU and a PAX name',
      'ENVELOPE_MALFORMED',
      () => [longName, paxHeader({ path: 'payload/dicom/3' }), entry()],
    ],
    [
      'two PAX names',
      'ENVELOPE_MALFORMED',
      () => [paxHeader({ path: 'payload/dicom/2' }), paxHeader({ path: 'payload/dicom/3' }), entry()],
    ],
    [
      'two PAX sizes',
      'ENVELOPE_MALFORMED',
      () => [paxHeader({ size: '7' }), paxHeader({ size: '7' }), entry()],
    ],
    ['a negative PAX size', 'ENVELOPE_MALFORMED', () => [paxHeader({ size: '-7' }), entry()]],
    ['a PAX size beyond 2^53', 'ENVELOPE_MALFORMED', () => [paxHeader({ size: '9'.repeat(16) }), entry()]],
    ['a PAX size of more than there is', 'ENVELOPE_MALFORMED', () => [paxHeader({ size: '9999' }), entry()]],
    ['a PAX name with a NUL', 'ARCHIVE_UNSAFE', () => [paxHeader({ path: 'payload/a\0b' }), entry()]],
    ['an empty PAX name', 'ARCHIVE_UNSAFE', () => [paxHeader({ path: '' }), entry()]],
  ])('%s is %s', async (_, code, parts) => {
    expect(await codeOf(namesOf(parts()))).toBe(code);
  });

  it.each([
    ['Straße', 'STRASSE'],
    ['K', '\u212a'],
    ['ﬁle', 'file'],
    ['a', 'a.'],
    ['a', 'a '],
    ['a', 'a\u200d'],
    ['İ', 'i\u0307'],
    ['s', 'ſ'],
  ])('two names that some disk takes for one (%s, %s) are ARCHIVE_UNSAFE', async (one, other) => {
    const tar = tarOf([{ name: `payload/dicom/${one}` }, { name: `payload/dicom/${other}` }]);
    expect(await codeOf(namesOf([tar]))).toBe('ARCHIVE_UNSAFE');
  });
});

describe('a tar without end', () => {
  it('of ten million entries stops at the limit of entries, and reads no further', async () => {
    let made = 0;
    const endless = function* () {
      for (; made < 10_000_000; made += 1) yield formatTarHeader(`payload/dicom/${made}`, 0);
    };
    expect(await codeOf(namesOf(endless(), { ...LIMITS, maxEntries: 20_000 }))).toBe('ENVELOPE_TOO_LARGE');
    expect(made).toBeLessThan(20_010);
  });

  it('of names that all have their own 30 folders stops before they fill the memory', async () => {
    let made = 0;
    const endless = function* () {
      for (; made < 10_000_000; made += 1) yield formatTarHeader(`${made}/${'a/'.repeat(29)}b`, 0);
    };
    expect(await codeOf(namesOf(endless(), { ...LIMITS, maxEntries: 200_000 }))).toBe('ENVELOPE_TOO_LARGE');
    expect(made).toBeLessThan(50_000);
  });

  it('of zeros behind its end stops at the limit of bytes', async () => {
    const endless = function* () {
      yield tarOf([MANIFEST]);
      for (;;) yield Buffer.alloc(1024 * 1024);
    };
    expect(await codeOf(unpack(Readable.from(endless(), { objectMode: false })))).toBe('ENVELOPE_TOO_LARGE');
  });

  it('of extended headers stops at the fifth', async () => {
    let made = 0;
    const endless = function* () {
      for (; ; made += 1) yield paxHeader({ comment: String(made) });
    };
    expect(await codeOf(namesOf(endless()))).toBe('ENVELOPE_MALFORMED');
    expect(made).toBeLessThan(10);
  });
});

describe('a manifest of 100 MB', () => {
  const size = 100 * 1024 * 1024;

  it('is ENVELOPE_MALFORMED by its header, before a byte of it is read', async () => {
    const source = Readable.from([formatTarHeader('manifest.json', size)], { objectMode: false });
    expect(await codeOf(unpack(source, 'application/x-tar', { ...LIMITS, maxBytes: 2 * size }))).toBe(
      'ENVELOPE_MALFORMED',
    );
    expect(await readdir(into)).toEqual([]);
  });

  it.each(['manifest.json', 'manifest.jws', 'audit.json'])(
    'in a zip as %s is refused as well',
    async (name) => {
      const content = Buffer.alloc(17 * MANIFEST_MAX_BYTES, '{"a":1} ');
      const limits = { ...LIMITS, maxBytes: 2 * content.length };
      expect(await codeOf(unpack(streamOf(zipOf([{ name, content }])), 'application/zip', limits))).toBe(
        'ENVELOPE_MALFORMED',
      );
      expect(await readdir(into)).toEqual([]);
    },
  );
});

describe('a gzip', () => {
  const gzip = gzipSync(tarOf([MANIFEST]));

  it.each<[string, Buffer]>([
    ['junk behind its end', Buffer.from('junk')],
    ['a NUL and junk behind its end', Buffer.from('\0junk')],
    ['a NUL and another gzip behind its end', Buffer.concat([Buffer.alloc(1), gzip])],
    ['a second tar in a member of its own', gzip],
    ['a cut member behind it', gzip.subarray(0, 30)],
  ])('with %s is ENVELOPE_MALFORMED', async (_, tail) => {
    const bytes = Buffer.concat([gzip, tail]);
    expect(await codeOf(unpack(streamOf(bytes), 'application/gzip'))).toBe('ENVELOPE_MALFORMED');
    const inPieces = Readable.from([gzip, tail], { objectMode: false });
    await rm(into, { recursive: true });
    await mkdir(into);
    expect(await codeOf(unpack(inPieces, 'application/gzip'))).toBe('ENVELOPE_MALFORMED');
  });

  it('whose members are one tar together opens', async () => {
    const tar = tarOf([MANIFEST, PAYLOAD]);
    const members = [tar.subarray(0, 700), tar.subarray(700, 701), tar.subarray(701)].map((part) =>
      gzipSync(part),
    );
    expect(await codeOf(unpack(streamOf(Buffer.concat(members)), 'application/gzip'))).toBeUndefined();
  });

  it('of a hundred thousand empty members ends at once', async () => {
    const empty = gzipSync('');
    const bytes = Buffer.concat([...Array.from({ length: 100_000 }, () => empty), gzip]);
    expect(await codeOf(unpack(streamOf(bytes), 'application/gzip'))).toBeUndefined();
  });

  it('of gzips of zeros, one in the other, is no envelope', async () => {
    const bomb = gzipSync(gzipSync(gzipSync(Buffer.alloc(20_000_000))));
    expect(await codeOf(unpack(streamOf(bomb), 'application/gzip'))).toBe('ENVELOPE_MALFORMED');
  });
});

describe('an archive that is cut off', () => {
  const entries = [MANIFEST, PAYLOAD];
  const tar = tarOf(entries);
  const gzip = gzipSync(tar);
  const zip = zipOf(entries);
  // Inside and at the borders of headers, contents and paddings; the first of the two end blocks may be the last.
  const blocks = Array.from({ length: 5 }, (_, index) => (index + 1) * 512);
  const cuts = [0, 1, 257, 511, ...blocks.flatMap((at) => [at - 1, at + 1]), 513, 1536, 2048];

  it.each(cuts.filter((at) => at < 2560 && at !== 0))(
    'a tar after %i bytes is ENVELOPE_MALFORMED',
    async (at) => {
      expect(await codeOf(unpack(streamOf(tar.subarray(0, at))))).toBe('ENVELOPE_MALFORMED');
    },
  );

  it('a tar after its first file has no payload, and openEnvelope is not even asked', async () => {
    expect(await codeOf(unpack(streamOf(tar.subarray(0, 1024))))).toBeUndefined();
    expect(await readdir(into)).toEqual(['manifest.json']);
  });

  it('a gzip is ENVELOPE_MALFORMED wherever it ends', async () => {
    for (let at = 0; at < gzip.length; at += 1) {
      await rm(into, { recursive: true });
      await mkdir(into);
      expect(await codeOf(unpack(streamOf(gzip.subarray(0, at)), 'application/gzip')), `at ${at}`).toBe(
        'ENVELOPE_MALFORMED',
      );
    }
  });

  it('a zip is ENVELOPE_MALFORMED wherever it ends', async () => {
    for (let at = 0; at < zip.length; at += at < 100 || at > zip.length - 60 ? 1 : 37) {
      expect(await codeOf(unpack(streamOf(zip.subarray(0, at)), 'application/zip')), `at ${at}`).toBe(
        'ENVELOPE_MALFORMED',
      );
    }
  });
});
