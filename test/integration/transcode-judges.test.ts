/**
 * Conversions before judges that share no code with them: what DCMTK compresses, and decompresses in its own way, must be
 * what we make of it, element by element; what the codecs compress without loss must be the pixels that went in.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import dcmjsCodecs from 'dcmjs-codecs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { formatFileMeta, parseFileMeta } from '../../src/dicom/part10.js';
import { transcode } from '../../src/dicom/transcode.js';
import { dump } from '../support/dcmtk.js';
import { runProcess } from '../support/processes.js';
import { describeWith } from '../support/tools.js';
import { element, encapsulatedPixels, undefinedSequence } from '../unit/dicom/element-builder.js';

const EXPLICIT = '1.2.840.10008.1.2.1';
const IMPLICIT = '1.2.840.10008.1.2';
const SECONDARY_CAPTURE = '1.2.840.10008.5.1.4.1.1.7';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-judges-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Shape {
  readonly rows: number;
  readonly columns: number;
  readonly frames: number;
  readonly samples: 1 | 3;
  readonly allocated: 8 | 16;
  readonly stored: number;
  readonly signed: 0 | 1;
  readonly photometric: string;
}

const GREY: Shape = {
  ...{ rows: 33, columns: 47, frames: 1, samples: 1, allocated: 16, stored: 12, signed: 0 },
  photometric: 'MONOCHROME2',
};
const SHAPES: Readonly<Record<string, Shape>> = {
  'grey of 12 bits': GREY,
  'grey of 16 bits with signs': { ...GREY, stored: 16, signed: 1 },
  'grey of 8 bits, odd in size': { ...GREY, allocated: 8, stored: 8 },
  'three frames of 16 bits': { ...GREY, frames: 3, stored: 16 },
  'three frames of 8 bits, odd in size': { ...GREY, frames: 3, allocated: 8, stored: 8 },
  colour: { ...GREY, samples: 3, allocated: 8, stored: 8, photometric: 'RGB' },
  palette: { ...GREY, allocated: 8, stored: 8, photometric: 'PALETTE COLOR' },
};

const u16 = (...values: readonly number[]) => Buffer.from(Uint16Array.from(values).buffer);

/** Gradients with a little noise, always the same. */
function pixelsOf({ rows, columns, frames, samples, allocated, stored, signed }: Shape): Buffer {
  const count = rows * columns * samples * frames;
  const range = 2 ** stored;
  const values = Array.from({ length: count }, (_, at) => (at * 7 + ((at * 7919) % 13) * 3) % range);
  if (allocated === 8) return Buffer.from(values);
  return signed === 1
    ? Buffer.from(Int16Array.from(values, (value) => value - range / 2).buffer)
    : u16(...values);
}

function dataSetOf(shape: Shape, pixels: Buffer): Buffer {
  const e = (tag: number, vr: string, value: string | Buffer) => element('explicit-le', tag, vr, value);
  const palette = shape.photometric === 'PALETTE COLOR';
  const table = (tag: number) => e(tag, 'OW', u16(...Array.from({ length: 256 }, (_, each) => each * 256)));
  return Buffer.concat([
    e(0x00080005, 'CS', 'ISO_IR 100'),
    e(0x00080016, 'UI', SECONDARY_CAPTURE),
    e(0x00080018, 'UI', '2.25.1001'),
    e(0x00080060, 'CS', 'OT'),
    e(0x00081030, 'LO', 'Sch\xe4del'),
    undefinedSequence('explicit-le', 0x00081140, [e(0x00081155, 'UI', '2.25.9')]),
    e(0x00090010, 'LO', 'DRAWBRIDGE TEST'),
    e(0x00091001, 'UN', Buffer.from([1, 2, 3, 0])),
    undefinedSequence('explicit-le', 0x00091002, [element('implicit-le', 0x00080018, '', '2.25.5')], 'UN'),
    e(0x00091003, 'FD', Buffer.alloc(16, 5)),
    e(0x0020000d, 'UI', '2.25.2001'),
    e(0x0020000e, 'UI', '2.25.3001'),
    e(0x00280002, 'US', u16(shape.samples)),
    e(0x00280004, 'CS', shape.photometric),
    ...(shape.samples === 3 ? [e(0x00280006, 'US', u16(0))] : []),
    e(0x00280008, 'IS', String(shape.frames)),
    e(0x00280010, 'US', u16(shape.rows)),
    e(0x00280011, 'US', u16(shape.columns)),
    e(0x00280100, 'US', u16(shape.allocated)),
    e(0x00280101, 'US', u16(shape.stored)),
    e(0x00280102, 'US', u16(shape.stored - 1)),
    e(0x00280103, 'US', u16(shape.signed)),
    ...(palette ? [0x00281101, 0x00281102, 0x00281103].map((tag) => e(tag, 'US', u16(256, 0, 16))) : []),
    ...(palette ? [0x00281201, 0x00281202, 0x00281203].map(table) : []),
    pixels,
  ]);
}

const META = { sopClassUid: SECONDARY_CAPTURE, sopInstanceUid: '2.25.1001' };

let count = 0;
async function write(dataSet: Buffer, transferSyntaxUid: string): Promise<string> {
  count += 1;
  const path = join(folder, `${count}.dcm`);
  await writeFile(path, Buffer.concat([formatFileMeta({ ...META, transferSyntaxUid }), dataSet]));
  return path;
}

async function writeNative(shape: Shape): Promise<string> {
  const pixels = pixelsOf(shape);
  const padded = pixels.length % 2 === 0 ? pixels : Buffer.concat([pixels, Buffer.alloc(1)]);
  const vr = shape.allocated === 8 ? 'OB' : 'OW';
  return write(dataSetOf(shape, element('explicit-le', 0x7fe00010, vr, padded)), EXPLICIT);
}

/** @throws Error with what the program said */
async function dcmtk(program: string, ...args: readonly string[]): Promise<string> {
  count += 1;
  const path = join(folder, `${count}.dcm`);
  const source = args.at(-1) ?? '';
  const options = args.slice(0, -1);
  const { code, output } = await runProcess({ command: program, args: [...options, source, path] });
  if (code !== 0) throw new Error(`${program} ended with ${code}\n${output}`);
  return path;
}

/** The file that we make of it. */
async function converted(path: string, targetUid: string): Promise<string> {
  const meta = parseFileMeta(await readFile(path));
  if (meta === undefined) throw new Error('no Part 10 file');
  count += 1;
  const output = join(folder, `${count}.raw`);
  const { dataSetOffset, transferSyntaxUid } = meta;
  await transcode({ path, dataSetOffset, transferSyntaxUid, targetUid, output });
  return write(await readFile(output), targetUid);
}

/** Its elements as DCMTK reads them, whole, in Explicit VR. */
async function elementsOf(path: string): Promise<string> {
  const { code, output } = await runProcess({
    command: 'dcmdump',
    args: ['+L', await dcmtk('dcmconv', '+te', path)],
  });
  if (code !== 0) throw new Error(output);
  return output
    .split('\n')
    .filter((line) => !line.startsWith('#') && !line.startsWith('(0002,'))
    .map((line) => (line.startsWith('(7fe0,0010)') ? pixelBytes(line) : line))
    .join('\n');
}

/** Pixels of 8 bits may be OB or OW, and DCMTK likes either. */
function pixelBytes(line: string): string {
  const [, vr = '', value = ''] = line.split(/\s+/, 3);
  const words = value.split('\\');
  const bytes = vr === 'OW' ? words.flatMap((word) => [word.slice(2), word.slice(0, 2)]) : words;
  return `PixelData ${bytes.join('')}`;
}

describeWith('dcmtk', 'what DCMTK compresses', () => {
  /** How DCMTK compresses, and the option by which it says that it should leave the colours as they are. */
  const lossless: readonly [string, readonly string[], readonly string[]][] = [
    ['JPEG lossless, first order', ['dcmcjpeg', '+e1'], ['dcmdjpeg', '+cn']],
    ['JPEG lossless, any predictor', ['dcmcjpeg', '+el', '+sv', '6'], ['dcmdjpeg', '+cn']],
    ['JPEG-LS', ['dcmcjpls', '+el'], ['dcmdjpls']],
    ['JPEG-LS in many fragments', ['dcmcjpls', '+el', '+fs', '1'], ['dcmdjpls']],
    ['RLE', ['dcmcrle'], ['dcmdrle']],
    ['deflated', ['dcmconv', '+td'], ['dcmconv', '+te']],
    ['big endian', ['dcmconv', '+tb'], ['dcmconv', '+te']],
    ['implicit', ['dcmconv', '+ti'], ['dcmconv', '+te']],
  ];
  const cases = lossless.flatMap(([name, compress, decompress]) =>
    Object.entries(SHAPES).map(([shape, facts]) => ({ name, shape, facts, compress, decompress })),
  );
  it.each(cases)('as $name is again what it was: $shape', async ({ facts, compress, decompress }) => {
    const [program = '', ...options] = compress;
    const [judge = '', ...judging] = decompress;
    const compressed = await dcmtk(program, ...options, await writeNative(facts));
    const expected = await elementsOf(await dcmtk(judge, ...judging, compressed));
    expect(await elementsOf(await converted(compressed, EXPLICIT))).toBe(expected);
    expect(await elementsOf(await converted(compressed, IMPLICIT))).toBe(
      await elementsOf(await dcmtk('dcmconv', '+ti', await dcmtk(judge, ...judging, compressed))),
    );
  });

  it.each([
    ['JPEG baseline', 'dcmcjpeg', ['+eb'], 'grey of 8 bits, odd in size'],
    ['JPEG extended', 'dcmcjpeg', ['+ee'], 'grey of 12 bits'],
    ['JPEG-LS near lossless', 'dcmcjpls', ['+en', '+md', '3'], 'grey of 12 bits'],
  ])('with loss, as %s, is decompressed and stays marked as lossy', async (_, program, options, shape) => {
    const compressed = await dcmtk(program, ...options, await writeNative(SHAPES[shape] ?? GREY));
    const judge = program === 'dcmcjpeg' ? 'dcmdjpeg' : 'dcmdjpls';
    const ours = await elementsOf(await converted(compressed, EXPLICIT));
    expect(ours).toBe(await elementsOf(await dcmtk(judge, compressed)));
    expect(ours).toContain('(0028,2110) CS [01]');
  });

  it('with loss and without a word about it is marked as lossy, since nothing else would tell any more', async () => {
    const compressed = await dcmtk('dcmcjpeg', '+ee', await writeNative(GREY));
    await runProcess({ command: 'dcmodify', args: ['-nb', '-e', '(0028,2110)', compressed] });
    expect(await dump(compressed)).not.toContain('(0028,2110)');
    expect(await elementsOf(await converted(compressed, IMPLICIT))).toContain('(0028,2110) CS [01]');
  });

  it('as colour JPEG keeps its colour space, with a sample for each pixel', async () => {
    const colour = SHAPES['colour'] ?? GREY;
    const compressed = await dcmtk('dcmcjpeg', '+eb', '+s2', await writeNative(colour));
    const ours = await elementsOf(await converted(compressed, EXPLICIT));
    expect(ours).toContain('(0028,0004) CS [YBR_FULL]');
    const judged = await elementsOf(await dcmtk('dcmdjpeg', '+cn', compressed));
    const pixels = (text: string) => text.split('\n').find((line) => line.startsWith('PixelData'));
    expect(pixels(ours)).toBe(pixels(judged));
  });

  it('with a frame that is damaged is refused, whatever was damaged', async () => {
    for (const [program, option] of [
      ['dcmcjpeg', '+e1'],
      ['dcmcjpls', '+el'],
    ] as const) {
      const compressed = await dcmtk(program, option, await writeNative(GREY));
      const bytes = await readFile(compressed);
      bytes.fill(0x55, bytes.length - 300, bytes.length - 250);
      await writeFile(compressed, bytes);
      await expect(converted(compressed, EXPLICIT)).rejects.toMatchObject({ code: 'TRANSCODE_FAILED' });
    }
  });
});

describeWith('dcmtk', 'what is compressed as JPEG 2000', () => {
  const { Context, NativeCodecs } = dcmjsCodecs;
  type Encode = 'encodeJpeg2000' | 'encodeHtJpeg2000';

  async function compress(encode: Encode, shape: Shape, transferSyntaxUid: string): Promise<string> {
    if (!NativeCodecs.isInitialized()) await NativeCodecs.initializeAsync();
    const pixels = pixelsOf(shape);
    const size = pixels.length / shape.frames;
    const frames = Array.from({ length: shape.frames }, (_, each) => {
      const context = new Context({
        ...{
          width: shape.columns,
          height: shape.rows,
          samplesPerPixel: shape.samples,
          planarConfiguration: 0,
        },
        ...{ bitsAllocated: shape.allocated, bitsStored: shape.stored, pixelRepresentation: shape.signed },
        photometricInterpretation: shape.photometric,
        decodedBuffer: pixels.subarray(each * size, (each + 1) * size),
      });
      const encoded = Buffer.from(NativeCodecs[encode](context).getEncodedBuffer() ?? []);
      return encoded.length % 2 === 0 ? encoded : Buffer.concat([encoded, Buffer.alloc(1)]);
    });
    return write(dataSetOf(shape, encapsulatedPixels(frames)), transferSyntaxUid);
  }

  const cases = [
    ['encodeJpeg2000', '1.2.840.10008.1.2.4.90'],
    ['encodeHtJpeg2000', '1.2.840.10008.1.2.4.201'],
  ] as const;
  it.each(
    cases.flatMap(([encode, uid]) =>
      Object.entries(SHAPES).map(([name, shape]) => ({ encode, uid, name, shape })),
    ),
  )('by $encode is again what it was: $name', async ({ encode, uid, shape }) => {
    const ours = await elementsOf(await converted(await compress(encode, shape, uid), EXPLICIT));
    expect(ours).toBe(await elementsOf(await writeNative(shape)));
  });

  it.each(cases)(
    'by %s and damaged is refused, or is at least whole where nothing tells',
    async (encode, uid) => {
      const compressed = await compress(encode, GREY, uid);
      const bytes = await readFile(compressed);
      await writeFile(compressed, Buffer.concat([bytes.subarray(0, bytes.length - 600), bytes.subarray(-8)]));
      await expect(converted(compressed, EXPLICIT)).rejects.toMatchObject({ code: 'TRANSCODE_FAILED' });
    },
  );
});
