/** What an image says of itself (Image Pixel Module, PS3.3 §C.7.6.3), as far as its conversion depends on it. */
import { GatewayError } from '../errors/gateway-error.js';
import { type ElementEncoding, walkElements } from './element-walk.js';
import { trimPadding } from './padding.js';
import type { SourceFile } from './transcode-file.js';

export const PHOTOMETRIC_INTERPRETATION = 0x00280004;
export const LOSSY_IMAGE_COMPRESSION = 0x00282110;

const ATTRIBUTES = {
  samples: 0x00280002,
  photometric: PHOTOMETRIC_INTERPRETATION,
  planar: 0x00280006,
  frames: 0x00280008,
  rows: 0x00280010,
  columns: 0x00280011,
  bitsAllocated: 0x00280100,
  bitsStored: 0x00280101,
  highBit: 0x00280102,
  pixelRepresentation: 0x00280103,
  lossy: LOSSY_IMAGE_COMPRESSION,
} as const;

/** Native Pixel Data has a 32-bit length, and it is even (PS3.5 §7.1.1). */
const MAX_PIXEL_BYTES = 0xfffffffe;
/** Decoders take several times as much, and have 2 GiB. Whole slides of pathology come in frames far below that. */
const MAX_FRAME_BYTES = 256 * 1024 * 1024;

export interface ImageFacts {
  readonly rows: number;
  readonly columns: number;
  readonly samples: number;
  readonly frames: number;
  readonly photometric: string;
  /** Native Pixel Data stands colour by plane. */
  readonly isPlanar: boolean;
  readonly bitsAllocated: number;
  readonly bitsStored: number;
  readonly highBit: number;
  readonly isSigned: boolean;
  /** Lossy Image Compression is 01. */
  readonly saysLossy: boolean;
  /** Of one native frame, and of all. */
  readonly frameBytes: number;
  readonly pixelBytes: number;
}

/** Whether "US or SS" is SS, in a data set that need not be an image. */
export function readIsSigned(source: SourceFile, encoding: ElementEncoding): boolean {
  return (
    readNumber(walk(source, encoding, [ATTRIBUTES.pixelRepresentation]), 'pixelRepresentation', encoding) ===
    1
  );
}

/**
 * @throws TRANSCODE_FAILED when it does not say what its frames are, or they would be larger than native Pixel Data
 * can be; DATASET_UNREADABLE
 */
export function readImage(source: SourceFile, encoding: ElementEncoding): ImageFacts {
  const values = walk(source, encoding, Object.values(ATTRIBUTES));
  const number = (name: keyof typeof ATTRIBUTES, otherwise?: number) => {
    const value = readNumber(values, name, encoding) ?? otherwise;
    if (value === undefined) throw failed('the image does not say how its pixels are laid out');
    return value;
  };
  const text = (name: keyof typeof ATTRIBUTES) =>
    trimPadding((values.get(ATTRIBUTES[name]) ?? Buffer.alloc(0)).toString('latin1'));
  const frames = Number(text('frames') || '1');
  if (!Number.isInteger(frames) || frames < 1) throw failed('Number of Frames is not a number');
  const rows = number('rows');
  const columns = number('columns');
  const samples = number('samples', 1);
  const bitsAllocated = number('bitsAllocated');
  const frameBytes = rows * columns * samples * (bitsAllocated / 8);
  const pixelBytes = frameBytes * frames;
  if (frameBytes === 0 || ![8, 16, 32].includes(bitsAllocated) || ![1, 3].includes(samples)) {
    throw failed(`images of ${samples} samples with ${bitsAllocated} bits cannot be converted`);
  }
  if (frameBytes > MAX_FRAME_BYTES || pixelBytes > MAX_PIXEL_BYTES) {
    throw failed(`decompressed it would have ${pixelBytes} bytes, which is more than can be`);
  }
  return {
    ...{ rows, columns, samples, frames, bitsAllocated, frameBytes, pixelBytes },
    photometric: text('photometric'),
    isPlanar: samples > 1 && number('planar', 0) === 1,
    bitsStored: number('bitsStored'),
    highBit: number('highBit', number('bitsStored') - 1),
    isSigned: number('pixelRepresentation', 0) === 1,
    saysLossy: text('lossy') === '01',
  };
}

function walk(
  source: SourceFile,
  encoding: ElementEncoding,
  tags: readonly number[],
): ReadonlyMap<number, Buffer> {
  const walker = walkElements({ encoding, wanted: new Set(tags), sizeBytes: source.sizeBytes });
  let step = walker.next();
  while (!step.done) {
    // The walk keeps values, and the source reuses its window.
    step = walker.next(Buffer.from(source.read(step.value.offset, step.value.length)));
  }
  return step.value;
}

function readNumber(
  values: ReadonlyMap<number, Buffer>,
  name: keyof typeof ATTRIBUTES,
  encoding: ElementEncoding,
): number | undefined {
  const bytes = values.get(ATTRIBUTES[name]);
  if (bytes === undefined || bytes.length < 2) return undefined;
  return encoding === 'explicit-be' ? bytes.readUInt16BE(0) : bytes.readUInt16LE(0);
}

function failed(message: string): GatewayError {
  return new GatewayError('TRANSCODE_FAILED', message);
}
