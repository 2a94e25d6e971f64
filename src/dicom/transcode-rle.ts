/**
 * RLE Lossless (PS3.5 Annex G): one segment for each byte of each sample, the most significant first. Decoded here and
 * strictly: a segment that ends too early, or holds more than the frame, is an error and no black area.
 */
import { GatewayError } from '../errors/gateway-error.js';

const HEADER_BYTES = 64;
const MAX_SEGMENTS = 15;

export interface RleShape {
  readonly pixels: number;
  readonly samples: number;
  readonly bytesPerSample: number;
}

/** The frame in little endian samples, colour by pixel. @throws TRANSCODE_FAILED */
export function decodeRle(data: Buffer, { pixels, samples, bytesPerSample }: RleShape): Buffer {
  if (data.length < HEADER_BYTES) throw failed('its head is cut off');
  const segments = data.readUInt32LE(0);
  if (segments !== samples * bytesPerSample || segments > MAX_SEGMENTS) {
    throw failed(`expected ${samples * bytesPerSample} segments, got ${segments}`);
  }
  const frame = Buffer.alloc(pixels * segments);
  for (let segment = 0; segment < segments; segment += 1) {
    const start = data.readUInt32LE(4 + 4 * segment);
    const end = segment + 1 < segments ? data.readUInt32LE(8 + 4 * segment) : data.length;
    if (start < HEADER_BYTES || start > end || end > data.length) throw failed('a segment lies outside');
    const sample = Math.floor(segment / bytesPerSample);
    const byte = bytesPerSample - 1 - (segment % bytesPerSample);
    decodeSegment(data.subarray(start, end), frame, sample * bytesPerSample + byte, segments, pixels);
  }
  return frame;
}

/** @param step from one byte of the segment to the next in the frame */
function decodeSegment(segment: Buffer, frame: Buffer, first: number, step: number, pixels: number): void {
  let to = first;
  let left = pixels;
  let at = 0;
  while (left > 0) {
    const control = segment[at];
    if (control === undefined) throw failed('a segment is too short');
    at += 1;
    if (control === 128) continue;
    const count = control < 128 ? control + 1 : 257 - control;
    const isRun = control > 128;
    if (at + (isRun ? 1 : count) > segment.length) throw failed('a segment is too short');
    if (count > left) throw failed('a segment is too long');
    for (let each = 0; each < count; each += 1) {
      frame[to] = segment[isRun ? at : at + each] ?? 0;
      to += step;
    }
    at += isRun ? 1 : count;
    left -= count;
  }
}

function failed(message: string): GatewayError {
  return new GatewayError('TRANSCODE_FAILED', `a frame cannot be decoded: ${message}`);
}
