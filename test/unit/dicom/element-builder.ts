/** Data sets made by hand, element by element, in every encoding. For tests. */
import { deflateRawSync } from 'node:zlib';

export type BuildEncoding = 'implicit-le' | 'explicit-le' | 'explicit-be';

const LONG_VRS = new Set(['OB', 'OV', 'OW', 'SQ', 'UN', 'UT']);
const UNDEFINED_LENGTH = 0xffffffff;

/** One element; `length` overrides the honest one. Text is padded to even length. */
export function element(
  encoding: BuildEncoding,
  tag: number,
  vr: string,
  value: string | Buffer,
  length?: number,
): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'latin1') : value;
  const even =
    bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.from(vr === 'UI' ? '\0' : ' ', 'latin1')]);
  return Buffer.concat([elementHead(encoding, tag, vr, length ?? even.length), even]);
}

function elementHead(encoding: BuildEncoding, tag: number, vr: string, length: number): Buffer {
  const head = Buffer.alloc(12);
  const be = encoding === 'explicit-be';
  const u16 = (value: number, at: number) =>
    be ? head.writeUInt16BE(value, at) : head.writeUInt16LE(value, at);
  const u32 = (value: number, at: number) =>
    be ? head.writeUInt32BE(value, at) : head.writeUInt32LE(value, at);
  u16(Math.floor(tag / 0x10000), 0);
  u16(tag % 0x10000, 2);
  if (encoding === 'implicit-le' || vr === '') {
    u32(length, 4);
    return head.subarray(0, 8);
  }
  head.write(vr, 4, 'latin1');
  if (LONG_VRS.has(vr)) {
    u32(length, 8);
    return head;
  }
  u16(length, 6);
  return head.subarray(0, 8);
}

/** A sequence of undefined length whose items have undefined length too. */
export function undefinedSequence(
  encoding: BuildEncoding,
  tag: number,
  items: readonly Buffer[],
  vr = 'SQ',
): Buffer {
  const inner = vr === 'UN' ? 'implicit-le' : encoding;
  return Buffer.concat([
    elementHead(encoding, tag, vr, UNDEFINED_LENGTH),
    ...items.flatMap((item) => [
      elementHead(inner, 0xfffee000, '', UNDEFINED_LENGTH),
      item,
      elementHead(inner, 0xfffee00d, '', 0),
    ]),
    elementHead(inner, 0xfffee0dd, '', 0),
  ]);
}

/** Encapsulated Pixel Data (PS3.5 §A.4): an empty offset table, then the fragments as they are. */
export function encapsulatedPixels(fragments: readonly Buffer[], tag = 0x7fe00010): Buffer {
  return Buffer.concat([
    elementHead('explicit-le', tag, 'OB', UNDEFINED_LENGTH),
    elementHead('explicit-le', 0xfffee000, '', 0),
    ...fragments.flatMap((fragment) => [
      elementHead('explicit-le', 0xfffee000, '', fragment.length),
      fragment,
    ]),
    elementHead('explicit-le', 0xfffee0dd, '', 0),
  ]);
}

export interface Identity {
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
  readonly studyInstanceUid: string;
  readonly seriesInstanceUid: string;
}

export const CT_IMAGE_STORAGE = '1.2.840.10008.5.1.4.1.1.2';
export const IDENTITY: Identity = {
  sopClassUid: CT_IMAGE_STORAGE,
  sopInstanceUid: '2.25.1001',
  studyInstanceUid: '2.25.2001',
  seriesInstanceUid: '2.25.3001',
};

/** A small instance: what a header reader looks for, with a few elements between, then `pixels`. */
export function dataSet(
  encoding: BuildEncoding,
  pixels: Buffer = element(encoding, 0x7fe00010, 'OW', Buffer.alloc(16, 7)),
  identity: Identity = IDENTITY,
): Buffer {
  const e = (tag: number, vr: string, value: string | Buffer) => element(encoding, tag, vr, value);
  return Buffer.concat([
    e(0x00080005, 'CS', 'ISO_IR 100'),
    e(0x00080016, 'UI', identity.sopClassUid),
    e(0x00080018, 'UI', identity.sopInstanceUid),
    e(0x00080020, 'DA', '20260102'),
    e(0x00080050, 'SH', ''),
    e(0x00080060, 'CS', 'CT'),
    e(0x00081030, 'LO', 'Sch\xe4del'),
    undefinedSequence(encoding, 0x00081140, [e(0x00081155, 'UI', '2.25.9'), e(0x00081155, 'UI', '2.25.99')]),
    e(0x00090010, 'LO', 'DRAWBRIDGE TEST'),
    e(0x00091001, 'UN', Buffer.alloc(6)),
    e(0x00100010, 'PN', 'Phantom^Petra'),
    e(0x00100020, 'LO', ' P-1 '),
    e(0x0020000d, 'UI', identity.studyInstanceUid),
    e(0x0020000e, 'UI', identity.seriesInstanceUid),
    e(0x00280008, 'IS', '12'),
    pixels,
  ]);
}

export const deflate = (bytes: Buffer): Buffer => deflateRawSync(bytes);
