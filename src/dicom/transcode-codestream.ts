/**
 * The head of a compressed frame: what it says of itself before anything is decoded. JPEG and JPEG-LS (ITU-T T.81 §B.2,
 * T.87 §C.2) by their markers, JPEG 2000 and HTJ2K (T.800 §A.5) by SIZ and COD. A frame that is not as large as its data
 * set says, or contradicts it in another way, is never given to a decoder: that is written in C, and allocates by what
 * the frame says.
 */
import { GatewayError } from '../errors/gateway-error.js';

export interface Codestream {
  readonly columns: number;
  readonly rows: number;
  readonly samples: number;
  /** Bits of each sample. */
  readonly precision: number;
  /** Samples are signed; undefined where the format does not say. */
  readonly isSigned?: boolean;
  /** It certainly lost information when it was compressed. */
  readonly isLossy: boolean;
  /** Colours were transformed, and are transformed back by the decoder. */
  readonly isColourTransformed?: boolean;
  /** It says of itself that it is YCbCr, or has fewer samples of colour than of light. */
  readonly isYcbcr?: boolean;
  /** JPEG-LS: one component after the other, and so does its decoder write them. */
  readonly isPlanar?: boolean;
}

export type CodestreamKind = 'jpeg' | 'jpeg-ls' | 'jpeg-2000';

/** @throws TRANSCODE_FAILED */
export function readCodestream(kind: CodestreamKind, data: Buffer): Codestream {
  try {
    return kind === 'jpeg-2000' ? readJpeg2000(data) : readJpeg(data, kind);
  } catch (error) {
    // All reads are bounded by the buffer: past its end it is a RangeError.
    if (error instanceof RangeError) throw failed('its head is cut off');
    throw error;
  }
}

const SOI = 0xffd8;
const SOS = 0xffda;
const APP0 = 0xffe0;
const APP14 = 0xffee;
const SOF_LOSSLESS = 0xffc3;
const SOF_JPEG_LS = 0xfff7;
/** Baseline, extended, progressive, lossless. Hierarchical and arithmetic ones no device writes. */
const JPEG_FRAMES = [0xffc0, 0xffc1, 0xffc2, SOF_LOSSLESS];

function readJpeg(data: Buffer, kind: 'jpeg' | 'jpeg-ls'): Codestream {
  if (data.readUInt16BE(0) !== SOI) throw failed('it does not begin as JPEG does');
  if (!endsWithEoi(data)) throw failed('its end is missing');
  let frame:
    | { rows: number; columns: number; samples: number; precision: number; isSubsampled: boolean }
    | undefined;
  let sof = 0;
  let isYcbcr = false;
  for (let offset = 2; ; ) {
    const marker = data.readUInt16BE(offset);
    if (marker === 0xffff) {
      offset += 1;
      continue;
    }
    if (marker < 0xff01) throw failed('its head is broken');
    const length = data.readUInt16BE(offset + 2);
    const at = offset + 4;
    if (marker === SOS) {
      if (frame === undefined) throw failed('it has no frame header');
      const tail = at + 1 + 2 * data.readUInt8(at);
      const { isSubsampled, ...size } = frame;
      return {
        ...size,
        isLossy: kind === 'jpeg' ? sof !== SOF_LOSSLESS : data.readUInt8(tail) > 0,
        isYcbcr: isYcbcr || isSubsampled,
        isPlanar: kind === 'jpeg-ls' && size.samples > 1 && data.readUInt8(tail + 1) === 0,
      };
    }
    const isFrame = kind === 'jpeg' ? JPEG_FRAMES.includes(marker) : marker === SOF_JPEG_LS;
    const isOtherFrame = marker >= 0xffc0 && marker <= 0xffcf && ![0xffc4, 0xffc8, 0xffcc].includes(marker);
    if (isFrame) {
      if (frame !== undefined) throw failed('it has two frame headers');
      sof = marker;
      const samples = data.readUInt8(at + 5);
      const factors = Array.from({ length: samples }, (_, each) => data.readUInt8(at + 7 + 3 * each));
      frame = {
        precision: data.readUInt8(at),
        rows: data.readUInt16BE(at + 1),
        columns: data.readUInt16BE(at + 3),
        samples,
        isSubsampled: factors.some((factor) => factor !== factors[0]),
      };
    } else if (isOtherFrame) {
      throw failed('it is compressed in a way that is not supported');
    }
    if (marker === APP0 && data.toString('latin1', at, at + 5) === 'JFIF\0') isYcbcr = true;
    if (marker === APP14 && data.toString('latin1', at, at + 5) === 'Adobe')
      isYcbcr = data.readUInt8(at + 11) === 1;
    offset += 2 + length;
  }
}

/** Behind the end there may be padding (PS3.5 §A.4), of zeros or fill bytes. */
function endsWithEoi(data: Buffer): boolean {
  let end = data.length;
  while (end > 2 && (data[end - 1] === 0x00 || data[end - 1] === 0xff)) end -= 1;
  return data[end - 2] === 0xff && data[end - 1] === 0xd9;
}

const CAP = 0xff50;
const COD = 0xff52;
const SOT = 0xff90;

/** The codestream within a JP2 file, which some writers wrap around it; the data itself where there is none. */
export function bareCodestream(data: Buffer): Buffer {
  if (data.length < 12 || data.readUInt32BE(4) !== 0x6a502020) return data;
  const at = data.indexOf(Buffer.from('ff4fff51', 'hex'));
  return at < 0 ? data : data.subarray(at);
}

function readJpeg2000(data: Buffer): Codestream {
  if (data.readUInt32BE(0) !== 0xff4fff51) throw failed('it does not begin as JPEG 2000 does');
  const at = 6;
  const u32 = (offset: number) => data.readUInt32BE(at + offset);
  const samples = data.readUInt16BE(at + 34);
  const components = Array.from({ length: Math.min(samples, 4) }, (_, each) => at + 36 + 3 * each);
  const depths = components.map((offset) => data.readUInt8(offset));
  const isSubsampled = components.some((offset) => data.readUInt16BE(offset + 1) !== 0x0101);
  if (isSubsampled || depths.some((depth) => depth !== depths[0])) throw failed('its components differ');
  const depth = depths[0] ?? 0;
  const tiles = Math.ceil(u32(2) / u32(18)) * Math.ceil(u32(6) / u32(22));
  if (!(tiles <= 0xffff)) throw failed('it has too many tiles');
  for (let offset = 2; ; ) {
    const marker = data.readUInt16BE(offset);
    if (marker === SOT) throw failed('it does not say how it is coded');
    if (marker === COD) {
      return {
        columns: u32(2) - u32(10),
        rows: u32(6) - u32(14),
        samples,
        precision: (depth & 0x7f) + 1,
        isSigned: depth >= 0x80,
        isColourTransformed: data.readUInt8(offset + 8) === 1,
        // 9-7 is not reversible; 5-3 is, though layers may have been left out.
        isLossy: data.readUInt8(offset + 13) === 0,
      };
    }
    if (marker < CAP) throw failed('its head is broken');
    offset += 2 + data.readUInt16BE(offset + 2);
  }
}

function failed(message: string): GatewayError {
  return new GatewayError('TRANSCODE_FAILED', `a frame cannot be decoded: ${message}`);
}
