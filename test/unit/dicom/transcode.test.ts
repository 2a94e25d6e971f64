import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { transcode } from '../../../src/dicom/transcode.js';
import { type BuildEncoding, dataSet, deflate, element, encapsulatedPixels } from './element-builder.js';

const IMPLICIT = '1.2.840.10008.1.2';
const EXPLICIT = '1.2.840.10008.1.2.1';
const DEFLATED = '1.2.840.10008.1.2.1.99';
const BIG_ENDIAN = '1.2.840.10008.1.2.2';
const RLE = '1.2.840.10008.1.2.5';
const ENCAPSULATED = '1.2.840.10008.1.2.1.98';
const JPEG_LOSSLESS = '1.2.840.10008.1.2.4.70';
const JPEG_2000 = '1.2.840.10008.1.2.4.90';
const MPEG4 = '1.2.840.10008.1.2.4.102';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-transcode-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let count = 0;
async function converted(bytes: Buffer, transferSyntaxUid: string, targetUid: string): Promise<Buffer> {
  count += 1;
  const path = join(folder, `${count}.in`);
  const output = join(folder, `${count}.out`);
  // The data set stands behind a Part 10 header.
  await writeFile(path, Buffer.concat([Buffer.alloc(100, 1), bytes]));
  await transcode({ path, dataSetOffset: 100, transferSyntaxUid, targetUid, output });
  expect(existsSync(`${output}.inflated`)).toBe(false);
  return readFile(output);
}

const u16 = (...values: number[]) => {
  const bytes = Buffer.alloc(2 * values.length);
  for (const [at, value] of values.entries()) bytes.writeUInt16LE(value, 2 * at);
  return bytes;
};

interface Shape {
  readonly rows?: number;
  readonly columns?: number;
  readonly frames?: number;
  readonly bits?: number;
  readonly samples?: number;
  readonly photometric?: string;
  readonly planar?: number;
}

function image(pixels: Buffer, shape: Shape = {}, before: readonly Buffer[] = []): Buffer {
  const { rows = 2, columns = 3, frames = 1, bits = 8, samples = 1, photometric = 'MONOCHROME2' } = shape;
  const e = (tag: number, vr: string, value: string | Buffer) => element('explicit-le', tag, vr, value);
  return Buffer.concat([
    e(0x00080018, 'UI', '2.25.1001'),
    e(0x00091001, 'UN', Buffer.from('odd bytes')),
    e(0x00280002, 'US', u16(samples)),
    e(0x00280004, 'CS', photometric),
    ...(samples > 1 ? [e(0x00280006, 'US', u16(shape.planar ?? 0))] : []),
    e(0x00280008, 'IS', String(frames)),
    e(0x00280010, 'US', u16(rows)),
    e(0x00280011, 'US', u16(columns)),
    e(0x00280100, 'US', u16(bits)),
    e(0x00280101, 'US', u16(bits)),
    e(0x00280102, 'US', u16(bits - 1)),
    e(0x00280103, 'US', u16(0)),
    ...before,
    pixels,
    e(0xfffcfffc, 'OB', Buffer.alloc(4)),
  ]);
}

const native = (value: Buffer, vr = 'OB') => element('explicit-le', 0x7fe00010, vr, value);

/** An RLE frame whose segments are literal runs. */
function rle(...segments: readonly Buffer[]): Buffer {
  const header = Buffer.alloc(64);
  header.writeUInt32LE(segments.length, 0);
  const bodies = segments.map((segment) => Buffer.concat([Buffer.from([segment.length - 1]), segment]));
  bodies.reduce((offset, body, at) => {
    header.writeUInt32LE(offset, 4 + 4 * at);
    return offset + body.length;
  }, 64);
  return Buffer.concat([header, ...bodies]);
}

describe('a data set in another encoding of its elements', () => {
  const sources: readonly [string, string, (encoding?: BuildEncoding) => Buffer][] = [
    ['implicit', IMPLICIT, () => dataSet('implicit-le')],
    ['explicit', EXPLICIT, () => dataSet('explicit-le')],
    ['big endian', BIG_ENDIAN, () => dataSet('explicit-be')],
    ['deflated', DEFLATED, () => deflate(dataSet('explicit-le'))],
  ];
  it.each(sources)('from %s is, byte for byte, what it would have been in explicit', async (_, uid, make) => {
    expect(await converted(make(), uid, EXPLICIT)).toEqual(dataSet('explicit-le'));
  });

  it.each(sources)('from %s is, byte for byte, what it would have been in implicit', async (_, uid, make) => {
    expect(await converted(make(), uid, IMPLICIT)).toEqual(dataSet('implicit-le'));
  });

  it('swaps values of two, four and eight bytes from big endian, and leaves text and unknown ones', async () => {
    const values = (encoding: BuildEncoding, order: (bytes: Buffer, unit: 2 | 4 | 8) => Buffer) => {
      const bytes = Buffer.from('0102030405060708', 'hex');
      return Buffer.concat([
        element(encoding, 0x00081160, 'IS', '12'),
        element(encoding, 0x00091001, 'UN', bytes),
        element(encoding, 0x00091002, 'FD', order(bytes, 8)),
        element(encoding, 0x00091003, 'AT', order(bytes, 2)),
        element(encoding, 0x00091004, 'UL', order(bytes, 4)),
        element(encoding, 0x7fe00010, 'OW', order(bytes, 2)),
      ]);
    };
    const swap = (bytes: Buffer, unit: 2 | 4 | 8) => {
      const copy = Buffer.from(bytes);
      return unit === 2 ? copy.swap16() : unit === 4 ? copy.swap32() : copy.swap64();
    };
    const result = await converted(values('explicit-be', swap), BIG_ENDIAN, EXPLICIT);
    expect(result).toEqual(values('explicit-le', (bytes) => bytes));
  });

  it('leaves group lengths out, in sequences too, and mends the lengths of those', async () => {
    const item = (...elements: readonly Buffer[]) =>
      element('explicit-le', 0xfffee000, '', Buffer.concat(elements));
    const value = element('explicit-le', 0x00080018, 'UI', '2.25.7');
    const length = element('explicit-le', 0x00080000, 'UL', Buffer.alloc(4, 9));
    const result = await converted(
      Buffer.concat([length, element('explicit-le', 0x00081140, 'SQ', item(length, value))]),
      EXPLICIT,
      EXPLICIT,
    );
    expect(result).toEqual(element('explicit-le', 0x00081140, 'SQ', item(value)));
  });

  it('has sequences that came as UN as what they are, where Implicit VR cannot say UN', async () => {
    const name = element('implicit-le', 0x00080104, 'LO', 'what');
    const items = element('implicit-le', 0xfffee000, '', name);
    const source = element('explicit-le', 0x00400275, 'UN', items);
    expect(await converted(source, EXPLICIT, IMPLICIT)).toEqual(
      element('implicit-le', 0x00400275, 'SQ', items),
    );
    expect(await converted(source, EXPLICIT, EXPLICIT)).toEqual(source);
  });

  it('takes US or SS by the sign of the pixels, and an unknown element for UN', async () => {
    const elements = (encoding: BuildEncoding, vr: string) =>
      Buffer.concat([
        element(encoding, 0x00080099, 'UN', 'what'),
        element(encoding, 0x00280103, 'US', u16(1)),
        element(encoding, 0x00280106, vr, u16(65535)),
      ]);
    expect(await converted(elements('implicit-le', ''), IMPLICIT, EXPLICIT)).toEqual(
      elements('explicit-le', 'SS'),
    );
  });

  it.each([
    ['is cut off', dataSet('explicit-le').subarray(0, -20), EXPLICIT],
    ['is no deflate stream', dataSet('explicit-le'), DEFLATED],
    ['is a deflate stream without its end', deflate(dataSet('explicit-le')).subarray(0, -30), DEFLATED],
    [
      'has an UN that is a sequence by the dictionary, and holds none',
      element('explicit-le', 0x00400275, 'UN', 'no items here'),
      EXPLICIT,
    ],
    [
      'has an UN whose items are in Explicit VR',
      element(
        'explicit-le',
        0x00400275,
        'UN',
        element('implicit-le', 0xfffee000, '', element('explicit-le', 0x00080104, 'LO', 'what')),
      ),
      EXPLICIT,
    ],
    [
      'has fragments where its transfer syntax has none',
      image(encapsulatedPixels([Buffer.alloc(6)])),
      EXPLICIT,
    ],
  ])('that %s is refused', async (_, bytes, uid) => {
    await expect(converted(bytes, uid, IMPLICIT)).rejects.toMatchObject({ code: 'TRANSCODE_FAILED' });
  });
});

describe('an image whose frames are compressed', () => {
  it('has its frames in a row afterwards, padded to even length, and everything else as it was', async () => {
    const frames = [Buffer.from('abcdef'), Buffer.from('ghijkl'), Buffer.from('mnopqr')];
    const source = image(encapsulatedPixels(frames.map((frame) => rle(frame))), { frames: 3 });
    const expected = image(native(Buffer.concat(frames)), { frames: 3 });
    expect(await converted(source, RLE, EXPLICIT)).toEqual(expected);
    const single = image(encapsulatedPixels([rle(Buffer.from('abcdefghi'))]), { rows: 3 });
    expect(await converted(single, RLE, EXPLICIT)).toEqual(
      image(native(Buffer.from('abcdefghi\0')), { rows: 3 }),
    );
  });

  it('has samples of two bytes put together, and colours as Planar Configuration says', async () => {
    const high = Buffer.from('ABCDEF');
    const low = Buffer.from('abcdef');
    const source = image(encapsulatedPixels([rle(high, low)]), { bits: 16 });
    expect(await converted(source, RLE, EXPLICIT)).toEqual(
      image(native(Buffer.from('aAbBcCdDeEfF'), 'OW'), { bits: 16 }),
    );
    const colours = [Buffer.from('rstuvw'), Buffer.from('ghijkl'), Buffer.from('bcdefa')];
    for (const [planar, pixels] of [
      [0, 'rgbshctiduje' + 'vkfwla'],
      [1, 'rstuvwghijklbcdefa'],
    ] as const) {
      const shape = { samples: 3, photometric: 'RGB', planar };
      const result = await converted(image(encapsulatedPixels([rle(...colours)]), shape), RLE, EXPLICIT);
      expect(result).toEqual(image(native(Buffer.from(pixels)), shape));
    }
  });

  it('finds frames in several fragments by either offset table, and drops the extended one', async () => {
    const frames = [Buffer.from('abcdef'), Buffer.from('ghijkl')];
    const fragments = frames.flatMap((frame) => [frame.subarray(0, 4), frame.subarray(4)]);
    const plain = encapsulatedPixels(fragments);
    const offsets = [0, 22];
    const basic = Buffer.concat([
      plain.subarray(0, 16),
      Buffer.from([8, 0, 0, 0]),
      Buffer.concat(offsets.map((offset) => Buffer.concat([u16(offset), Buffer.alloc(2)]))),
      plain.subarray(20),
    ]);
    const table = Buffer.alloc(16);
    table.writeBigUInt64LE(22n, 8);
    const extended = [
      element('explicit-le', 0x7fe00001, 'OV', table),
      element('explicit-le', 0x7fe00002, 'OV', Buffer.alloc(16)),
    ];
    const expected = image(native(Buffer.concat(frames)), { frames: 2 });
    expect(await converted(image(basic, { frames: 2 }), ENCAPSULATED, EXPLICIT)).toEqual(expected);
    expect(await converted(image(plain, { frames: 2 }, extended), ENCAPSULATED, EXPLICIT)).toEqual(expected);
    await expect(converted(image(plain, { frames: 2 }), ENCAPSULATED, EXPLICIT)).rejects.toMatchObject({
      code: 'TRANSCODE_FAILED',
    });
  });

  const frame = rle(Buffer.from('abcdef'));
  /** A JPEG of 4 × 4 by its head, and nothing in it. */
  const jpeg = Buffer.from('ffd8ffc3000b080004000401011100ffda0008010100010000ffd9', 'hex');
  const j2kOf = (columns: number) => {
    const head = Buffer.from(`ff4fff5100290000${'0'.repeat(64)}0001070101`, 'hex');
    head.writeUInt32BE(columns, 8);
    head.writeUInt32BE(2, 12);
    head.writeUInt32BE(columns, 24);
    head.writeUInt32BE(2, 28);
    return Buffer.concat([head, Buffer.from('ff52000c00000001000504040001', 'hex'), Buffer.alloc(40)]);
  };
  const broken: readonly [string, Buffer, string][] = [
    ['has fewer frames than it says', image(encapsulatedPixels([frame]), { frames: 2 }), RLE],
    ['has no frame at all', image(encapsulatedPixels([]), {}), RLE],
    ['does not say how large it is', image(encapsulatedPixels([frame]), { rows: 0 }), RLE],
    [
      'would be larger than Pixel Data can be',
      image(encapsulatedPixels([frame]), { rows: 16384, columns: 16384, frames: 32 }),
      RLE,
    ],
    [
      'would have a frame larger than can be decoded',
      image(encapsulatedPixels([frame]), { rows: 65535, columns: 65535 }),
      RLE,
    ],
    ['has a frame that is cut off', image(encapsulatedPixels([frame.subarray(0, -2)])), RLE],
    ['has a frame that is too long', image(encapsulatedPixels([rle(Buffer.from('abcdefghi'))])), RLE],
    ['has a frame of nothing', image(encapsulatedPixels([Buffer.alloc(0)])), RLE],
    ['has a frame of another size', image(encapsulatedPixels([jpeg])), JPEG_LOSSLESS],
    [
      'has a JPEG frame without its end',
      image(encapsulatedPixels([jpeg.subarray(0, -2)]), { rows: 4, columns: 4 }),
      JPEG_LOSSLESS,
    ],
    [
      'has a JPEG frame without its pixels',
      image(encapsulatedPixels([jpeg]), { rows: 4, columns: 4 }),
      JPEG_LOSSLESS,
    ],
    [
      'has a JPEG 2000 frame far larger than it says',
      image(encapsulatedPixels([j2kOf(1_000_000_000)])),
      JPEG_2000,
    ],
    ['has a JPEG 2000 frame without its pixels', image(encapsulatedPixels([j2kOf(3)])), JPEG_2000],
    ['is a film', image(encapsulatedPixels([Buffer.alloc(6)])), MPEG4],
  ];
  it.each(broken)('that %s is refused', async (_, bytes, uid) => {
    await expect(converted(bytes, uid, EXPLICIT)).rejects.toMatchObject({ code: 'TRANSCODE_FAILED' });
  });

  it('is refused where an icon in it is compressed as well', async () => {
    const icon = element('explicit-le', 0xfffee000, '', encapsulatedPixels([Buffer.alloc(6)]));
    const source = image(encapsulatedPixels([frame]), {}, [element('explicit-le', 0x00880200, 'SQ', icon)]);
    await expect(converted(source, RLE, EXPLICIT)).rejects.toMatchObject({
      code: 'TRANSCODE_FAILED',
      message: expect.stringContaining('icon'),
    });
  });

  it('converts a report of a compressed transfer syntax, which has no pixels', async () => {
    const report = element('explicit-le', 0x00080018, 'UI', '2.25.1001');
    expect(await converted(report, JPEG_2000, EXPLICIT)).toEqual(report);
  });
});
