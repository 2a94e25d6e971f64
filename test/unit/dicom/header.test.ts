import { describe, expect, it } from 'vitest';
import { MAX_DEPTH, MAX_VALUE_BYTES } from '../../../src/dicom/element-walk.js';
import { type HeaderSource, readHeader, readHeaderFromHead } from '../../../src/dicom/header.js';
import { TAGS, type Tag } from '../../../src/dicom/tags.js';
import {
  type BuildEncoding,
  dataSet,
  deflate,
  element,
  encapsulatedPixels,
  IDENTITY,
  undefinedSequence,
} from './element-builder.js';

const SYNTAX: Record<BuildEncoding | 'deflated-le', string> = {
  'implicit-le': '1.2.840.10008.1.2',
  'explicit-le': '1.2.840.10008.1.2.1',
  'explicit-be': '1.2.840.10008.1.2.2',
  'deflated-le': '1.2.840.10008.1.2.1.99',
};
const ENCODINGS: readonly BuildEncoding[] = ['implicit-le', 'explicit-le', 'explicit-be'];
const ALL = Object.values(TAGS);
const UIDS: readonly Tag[] = [TAGS.StudyInstanceUID, TAGS.SeriesInstanceUID];

/** Counts what is read, so that tests can see that values are not. */
function sourceOf(bytes: Buffer, sizeBytes = bytes.length): HeaderSource & { readBytes: number } {
  return {
    readBytes: 0,
    sizeBytes,
    async read(offset, length) {
      const part = bytes.subarray(offset, offset + length);
      this.readBytes += part.length;
      return part;
    },
  };
}

const read = (bytes: Buffer, syntax: keyof typeof SYNTAX, wanted: readonly Tag[] = ALL) =>
  readHeader(sourceOf(bytes), SYNTAX[syntax], wanted);

const unreadable = (message?: RegExp) =>
  expect.objectContaining({
    code: 'DATASET_UNREADABLE',
    facts: { offset: expect.any(Number) },
    ...(message === undefined ? {} : { message: expect.stringMatching(message) }),
  });

describe('a hostile data set is refused', () => {
  const early = element('explicit-le', 0x00080016, 'UI', IDENTITY.sopClassUid);
  const sq = (length = 0xffffffff) => element('explicit-le', 0x00081140, 'SQ', '', length);
  const item = (length = 0xffffffff) => element('explicit-le', 0xfffee000, '', '', length);

  it.each<[string, Buffer, RegExp]>([
    ['length beyond the end', element('explicit-le', 0x00080018, 'UI', '2.25.1', 0x8000), /claims 32768/],
    ['4 GiB claimed', element('explicit-le', 0x00091010, 'UN', '', 0xfffffffe), /claims 4294967294/],
    ['4 GiB claimed for a wanted value', element('explicit-le', 0x00100020, 'UN', '', 0xfffffffe), /claims/],
    ['element cut off', Buffer.from([8, 0, 0x18]), /ends inside an element/],
    [
      'long element header cut off',
      element('explicit-le', 0x00091010, 'UN', '').subarray(0, 10),
      /ends inside/,
    ],
    ['sequence without end', Buffer.concat([sq(), item()]), /ends inside a sequence/],
    ['element between items', Buffer.concat([sq(), early]), /may not/],
    ['item within an item', Buffer.concat([sq(), item(), item()]), /may not/],
    [
      'end of sequence within an item',
      Buffer.concat([sq(), item(), element('explicit-le', 0xfffee0dd, '', '')]),
      /may not/,
    ],
    [
      'wanted value of undefined length',
      element('explicit-le', 0x00100020, 'UN', '', 0xffffffff),
      /no length/,
    ],
  ])('%s', async (_name, tail, message) => {
    const bytes = Buffer.concat([early, tail]);
    await expect(read(bytes, 'explicit-le')).rejects.toThrow(unreadable(message));
  });

  it('nesting deeper than the bound', async () => {
    const nest = Buffer.concat([sq(), item()]);
    const bytes = Buffer.concat([early, ...Array.from({ length: MAX_DEPTH }, () => nest)]);
    await expect(read(bytes, 'explicit-le')).rejects.toThrow(unreadable(/nested deeper/));
  });

  it('wanted value above its bound', async () => {
    const long = element('implicit-le', TAGS.PatientName, 'PN', Buffer.alloc(MAX_VALUE_BYTES + 2, 65));
    await expect(read(long, 'implicit-le')).rejects.toThrow(unreadable(/longer than/));
  });

  it('endless run of empty elements costs bounded time', async () => {
    const empties = Buffer.concat(
      Array.from({ length: 1000 }, () => element('implicit-le', 0x00080005, 'CS', '')),
    );
    const source: HeaderSource = {
      sizeBytes: Number.MAX_SAFE_INTEGER,
      read: async (_offset, length) => empties.subarray(0, Math.floor(length / 8) * 8),
    };
    await expect(readHeader(source, SYNTAX['implicit-le'], ALL)).rejects.toThrow(unreadable(/more than/));
  });

  it('source that ends before its announced size', async () => {
    const bytes = dataSet('explicit-le').subarray(0, 200);
    const source = sourceOf(bytes, 10_000);
    await expect(readHeader(source, SYNTAX['explicit-le'], UIDS)).rejects.toThrow(unreadable());
  });

  it('deflate bomb: 16 MiB of padding before the first attribute', async () => {
    const padding = element('explicit-le', 0x00010010, 'OB', Buffer.alloc(20 * 1024 * 1024));
    const bomb = deflate(Buffer.concat([padding, dataSet('explicit-le')]));
    await expect(read(bomb, 'deflated-le')).rejects.toThrow(unreadable(/within 16777216 bytes/));
  });

  it('deflated data set that is none', async () => {
    const noise = Buffer.alloc(5000, 0xff);
    await expect(read(noise, 'deflated-le')).rejects.toThrow(unreadable(/not a deflate/));
    expect(() => readHeaderFromHead(noise, SYNTAX['deflated-le'], ALL)).toThrow(unreadable());
  });

  it('every truncation of a data set is refused or read, never hung', async () => {
    for (const encoding of ENCODINGS) {
      const whole = dataSet(encoding);
      for (let length = 0; length < whole.length; length += 1) {
        const outcome = await read(whole.subarray(0, length), encoding, UIDS).catch((error) => error);
        if (outcome instanceof Error) expect(outcome).toEqual(unreadable());
      }
    }
  });
});

describe('attributes of a data set', () => {
  it.each(ENCODINGS)('%s: from a source and from a head', async (encoding) => {
    const bytes = dataSet(encoding);
    for (const header of [await read(bytes, encoding), readHeaderFromHead(bytes, SYNTAX[encoding], ALL)]) {
      expect(header?.string(TAGS.SOPInstanceUID)).toBe(IDENTITY.sopInstanceUid);
      expect(header?.string(TAGS.SOPClassUID)).toBe(IDENTITY.sopClassUid);
      expect(header?.string(TAGS.StudyInstanceUID)).toBe(IDENTITY.studyInstanceUid);
      expect(header?.string(TAGS.SeriesInstanceUID)).toBe(IDENTITY.seriesInstanceUid);
      expect(header?.string(TAGS.PatientName)).toBe('Phantom^Petra');
      expect(header?.string(TAGS.PatientID)).toBe('P-1');
      expect(header?.string(TAGS.StudyDescription)).toBe('Schädel');
      expect(header?.string(TAGS.NumberOfFrames)).toBe('12');
    }
  });

  it('absent and empty are told apart', async () => {
    const header = await read(dataSet('explicit-le'), 'explicit-le');
    expect(header.string(TAGS.AccessionNumber)).toBe('');
    expect(header.string(TAGS.PatientSex)).toBeUndefined();
  });

  it('deflated: the same, also when pixels inflate to more than the bound', async () => {
    const pixels = element('explicit-le', 0x7fe00010, 'OW', Buffer.alloc(40 * 1024 * 1024));
    const bytes = deflate(dataSet('explicit-le', pixels));
    const header = await read(bytes, 'deflated-le');
    expect(header.string(TAGS.SeriesInstanceUID)).toBe(IDENTITY.seriesInstanceUid);
    expect(readHeaderFromHead(bytes, SYNTAX['deflated-le'], UIDS)?.string(TAGS.StudyInstanceUID)).toBe(
      IDENTITY.studyInstanceUid,
    );
  });

  it('deflated and small: read to its end', async () => {
    const bytes = deflate(element('explicit-le', 0x00080018, 'UI', '2.25.5'));
    expect((await read(bytes, 'deflated-le')).string(TAGS.SOPInstanceUID)).toBe('2.25.5');
  });

  it('private and unknown transfer syntaxes are read as explicit', async () => {
    const header = await readHeader(sourceOf(dataSet('explicit-le')), '1.3.46.670589.33.1.4.1', UIDS);
    expect(header.string(TAGS.StudyInstanceUID)).toBe(IDENTITY.studyInstanceUid);
  });

  it('large values are passed over, not read', async () => {
    const big = Buffer.alloc(8 * 1024 * 1024, 1);
    const bytes = Buffer.concat([
      element('explicit-le', 0x00080016, 'UI', IDENTITY.sopClassUid),
      element('explicit-le', 0x00091010, 'OB', big),
      element('explicit-le', TAGS.StudyInstanceUID, 'UI', IDENTITY.studyInstanceUid),
      element('explicit-le', 0x7fe00010, 'OW', big),
    ]);
    const source = sourceOf(bytes);
    const header = await readHeader(source, SYNTAX['explicit-le'], ALL);
    expect(header.string(TAGS.StudyInstanceUID)).toBe(IDENTITY.studyInstanceUid);
    expect(source.readBytes).toBeLessThan(64 * 1024);
  });

  it('truncated Pixel Data does not matter to the header', async () => {
    const cut = element('explicit-le', 0x7fe00010, 'OW', Buffer.alloc(10), 500_000);
    const header = await read(dataSet('explicit-le', cut), 'explicit-le');
    expect(header.string(TAGS.SeriesInstanceUID)).toBe(IDENTITY.seriesInstanceUid);
  });

  it('what hides in nested items is not taken for the top level', async () => {
    const nested = dataSet('explicit-le', encapsulatedPixels([Buffer.alloc(10, 1)]), {
      ...IDENTITY,
      studyInstanceUid: '2.25.666',
    });
    const icon = undefinedSequence('explicit-le', 0x00081199, [nested]);
    const bytes = Buffer.concat([
      icon,
      element('explicit-le', TAGS.StudyInstanceUID, 'UI', IDENTITY.studyInstanceUid),
    ]);
    expect((await read(bytes, 'explicit-le')).string(TAGS.StudyInstanceUID)).toBe(IDENTITY.studyInstanceUid);
  });

  it('VR UN of undefined length is implicit inside; VR-less and future VRs are passed over', async () => {
    const inner = element('implicit-le', 0x00091099, 'LO', 'abc');
    const bytes = Buffer.concat([
      element('explicit-le', 0x00080000, 'UL', Buffer.alloc(4)),
      undefinedSequence('explicit-le', 0x00091010, [inner, inner], 'UN'),
      element('implicit-le', 0x00091011, 'LO', 'no VR here'),
      Buffer.concat([
        Buffer.from([9, 0, 0x12, 0x10]),
        Buffer.from('ZZ\0\0'),
        Buffer.from([2, 0, 0, 0, 1, 1]),
      ]),
      element('explicit-le', TAGS.SeriesInstanceUID, 'UI', IDENTITY.seriesInstanceUid),
    ]);
    expect((await read(bytes, 'explicit-le')).string(TAGS.SeriesInstanceUID)).toBe(
      IDENTITY.seriesInstanceUid,
    );
  });

  it.each([0xe00d, 0xe0dd])('a delimiter (fffe,%i) that ends nothing is passed over', async (number) => {
    const delimiter = Buffer.alloc(8);
    delimiter.writeUInt16LE(0xfffe, 0);
    delimiter.writeUInt16LE(number, 2);
    const bytes = Buffer.concat([
      element('explicit-le', 0x00081140, 'SQ', ''),
      delimiter,
      element('explicit-le', TAGS.StudyInstanceUID, 'UI', IDENTITY.studyInstanceUid),
    ]);
    expect((await read(bytes, 'explicit-le')).string(TAGS.StudyInstanceUID)).toBe(IDENTITY.studyInstanceUid);
  });

  it('a head that ends too early asks for the source', () => {
    const bytes = dataSet('explicit-le');
    const at = bytes.indexOf(IDENTITY.seriesInstanceUid) + IDENTITY.seriesInstanceUid.length;
    expect(readHeaderFromHead(bytes.subarray(0, at - 1), SYNTAX['explicit-le'], UIDS)).toBeUndefined();
    expect(readHeaderFromHead(bytes.subarray(0, at + 1), SYNTAX['explicit-le'], UIDS)).toBeDefined();
    const deflated = deflate(bytes);
    expect(readHeaderFromHead(deflated.subarray(0, 20), SYNTAX['deflated-le'], UIDS)).toBeUndefined();
  });
});
