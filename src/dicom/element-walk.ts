/**
 * Walks the top level of a data set (PS3.5 §7) from element to element and picks out the wanted values. Everything
 * else is passed over by its length, whole pixel matrices included, so the cost depends on the number of elements
 * and not on their size. The walk is a generator that asks for bytes: one and the same code serves a buffer in memory
 * and a file on disk. It reads no meaning into values, and never trusts a length.
 */
import { GatewayError } from '../errors/gateway-error.js';
import { formatTag } from './tags.js';
import type { Encoding } from './transfer-syntaxes.js';

/** How elements are laid out, once any deflate stream is off. */
export type ElementEncoding = Exclude<Encoding, 'deflated-le'>;

/** The bytes that the walk needs next. The answer may be shorter only where the data set ends. */
export interface Wish {
  readonly offset: number;
  readonly length: number;
}

export interface WalkOptions {
  readonly encoding: ElementEncoding;
  readonly wanted: ReadonlySet<number>;
  /** Length of the data set in bytes; Infinity while only its head is known. */
  readonly sizeBytes: number;
}

/** A wanted value above this is refused; the longest legal one is a few hundred bytes. */
export const MAX_VALUE_BYTES = 64 * 1024;
/** Sequences within sequences; real data sets stay below ten. */
export const MAX_DEPTH = 64;
/** A bound in time: each costs a microsecond or so. Real headers have thousands at most. */
export const MAX_ELEMENTS = 1_000_000;

export const UNDEFINED_LENGTH = 0xffffffff;
export const ITEM = 0xfffee000;
export const ITEM_END = 0xfffee00d;
export const SEQUENCE_END = 0xfffee0dd;
/** Float Pixel Data, the first of the pixel elements; nothing that is wanted comes after. */
const FIRST_PIXEL_TAG = 0x7fe00008;
/** The longest element header: tag, VR, two reserved bytes, 32-bit length. */
export const MAX_HEADER_BYTES = 12;
const MIN_HEADER_BYTES = 8;

/** VRs whose length has 16 bits (PS3.5 §7.1.2). All others, also those yet to be invented, have 32 (§6.2). */
export const SHORT_VRS: ReadonlySet<string> = new Set(
  'AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US'.split(' '),
);

export interface ElementHeader {
  readonly tag: number;
  /** Two letters; empty where the encoding carries none. */
  readonly vr: string;
  readonly length: number;
  readonly headerBytes: number;
}

/** A sequence or an item of undefined length that the walk is in. */
interface Open {
  readonly endsWith: typeof ITEM_END | typeof SEQUENCE_END;
  readonly encoding: ElementEncoding;
}

/**
 * Finds wanted top-level values, up to the last of them or to Pixel Data.
 * @returns tag → raw value; an absent attribute is absent
 * @throws DATASET_UNREADABLE for a length beyond the end, an unclosed sequence, too deep or too many elements, or a
 * wanted value above `MAX_VALUE_BYTES`; `facts.offset` says where
 */
export function* walkElements(options: WalkOptions): Generator<Wish, ReadonlyMap<number, Buffer>, Buffer> {
  const { encoding, wanted, sizeBytes } = options;
  const lastWanted = Math.min(Math.max(...wanted), FIRST_PIXEL_TAG - 1);
  const found = new Map<number, Buffer>();
  const open: Open[] = [];
  let offset = 0;

  for (let count = 0; offset < sizeBytes; count += 1) {
    if (count === MAX_ELEMENTS) throw unreadable(`data set has more than ${MAX_ELEMENTS} elements`, offset);
    const inside = open.at(-1);
    const element = parseElementHeader(
      yield { offset, length: MAX_HEADER_BYTES },
      inside?.encoding ?? encoding,
      offset,
    );
    const { tag, length } = element;
    const start = offset + element.headerBytes;
    // Some writers put a delimiter behind a sequence of defined length, or behind the data set. It ends nothing.
    const stray = inside === undefined && length === 0 && (tag === ITEM_END || tag === SEQUENCE_END);
    if (stray) {
      offset = start;
      continue;
    }
    if (inside === undefined && tag > lastWanted) return found;

    if (inside !== undefined && tag === inside.endsWith) {
      open.pop();
      offset = start;
      continue;
    }
    // Between items stand only items, and within an item only elements. To insist on it leaves no way to make a
    // nested element look like one of the top level.
    const fits = inside?.endsWith === SEQUENCE_END ? tag === ITEM : tag < ITEM || tag > SEQUENCE_END;
    if (inside !== undefined && !fits) {
      throw unreadable(`sequence holds ${formatTag(tag)} where it may not`, offset);
    }
    if (length === UNDEFINED_LENGTH) {
      if (inside === undefined && wanted.has(tag)) {
        throw unreadable(`value of ${formatTag(tag)} has no length`, offset);
      }
      if (open.length === MAX_DEPTH)
        throw unreadable(`sequences are nested deeper than ${MAX_DEPTH}`, offset);
      open.push({
        endsWith: tag === ITEM ? ITEM_END : SEQUENCE_END,
        // UN of undefined length holds a sequence in Implicit VR Little Endian (PS3.5 §6.2.2 note).
        encoding: element.vr === 'UN' ? 'implicit-le' : (inside?.encoding ?? encoding),
      });
      offset = start;
      continue;
    }
    if (start + length > sizeBytes) {
      const left = sizeBytes - start;
      throw unreadable(`${formatTag(tag)} claims ${length} bytes, data set has ${left} left`, offset);
    }
    if (inside === undefined && wanted.has(tag) && !found.has(tag)) {
      if (length > MAX_VALUE_BYTES) {
        throw unreadable(`value of ${formatTag(tag)} is longer than ${MAX_VALUE_BYTES} bytes`, offset);
      }
      found.set(tag, length === 0 ? Buffer.alloc(0) : yield { offset: start, length });
      if (tag === lastWanted) return found;
    }
    offset = start + length;
  }
  if (open.length > 0) throw unreadable('data set ends inside a sequence', offset);
  return found;
}

/** @param bytes up to twelve bytes from the element's first on */
export function parseElementHeader(bytes: Buffer, encoding: ElementEncoding, offset: number): ElementHeader {
  if (bytes.length < MIN_HEADER_BYTES) throw unreadable('data set ends inside an element', offset);
  const bigEndian = encoding === 'explicit-be';
  const u16 = (at: number) => (bigEndian ? bytes.readUInt16BE(at) : bytes.readUInt16LE(at));
  const u32 = (at: number) => (bigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at));
  const group = u16(0);
  const tag = group * 0x10000 + u16(2);
  const vr = encoding === 'implicit-le' || group === 0xfffe ? '' : bytes.toString('latin1', 4, 6);
  // Items and delimiters never have a VR (PS3.5 §7.5). Some writers leave single private elements without one, in an
  // explicit data set; their 32-bit length stands where the VR should.
  if (!/^[A-Z]{2}$/.test(vr)) return { tag, vr: '', length: u32(4), headerBytes: MIN_HEADER_BYTES };
  if (SHORT_VRS.has(vr)) return { tag, vr, length: u16(6), headerBytes: MIN_HEADER_BYTES };
  if (bytes.length < MAX_HEADER_BYTES) throw unreadable('data set ends inside an element', offset);
  return { tag, vr, length: u32(8), headerBytes: MAX_HEADER_BYTES };
}

function unreadable(message: string, offset: number): GatewayError {
  return new GatewayError('DATASET_UNREADABLE', message, { facts: { offset } });
}
