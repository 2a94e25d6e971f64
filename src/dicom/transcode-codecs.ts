/**
 * The decoders of dcmjs-codecs (IJG, CharLS, OpenJPEG, OpenJPH, as WebAssembly), one frame at a time: what they are
 * given is checked before (`transcode-codestream`), what they give back is not yet in the layout of the data set. Two of
 * them would rather give a picture with holes than none: IJG fills up what is broken and mentions it, and its words are
 * the only sign of that; OpenJPH says nothing at all, so OpenJPEG must come to the same pixels.
 */
import dcmjsCodecs from 'dcmjs-codecs';
import { GatewayError } from '../errors/gateway-error.js';
import type { Codestream } from './transcode-codestream.js';

export type CodecKind = 'jpeg' | 'jpeg-ls' | 'jpeg-2000' | 'htj2k';

type Decode = 'decodeJpeg' | 'decodeJpegLs' | 'decodeJpeg2000' | 'decodeHtJpeg2000';

/** What libraries say when they go on in spite of broken data (jerror.h of IJG; warnings of OpenJPEG). */
const BROKEN = /::(?:Corrupt JPEG data|Premature end|Inconsistent progression)|OpjMessageCallbackWarning/;
/** Neither of two decoders of one irreversible frame is wrong when they round differently. */
const ROUNDING = 1;

const EOI = Buffer.from([0xff, 0xd9]);

const { Context, NativeCodecs, log } = dcmjsCodecs;
let complaint = false;

/**
 * Decodes one frame: samples of one byte, or two above eight bits, little endian; colour by pixel, but as `isPlanar` says.
 * @throws TRANSCODE_FAILED
 */
export async function decodeCodec(kind: CodecKind, data: Buffer, head: Codestream): Promise<Buffer> {
  if (kind === 'jpeg') return run('decodeJpeg', data, head);
  if (kind === 'jpeg-ls') return decodeJpegLs(data, head);
  return kind === 'htj2k' ? decodeTwice(data, head) : decodeJpeg2000(data, head);
}

/** CharLS refuses a byte of padding in front of the end, which encoders of old wrote to make the length even. */
async function decodeJpegLs(data: Buffer, head: Codestream): Promise<Buffer> {
  const end = data.lastIndexOf(EOI);
  const isPadded = end > 0 && data[end - 1] === 0;
  return run('decodeJpegLs', data, head).catch((error: unknown) => {
    if (!isPadded) throw error;
    return run('decodeJpegLs', Buffer.concat([data.subarray(0, end - 1), EOI]), head);
  });
}

async function decodeJpeg2000(data: Buffer, head: Codestream): Promise<Buffer> {
  // It cuts three samples to eight bits each.
  if (head.samples > 1 && head.precision > 8) throw failed('colours of more than 8 bits are not supported');
  return run('decodeJpeg2000', data, head);
}

async function decodeTwice(data: Buffer, head: Codestream): Promise<Buffer> {
  const second = await decodeJpeg2000(data, head);
  // OpenJPH takes negative values of eight bits for zero; there the other one alone has to do.
  if (head.isSigned === true && head.precision <= 8) return second;
  const first = await run('decodeHtJpeg2000', data, head);
  const tolerance = head.isLossy ? ROUNDING : 0;
  const wide = head.precision > 8;
  for (let at = 0; at < first.length; at += wide ? 2 : 1) {
    const a = wide ? first.readInt16LE(at) : first.readUInt8(at);
    const b = wide ? second.readInt16LE(at) : second.readUInt8(at);
    if (Math.abs(a - b) > tolerance) throw failed('two decoders do not agree on it');
  }
  return first;
}

async function load(): Promise<void> {
  if (NativeCodecs.isInitialized()) return;
  log.info = (...words: unknown[]) => {
    complaint ||= words.some((word) => BROKEN.test(String(word)));
  };
  log.error = () => {};
  await NativeCodecs.initializeAsync({ logCodecsInfo: true });
}

async function run(decode: Decode, data: Buffer, head: Codestream): Promise<Buffer> {
  await load();
  const { columns, rows, samples, precision } = head;
  const bitsAllocated = precision > 8 ? 16 : 8;
  complaint = false;
  let decoded: Uint8Array | undefined;
  try {
    const context = new Context({
      ...{ width: columns, height: rows, samplesPerPixel: samples, planarConfiguration: 0 },
      ...{ bitsAllocated, bitsStored: precision, pixelRepresentation: head.isSigned === true ? 1 : 0 },
      // Colours are none of the decoders' business, as long as they are not told of any.
      photometricInterpretation: samples === 1 ? 'MONOCHROME2' : 'RGB',
      encodedBuffer: data,
    });
    decoded = NativeCodecs[decode](context).getDecodedBuffer();
  } catch (cause) {
    // An exception leaves its memory and its stack as they were: the next frame gets a new instance.
    NativeCodecs.release();
    throw new GatewayError('TRANSCODE_FAILED', 'a frame cannot be decoded: it is damaged, or not supported', {
      cause,
    });
  }
  if (complaint) throw failed('it is damaged');
  const expected = columns * rows * samples * (bitsAllocated / 8);
  if (decoded?.length !== expected) throw failed(`expected ${expected} bytes, got ${decoded?.length ?? 0}`);
  return Buffer.from(decoded.buffer, decoded.byteOffset, decoded.length);
}

function failed(message: string): GatewayError {
  return new GatewayError('TRANSCODE_FAILED', `a frame cannot be decoded: ${message}`);
}
