/**
 * A small DICOM writer (PS3.5, PS3.10): data sets from plain objects, in every native transfer syntax. Shares no code
 * with the bridge, so that the bridge is tested against somebody else's bytes.
 */
import { deflateRawSync } from 'node:zlib';

export const SYNTAXES = {
  implicit: '1.2.840.10008.1.2',
  explicit: '1.2.840.10008.1.2.1',
  'big-endian': '1.2.840.10008.1.2.2',
  deflated: '1.2.840.10008.1.2.1.99',
  rle: '1.2.840.10008.1.2.5',
};

/** VRs with a 4-byte length in explicit encodings. */
const LONG = new Set(['OB', 'OW', 'OF', 'SQ', 'UN', 'UT', 'UC', 'UR']);
const NUL_PADDED = new Set(['UI', 'OB']);
const IMPLEMENTATION = '2.25.294837465019283746501928374650192837465';

/** @typedef {[tag: number, vr: string, value: unknown]} Element  values: string, number, number[], Buffer, or items of a sequence */

/**
 * A Part 10 file.
 * @param {Element[]} elements in any order; SOP Class and Instance UID among them
 * @param {keyof typeof SYNTAXES} syntax
 * @returns {Buffer}
 */
export function writeFile(elements, syntax) {
  const find = (tag) => String(elements.find(([each]) => each === tag)?.[2]);
  const explicit = { explicit: true, big: false, encapsulated: false };
  const meta = [
    [0x00020001, 'OB', Buffer.from([0, 1])],
    [0x00020002, 'UI', find(0x00080016)],
    [0x00020003, 'UI', find(0x00080018)],
    [0x00020010, 'UI', SYNTAXES[syntax]],
    [0x00020012, 'UI', IMPLEMENTATION],
    [0x00020013, 'SH', 'SAMPLES'],
  ];
  const group = Buffer.concat(meta.map((element) => writeElement(element, explicit)));
  const length = writeElement([0x00020000, 'UL', group.length], explicit);
  const encoding = {
    explicit: syntax !== 'implicit',
    big: syntax === 'big-endian',
    encapsulated: syntax === 'rle',
  };
  const body = writeDataSet(elements, encoding);
  const padded = syntax === 'deflated' ? even(deflateRawSync(body), 0) : body;
  return Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), length, group, padded]);
}

function writeDataSet(elements, encoding) {
  const sorted = [...elements].sort(([a], [b]) => a - b);
  return Buffer.concat(sorted.map((element) => writeElement(element, encoding)));
}

function writeElement([tag, vr, value], encoding) {
  if (tag === 0x7fe00010 && encoding.encapsulated) return writeFragments(tag, value, encoding);
  const bytes =
    vr === 'SQ'
      ? writeItems(value, encoding)
      : even(valueBytes(vr, value, encoding.big), NUL_PADDED.has(vr) ? 0 : 0x20);
  return Buffer.concat([writeHeader(tag, vr, bytes.length, encoding), bytes]);
}

function writeHeader(tag, vr, length, { explicit, big }) {
  const header = Buffer.alloc(!explicit ? 8 : LONG.has(vr) ? 12 : 8);
  const u16 = (value, at) => (big ? header.writeUInt16BE(value, at) : header.writeUInt16LE(value, at));
  const u32 = (value, at) => (big ? header.writeUInt32BE(value, at) : header.writeUInt32LE(value, at));
  u16(tag >>> 16, 0);
  u16(tag & 0xffff, 2);
  if (!explicit) u32(length, 4);
  else {
    header.write(vr, 4, 'latin1');
    if (LONG.has(vr)) u32(length, 8);
    else u16(length, 6);
  }
  return header;
}

function writeItems(items, encoding) {
  return Buffer.concat(
    items.flatMap((item) => {
      const body = writeDataSet(item, { ...encoding, encapsulated: false });
      return [itemHeader(0xfffee000, body.length, encoding), body];
    }),
  );
}

/** Encapsulated pixel data (PS3.5 A.4): an empty offset table, one fragment a frame. */
function writeFragments(tag, fragments, encoding) {
  return Buffer.concat([
    writeHeader(tag, 'OB', 0xffffffff, encoding),
    itemHeader(0xfffee000, 0, encoding),
    ...fragments.flatMap((fragment) => [itemHeader(0xfffee000, fragment.length, encoding), fragment]),
    itemHeader(0xfffee0dd, 0, encoding),
  ]);
}

/** Item headers have no VR in any encoding. */
function itemHeader(tag, length, { big }) {
  return writeHeader(tag, '', length, { explicit: false, big });
}

function valueBytes(vr, value, big) {
  if (Buffer.isBuffer(value)) return vr === 'OW' && big ? Buffer.from(value).swap16() : value;
  const numbers = Array.isArray(value) ? value : [value];
  const pack = (size, write) => {
    const bytes = Buffer.alloc(numbers.length * size);
    for (const [index, number] of numbers.entries()) write.call(bytes, number, index * size);
    return bytes;
  };
  const b = Buffer.prototype;
  switch (vr) {
    case 'US':
      return pack(2, big ? b.writeUInt16BE : b.writeUInt16LE);
    case 'SS':
      return pack(2, big ? b.writeInt16BE : b.writeInt16LE);
    case 'UL':
      return pack(4, big ? b.writeUInt32BE : b.writeUInt32LE);
    case 'FD':
      return pack(8, big ? b.writeDoubleBE : b.writeDoubleLE);
    default:
      return Buffer.from(numbers.join('\\'), 'utf8');
  }
}

function even(bytes, padding) {
  return bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.from([padding])]);
}
