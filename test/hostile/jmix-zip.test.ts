/** Zips that mean one thing to one reader and another to the next, or that are far larger than they look. */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, deflateRawSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { unpackEnvelopeArchive } from '../../src/jmix/envelope-archive.js';
import { codeOf, streamOf } from '../unit/jmix/support/sealing.js';
import { FLAG_DESCRIPTOR, FLAG_ENCRYPTED, rawZip, type ZipPart } from './support/raw-zip.js';

const LIMITS = { maxBytes: 10_000_000, maxEntries: 1000 };
const MANIFEST: ZipPart = { name: 'manifest.json', content: '{}' };
const PAYLOAD: ZipPart = { name: 'payload.encrypted', content: 'sealed' };

let root: string;
let into: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'jmix-zip-'));
  into = join(root, 'envelope');
  await mkdir(into);
});
afterEach(() => rm(root, { recursive: true, force: true }));

const unpack = (zip: Buffer, limits = LIMITS) =>
  unpackEnvelopeArchive(streamOf(zip), 'application/zip', into, limits, {
    scratchFile: join(root, 'scratch'),
  });

/** A data descriptor, with its signature or without. */
function descriptorOf(content: string, isSigned: boolean): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32LE(crc32(content), 0);
  bytes.writeUInt32LE(content.length, 4);
  bytes.writeUInt32LE(content.length, 8);
  return isSigned ? Buffer.concat([Buffer.from('PK\x07\x08', 'latin1'), bytes]) : bytes;
}

function unicodePath(name: string): Buffer {
  const data = Buffer.concat([Buffer.alloc(5, 1), Buffer.from(name)]);
  const head = Buffer.alloc(4);
  head.writeUInt16LE(0x7075, 0);
  head.writeUInt16LE(data.length, 2);
  return Buffer.concat([head, data]);
}

/** The directory names one entry of 5 MB many times. */
function sharing(count: number): Buffer {
  const content = Buffer.alloc(5_000_000);
  const stored = deflateRawSync(content);
  const entry = { ...PAYLOAD, content, method: 8 };
  const others = Array.from({ length: count }, (_, index) => ({
    ...entry,
    stored: Buffer.alloc(0),
    central: { offset: 0, storedBytes: stored.length, name: `payload/dicom/${index}` },
  }));
  return rawZip([{ ...entry, stored }, ...others]);
}

/** One entry whose data quotes the local header and data of the next, stored. */
function quoting(): Buffer {
  const inner = rawZip([PAYLOAD]);
  const quoted = inner.subarray(0, 30 + 'payload.encrypted'.length + 'sealed'.length);
  const at = 30 + 'manifest.json'.length;
  const zip = rawZip([
    { ...MANIFEST, content: quoted },
    { ...PAYLOAD, central: { offset: at } },
  ]);
  // The second entry's own bytes are in the way of nothing; take them out.
  const ownBytes = quoted.length;
  const start = at + quoted.length;
  const shorter = Buffer.concat([zip.subarray(0, start), zip.subarray(start + ownBytes)]);
  shorter.writeUInt32LE(shorter.readUInt32LE(shorter.length - 6) - ownBytes, shorter.length - 6);
  return shorter;
}

describe('a zip is ARCHIVE_UNSAFE', () => {
  const whole = rawZip([MANIFEST, PAYLOAD]);

  it('whose entry quotes the next, since they overlap', async () => {
    await expect(unpack(quoting())).rejects.toMatchObject({
      code: 'ARCHIVE_UNSAFE',
      message: expect.stringContaining('overlap'),
    });
  });

  it.each<[string, () => Buffer]>([
    ['whose directory names one entry many times', () => sharing(50)],
    [
      'with bytes between its entries and its directory',
      () => rawZip([MANIFEST, PAYLOAD], { gap: Buffer.alloc(5) }),
    ],
    [
      'with a whole zip in front',
      () => Buffer.concat([rawZip([MANIFEST]), shifted(whole, rawZip([MANIFEST]).length)]),
    ],
    ['with an entry that its directory leaves out', () => hiding()],
    ['whose count is smaller than its directory', () => rawZip([MANIFEST, PAYLOAD], { entryCount: 1 })],
    [
      'whose local header names another file',
      () => rawZip([MANIFEST, { ...PAYLOAD, local: { name: 'payload.encrypteD' } }]),
    ],
    ['whose local header names another method', () => rawZip([{ ...MANIFEST, local: { method: 8 } }])],
    ['whose local header names another size', () => rawZip([{ ...MANIFEST, local: { bytes: 3 } }])],
    [
      'whose local header names another stored size',
      () => rawZip([{ ...MANIFEST, local: { storedBytes: 3 } }]),
    ],
    ['whose local header names another CRC-32', () => rawZip([{ ...MANIFEST, local: { crc: 3 } }])],
    [
      'whose local header alone says encrypted',
      () => rawZip([{ ...MANIFEST, local: { flags: FLAG_ENCRYPTED } }]),
    ],
    [
      'with an encrypted entry',
      () => rawZip([{ ...MANIFEST, stored: Buffer.alloc(14), flags: FLAG_ENCRYPTED }]),
    ],
    [
      'whose data descriptor is as long as a hidden entry',
      () => rawZip([{ ...MANIFEST, flags: FLAG_DESCRIPTOR, descriptor: Buffer.alloc(100) }, PAYLOAD]),
    ],
    [
      'with another name in Unicode',
      () => rawZip([{ ...MANIFEST, extra: unicodePath('payload.encrypted') }]),
    ],
    ['with a link, whatever system it was made on', () => madeOn(0, 0o120777)],
    ['with a device made on macOS', () => madeOn(19, 0o020644)],
    ['with a folder that has content', () => rawZip([MANIFEST, { name: 'payload/', content: 'x' }])],
    [
      'whose zip64 locator points elsewhere',
      () => rawZip([MANIFEST, PAYLOAD], { zip64: {}, directoryOffset: 0 }),
    ],
  ])('%s', async (_, make) => {
    expect(await codeOf(unpack(make()))).toBe('ARCHIVE_UNSAFE');
    expect(await readdir(root)).toEqual(['envelope']);
  });

  function shifted(zip: Buffer, by: number): Buffer {
    const copy = Buffer.from(zip);
    const start = copy.readUInt32LE(copy.length - 6);
    copy.writeUInt32LE(start + by, copy.length - 6);
    for (let at = start; copy.readUInt32LE(at) === 0x02014b50; at += 46 + copy.readUInt16LE(at + 28))
      copy.writeUInt32LE(copy.readUInt32LE(at + 42) + by, at + 42);
    return copy;
  }

  function hiding(): Buffer {
    const hidden = rawZip([{ name: 'manifest.json', content: '{"other":1}' }]);
    const bytes = hidden.subarray(0, 30 + 13 + 11);
    return shifted(Buffer.concat([bytes, whole]), bytes.length).fill(bytes, 0, bytes.length);
  }

  function madeOn(system: number, mode: number): Buffer {
    const zip = rawZip([{ ...MANIFEST, mode }]);
    zip.writeUInt8(system, zip.indexOf('PK\x01\x02', 'latin1') + 5);
    return zip;
  }
});

describe('a zip is ENVELOPE_MALFORMED', () => {
  it.each<[string, () => Buffer]>([
    ['whose count is larger than its directory', () => rawZip([MANIFEST, PAYLOAD], { entryCount: 3 })],
    ['with bytes behind its end', () => Buffer.concat([rawZip([MANIFEST]), Buffer.from('x')])],
    ['whose directory stands elsewhere', () => rawZip([MANIFEST], { directoryOffset: 3 })],
    ['whose entry stands behind its end', () => rawZip([{ ...MANIFEST, central: { offset: 100_000 } }])],
    ['whose zip64 locator points at no record', () => rawZip([MANIFEST], { zip64: { locator: 3 } })],
    ['with a method that is neither stored nor deflated', () => rawZip([{ ...MANIFEST, method: 99 }])],
    ['that inflates to more than it says', () => lying(Buffer.alloc(2_000_000), 10)],
    ['that inflates to less than it says', () => lying(Buffer.alloc(10), 20)],
  ])('%s', async (_, make) => {
    expect(await codeOf(unpack(make()))).toBe('ENVELOPE_MALFORMED');
    expect(await readdir(root)).toEqual(['envelope']);
  });

  function lying(content: Buffer, bytes: number): Buffer {
    return rawZip([
      {
        name: 'manifest.json',
        content,
        stored: deflateRawSync(content),
        method: 8,
        local: { bytes },
        central: { bytes },
      },
    ]);
  }
});

describe('a zip is ENVELOPE_TOO_LARGE', () => {
  it('that announces more entries than the limit, before one is read', async () => {
    const zip = rawZip([MANIFEST], { zip64: { entryCount: 2 ** 50 } });
    expect(await codeOf(unpack(zip))).toBe('ENVELOPE_TOO_LARGE');
  });

  it('that holds another zip of zeros, at what the outer one unpacks to', async () => {
    const inner = rawZip([
      {
        ...PAYLOAD,
        content: Buffer.alloc(20_000_000),
        stored: deflateRawSync(Buffer.alloc(20_000_000)),
        method: 8,
      },
    ]);
    const files = Array.from({ length: 80 }, (_, index) => ({
      name: `payload/dicom/${index}`,
      content: inner,
      stored: deflateRawSync(inner),
      method: 8,
    }));
    const limits = { ...LIMITS, maxBytes: 1_000_000 };
    expect(await codeOf(unpack(rawZip([MANIFEST, ...files]), limits))).toBe('ENVELOPE_TOO_LARGE');
  });
});

describe('an honest zip opens', () => {
  const streamed = (isSigned: boolean): ZipPart => ({
    ...MANIFEST,
    flags: FLAG_DESCRIPTOR,
    local: { crc: 0, storedBytes: 0, bytes: 0 },
    descriptor: descriptorOf('{}', isSigned),
  });
  it.each<[string, () => Buffer]>([
    ['as it is', () => rawZip([MANIFEST, PAYLOAD])],
    ['with a comment', () => rawZip([MANIFEST], { comment: 'made by hand' })],
    ['with zip64 records', () => rawZip([MANIFEST, PAYLOAD], { zip64: {} })],
    ['with data descriptors', () => rawZip([streamed(true), PAYLOAD])],
    ['with data descriptors without signature', () => rawZip([streamed(false), PAYLOAD])],
    ['whose name stands twice alike', () => rawZip([{ ...MANIFEST, extra: unicodePath('manifest.json') }])],
    ['whose directory is in another order', () => reordered()],
  ])('%s', async (_, make) => {
    expect(await codeOf(unpack(make()))).toBeUndefined();
  });

  function reordered(): Buffer {
    const zip = rawZip([MANIFEST, { name: 'audit.json', content: '[]' }]);
    const start = zip.readUInt32LE(zip.length - 6);
    const [first, second] = [
      zip.subarray(start, start + 46 + 13),
      zip.subarray(start + 46 + 13, zip.length - 22),
    ];
    return Buffer.concat([zip.subarray(0, start), second, first, zip.subarray(-22)]);
  }
});
