/**
 * DICOM file meta information (PS3.10 §7.1): 128 bytes of preamble, `DICM`, and group 0002 in Explicit VR Little
 * Endian. Both directions stand here so that they cannot drift apart. What follows group 0002 is the data set, which
 * this file does not look at.
 */
import { GatewayError } from '../errors/gateway-error.js';
import { trimPadding } from './padding.js';
import { PREAMBLE_BYTES } from './preamble.js';

/** Ours, derived from a UUID (PS3.5 §B.2); it never changes, so that files stay reproducible. */
export const IMPLEMENTATION_CLASS_UID = '2.25.47809414141881900547405959218112175338';
/** (0002,0013), at most 16 characters. */
export const IMPLEMENTATION_VERSION_NAME = 'DRAWBRIDGE';

const META_OFFSET = PREAMBLE_BYTES + 4;
/** No real file has an element this long in group 0002; a claim above it is a broken or hostile file. */
const MAX_META_VALUE_BYTES = 1024 * 1024;
/** VRs with a 32-bit length behind two reserved bytes (PS3.5 §7.1.2). */
const LONG_VRS = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'SQ', 'SV', 'UC', 'UN', 'UR', 'UT', 'UV']);

const META = {
  mediaStorageSopClassUid: 0x0002,
  mediaStorageSopInstanceUid: 0x0003,
  transferSyntaxUid: 0x0010,
  implementationClassUid: 0x0012,
  implementationVersionName: 0x0013,
  sendingAe: 0x0017,
  receivingAe: 0x0018,
} as const;

/** Preamble, prefix, and File Meta Information Group Length (0002,0000) without its value. */
const BEFORE_GROUP_LENGTH = `${'\0'.repeat(PREAMBLE_BYTES)}DICM\x02\x00\x00\x00UL\x04\x00`;
/** File Meta Information Version (0002,0001): OB, two bytes 00 01. */
const META_VERSION = '\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01';

/** What the header of a file says about its data set. */
export interface FileMetaContent {
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
  readonly transferSyntaxUid: string;
  /** Sending Application Entity Title (0002,0017): who called when the instance arrived. */
  readonly sendingAe?: string;
  /** Receiving Application Entity Title (0002,0018): whom they called. */
  readonly receivingAe?: string;
}

export interface FileMeta extends FileMetaContent {
  /** Where the data set begins: the length of preamble, prefix and group 0002 in bytes. */
  readonly dataSetOffset: number;
}

/** The header of a file; the same content gives the same bytes, always. */
export function formatFileMeta(content: FileMetaContent): Buffer {
  const elements = [
    formatElement(META.mediaStorageSopClassUid, 'UI', content.sopClassUid),
    formatElement(META.mediaStorageSopInstanceUid, 'UI', content.sopInstanceUid),
    formatElement(META.transferSyntaxUid, 'UI', content.transferSyntaxUid),
    formatElement(META.implementationClassUid, 'UI', IMPLEMENTATION_CLASS_UID),
    formatElement(META.implementationVersionName, 'SH', IMPLEMENTATION_VERSION_NAME),
    content.sendingAe ? formatElement(META.sendingAe, 'AE', content.sendingAe) : '',
    content.receivingAe ? formatElement(META.receivingAe, 'AE', content.receivingAe) : '',
  ].join('');
  const groupLength = latin1(META_VERSION.length + elements.length, 4);
  return Buffer.from(`${BEFORE_GROUP_LENGTH}${groupLength}${META_VERSION}${elements}`, 'latin1');
}

/** As text of one character for each byte. Values have even length: UI is padded with NUL, text with a blank (PS3.5 §6.2). */
function formatElement(element: number, vr: 'UI' | 'SH' | 'AE', value: string): string {
  const text = value.length % 2 === 0 ? value : `${value}${vr === 'UI' ? '\0' : ' '}`;
  return `${latin1(0x0002, 2)}${latin1(element, 2)}${vr}${latin1(text.length, 2)}${text}`;
}

/** A number of so many bytes, little endian. */
function latin1(value: number, bytes: 2 | 4): string {
  const low = String.fromCharCode(value & 0xff, (value >>> 8) & 0xff);
  return bytes === 2 ? low : `${low}${String.fromCharCode((value >>> 16) & 0xff, value >>> 24)}`;
}

/**
 * Reads the header from the first bytes of a file. Liberal: the group length may be missing, or end within an element,
 * elements may stand in any order, and unknown ones are passed over.
 * @returns undefined when `head` ends before the header does: call again with more
 * @throws DATASET_UNREADABLE when it is no Part 10 file, or one of the three UIDs is missing
 */
export function parseFileMeta(head: Buffer): FileMeta | undefined {
  if (head.length < META_OFFSET) return undefined;
  if (head.toString('latin1', PREAMBLE_BYTES, META_OFFSET) !== 'DICM') {
    throw unreadable('file is not DICOM: it has no DICM prefix', PREAMBLE_BYTES);
  }
  const values = new Map<number, string>();
  let declaredEnd = -1;
  let offset = META_OFFSET;
  for (;;) {
    // A data set may begin with any two bytes: deflated, or with elements of group 0002 that have no business there.
    if (offset === declaredEnd) break;
    if (head.length < offset + 2) return undefined;
    if (head.readUInt16LE(offset) !== 0x0002) break;
    const element = readElement(head, offset);
    if (element === undefined) return undefined;
    if (element.number === 0x0000 && element.value.length === 4) {
      declaredEnd = element.end + element.value.readUInt32LE(0);
    }
    values.set(element.number, trimPadding(element.value.toString('latin1')));
    offset = element.end;
  }
  const sendingAe = values.get(META.sendingAe);
  const receivingAe = values.get(META.receivingAe);
  return {
    sopClassUid: required(values, META.mediaStorageSopClassUid, 'Media Storage SOP Class UID'),
    sopInstanceUid: required(values, META.mediaStorageSopInstanceUid, 'Media Storage SOP Instance UID'),
    transferSyntaxUid: required(values, META.transferSyntaxUid, 'Transfer Syntax UID'),
    ...(sendingAe ? { sendingAe } : {}),
    ...(receivingAe ? { receivingAe } : {}),
    dataSetOffset: offset,
  };
}

interface MetaElement {
  readonly number: number;
  readonly value: Buffer;
  readonly end: number;
}

/** One element of group 0002; undefined when it is not all there. */
function readElement(head: Buffer, offset: number): MetaElement | undefined {
  if (head.length < offset + 12) return undefined;
  const vr = head.toString('latin1', offset + 4, offset + 6);
  let start = offset + 8;
  let length = head.readUInt16LE(offset + 6);
  if (LONG_VRS.has(vr)) {
    start = offset + 12;
    length = head.readUInt32LE(offset + 8);
  } else if (!/^[A-Z]{2}$/.test(vr)) {
    // Old writers left group 0002 in Implicit VR.
    length = head.readUInt32LE(offset + 4);
  }
  if (length > MAX_META_VALUE_BYTES) {
    throw unreadable(`file meta element is longer than ${MAX_META_VALUE_BYTES} bytes: ${length}`, offset);
  }
  if (head.length < start + length) return undefined;
  return {
    number: head.readUInt16LE(offset + 2),
    value: head.subarray(start, start + length),
    end: start + length,
  };
}

function required(values: ReadonlyMap<number, string>, element: number, name: string): string {
  const value = values.get(element);
  if (value) return value;
  throw unreadable(`file meta information has no ${name}`, META_OFFSET);
}

function unreadable(message: string, offset: number): GatewayError {
  return new GatewayError('DATASET_UNREADABLE', message, { facts: { offset } });
}
