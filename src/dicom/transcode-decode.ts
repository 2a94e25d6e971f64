/**
 * Compressed frame → native frame as its data set describes it (PS3.5 §8): the same samples in Bits Allocated, colour by
 * pixel or by plane as Planar Configuration says. Colours stay what the frame has: YCbCr is not made RGB, since that
 * rounds. Only where the format transforms colours itself and reversibly to its own ends (JPEG 2000: YBR_RCT, YBR_ICT)
 * are they RGB afterwards, and where it keeps fewer colour samples (YBR_FULL_422) is there one for each pixel (YBR_FULL).
 */
import { inflateRawSync } from 'node:zlib';
import { GatewayError } from '../errors/gateway-error.js';
import { type CodecKind, decodeCodec } from './transcode-codecs.js';
import { bareCodestream, type Codestream, readCodestream } from './transcode-codestream.js';
import type { ImageFacts } from './transcode-image.js';
import { decodeRle } from './transcode-rle.js';

export type FrameKind = CodecKind | 'rle' | 'native' | 'deflated';

/** How the frames of an encapsulated transfer syntax are compressed. What is not here cannot be decoded: video, JPIP, XML. */
export const FRAME_KINDS: ReadonlyMap<string, FrameKind> = new Map([
  ['1.2.840.10008.1.2.1.98', 'native'],
  ['1.2.840.10008.1.2.4.50', 'jpeg'],
  ['1.2.840.10008.1.2.4.51', 'jpeg'],
  ['1.2.840.10008.1.2.4.53', 'jpeg'],
  ['1.2.840.10008.1.2.4.55', 'jpeg'],
  ['1.2.840.10008.1.2.4.57', 'jpeg'],
  ['1.2.840.10008.1.2.4.70', 'jpeg'],
  ['1.2.840.10008.1.2.4.80', 'jpeg-ls'],
  ['1.2.840.10008.1.2.4.81', 'jpeg-ls'],
  ['1.2.840.10008.1.2.4.90', 'jpeg-2000'],
  ['1.2.840.10008.1.2.4.91', 'jpeg-2000'],
  ['1.2.840.10008.1.2.4.201', 'htj2k'],
  ['1.2.840.10008.1.2.4.202', 'htj2k'],
  ['1.2.840.10008.1.2.4.203', 'htj2k'],
  ['1.2.840.10008.1.2.5', 'rle'],
  ['1.2.840.10008.1.2.8.1', 'deflated'],
]);

/** What the frames of an image are, as far as its data set must say it. */
export interface FrameNature {
  /** Photometric Interpretation of the native frames. */
  readonly photometric: string;
  /** The compression has certainly lost information. */
  readonly isLossy: boolean;
}

/** @param first the first frame, compressed. @throws TRANSCODE_FAILED when image and frame contradict each other */
export function frameNature(kind: FrameKind, image: ImageFacts, first: Buffer): FrameNature {
  if (kind === 'native' || kind === 'deflated') return { photometric: image.photometric, isLossy: false };
  const head = kind === 'rle' ? undefined : headOf(kind, image, first);
  return { photometric: photometricAfter(image, head), isLossy: head?.isLossy ?? false };
}

/** The native frame, `image.frameBytes` long. @throws TRANSCODE_FAILED */
export async function decodeFrame(kind: FrameKind, image: ImageFacts, data: Buffer): Promise<Buffer> {
  const { samples, bitsAllocated, frameBytes } = image;
  if (kind === 'native') return exactly(data, image);
  if (kind === 'deflated') return exactly(inflate(data, frameBytes), image);
  const bytesPerSample = bitsAllocated / 8;
  if (kind === 'rle') {
    const shape = { pixels: image.rows * image.columns, samples, bytesPerSample };
    return arranged(decodeRle(data, shape), image, bytesPerSample, false);
  }
  const head = headOf(kind, image, data);
  const bare = kind === 'jpeg' || kind === 'jpeg-ls' ? data : bareCodestream(data);
  const decoded = await decodeCodec(kind, bare, head);
  const widened =
    head.precision <= 8 && bytesPerSample === 2 ? widen(decoded, head.isSigned === true) : decoded;
  return arranged(widened, image, bytesPerSample, head.isPlanar === true);
}

/** Its head, which fits the image. */
function headOf(kind: CodecKind, image: ImageFacts, data: Buffer): Codestream {
  const isJpeg = kind === 'jpeg' || kind === 'jpeg-ls';
  const head = readCodestream(isJpeg ? kind : 'jpeg-2000', isJpeg ? data : bareCodestream(data));
  const { rows, columns, samples, bitsAllocated, bitsStored, highBit, isSigned } = image;
  if (head.rows !== rows || head.columns !== columns || head.samples !== samples) {
    throw contradiction('is of another size than the image says');
  }
  if (head.precision > bitsAllocated || head.precision < 2 || bitsAllocated > 16) {
    throw contradiction(`has samples of ${head.precision} bits, the image says ${bitsAllocated}`);
  }
  if (highBit !== bitsStored - 1 && head.precision <= highBit) {
    throw contradiction('has its samples in other bits than the image says');
  }
  // Below Bits Stored a sample has no sign, unless the format has one for it.
  if (isSigned && head.precision < bitsStored && head.isSigned !== true) {
    throw contradiction('has no sign where the image says that it has');
  }
  if (head.isSigned === true && !isSigned)
    throw contradiction('has a sign where the image says that it has none');
  return head;
}

/** As it is natively; PS3.5 §8.2 for each format. */
function photometricAfter({ photometric, samples }: ImageFacts, head: Codestream | undefined): string {
  if (samples === 1) return photometric;
  const isTransformed = head?.isColourTransformed;
  if (photometric === 'YBR_RCT' || photometric === 'YBR_ICT') {
    if (isTransformed !== true) throw contradiction(`is not coded as ${photometric}`);
    return 'RGB';
  }
  if (photometric === 'RGB') {
    if (head?.isYcbcr === true) throw contradiction('is YCbCr, the image says RGB');
    return photometric;
  }
  if (isTransformed === true) throw contradiction(`is coded as RGB, the image says ${photometric}`);
  if (photometric === 'YBR_FULL' || photometric === 'YBR_FULL_422') return 'YBR_FULL';
  throw new GatewayError(
    'TRANSCODE_FAILED',
    'colours of this Photometric Interpretation cannot be converted',
  );
}

function exactly(data: Buffer, { frameBytes, photometric }: ImageFacts): Buffer {
  if (photometric === 'YBR_FULL_422') {
    throw new GatewayError('TRANSCODE_FAILED', 'frames of YBR_FULL_422 cannot be converted as they are');
  }
  // One byte of padding, where the frame is odd.
  if (data.length !== frameBytes + (frameBytes % 2) && data.length !== frameBytes) {
    throw contradiction(`has ${data.length} bytes, the image says ${frameBytes}`);
  }
  return data.subarray(0, frameBytes);
}

function inflate(data: Buffer, frameBytes: number): Buffer {
  try {
    return inflateRawSync(data, { maxOutputLength: frameBytes + 1 });
  } catch (cause) {
    throw new GatewayError(
      'TRANSCODE_FAILED',
      'a frame cannot be decoded: it is no deflate stream of its size',
      {
        cause,
      },
    );
  }
}

/** Samples of one byte in two. */
function widen(narrow: Buffer, isSigned: boolean): Buffer {
  const wide = Buffer.allocUnsafeSlow(narrow.length * 2);
  for (let at = 0; at < narrow.length; at += 1) {
    if (isSigned) wide.writeInt16LE(narrow.readInt8(at), 2 * at);
    else wide.writeUInt16LE(narrow[at] ?? 0, 2 * at);
  }
  return wide;
}

/** From the decoder's arrangement of colours to the data set's. */
function arranged(frame: Buffer, image: ImageFacts, bytesPerSample: number, isPlanar: boolean): Buffer {
  const { samples } = image;
  if (samples === 1 || isPlanar === image.isPlanar) return frame;
  const pixels = image.rows * image.columns;
  const other = Buffer.allocUnsafeSlow(frame.length);
  for (let pixel = 0; pixel < pixels; pixel += 1) {
    for (let sample = 0; sample < samples; sample += 1) {
      const interleaved = (pixel * samples + sample) * bytesPerSample;
      const planar = (sample * pixels + pixel) * bytesPerSample;
      const [from, to] = isPlanar ? [planar, interleaved] : [interleaved, planar];
      frame.copy(other, to, from, from + bytesPerSample);
    }
  }
  return other;
}

function contradiction(message: string): GatewayError {
  return new GatewayError('TRANSCODE_FAILED', `a frame ${message}`);
}
