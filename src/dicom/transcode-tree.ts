/**
 * Every element of a data set in its order, those within sequences too (PS3.5 §7.5), as a series of events. Where
 * `element-walk` picks a few values and passes over the rest, this tells of everything, so that a data set can be written
 * anew, and two can be compared. Values stay where they are; an event says where.
 */
import { GatewayError } from '../errors/gateway-error.js';
import {
  type ElementEncoding,
  ITEM,
  ITEM_END,
  MAX_DEPTH,
  MAX_ELEMENTS,
  MAX_HEADER_BYTES,
  parseElementHeader,
  SEQUENCE_END,
  UNDEFINED_LENGTH,
} from './element-walk.js';
import { formatTag } from './tags.js';
import { dictionaryVr } from './transcode-dictionary.js';
import type { SourceFile } from './transcode-file.js';

export const PIXEL_DATA = 0x7fe00010;

export interface Span {
  readonly start: number;
  readonly length: number;
}

interface Place {
  readonly tag: number;
  /** As the data set says; by the dictionary where it is implicit. Empty for items, and where neither knows. */
  readonly vr: string;
  /** 0: top level. */
  readonly depth: number;
  /** Within an UN of undefined length, whose content is implicit in whatever data set (PS3.5 §6.2.2). */
  readonly withinUnknown: boolean;
  /** The header carried no VR, though the encoding has them. */
  readonly bare: boolean;
}

export type TreeEvent =
  | (Place & { readonly type: 'value'; readonly encoding: ElementEncoding } & Span)
  /** A sequence or an item begins. */
  | (Place & { readonly type: 'open'; readonly undefinedLength: boolean })
  /** It ends; `tag` is that of its beginning. */
  | { readonly type: 'close'; readonly tag: number; readonly depth: number }
  /** Pixel Data in fragments (PS3.5 §A.4); the first is the Basic Offset Table. */
  | (Place & { readonly type: 'fragments'; readonly fragments: readonly Span[] });

interface Open extends Place {
  readonly end: number;
  readonly isItem: boolean;
  readonly encoding: ElementEncoding;
}

export interface TreeReading {
  /**
   * Asked where neither data set nor dictionary knows whether a value of defined length is a sequence: private ones in
   * Implicit VR. By default it is a value.
   */
  isSequence?(): boolean;
  /**
   * An UN of defined length that the dictionary knows as a sequence is read as one, as every reader of Implicit VR reads
   * it; what it holds is implicit (PS3.5 §6.2.2, notes). By default it is a value.
   */
  readonly opensUnknown?: boolean;
}

/**
 * @throws DATASET_UNREADABLE for what contradicts itself; `facts.offset` says where
 */
export function* readTree(
  source: SourceFile,
  encoding: ElementEncoding,
  { isSequence = () => false, opensUnknown = false }: TreeReading = {},
): Generator<TreeEvent, void, void> {
  const open: Open[] = [];
  let offset = 0;
  for (let count = 0; ; count += 1) {
    if (count > MAX_ELEMENTS) throw unreadable(`data set has more than ${MAX_ELEMENTS} elements`, offset);
    const inside = open.at(-1);
    if (inside !== undefined && inside.end !== Number.POSITIVE_INFINITY && offset >= inside.end) {
      if (offset > inside.end)
        throw unreadable('an element is longer than the sequence that it is in', offset);
      open.pop();
      yield { type: 'close', tag: inside.tag, depth: inside.depth };
      continue;
    }
    if (offset >= source.sizeBytes) break;
    const within = inside?.encoding ?? encoding;
    const element = parseElementHeader(source.read(offset, MAX_HEADER_BYTES), within, offset);
    const { tag, length } = element;
    const start = offset + element.headerBytes;
    if (tag === ITEM_END || tag === SEQUENCE_END) {
      const ends =
        inside?.end === Number.POSITIVE_INFINITY && tag === (inside.isItem ? ITEM_END : SEQUENCE_END);
      if (inside !== undefined && ends) {
        open.pop();
        yield { type: 'close', tag: inside.tag, depth: inside.depth };
      } else if (inside !== undefined || length !== 0) {
        throw unreadable(`${formatTag(tag)} ends nothing`, offset);
      }
      // At the top level it is a stray, which some writers leave.
      offset = start;
      continue;
    }
    const isItem = tag === ITEM;
    if (isItem !== (inside !== undefined && !inside.isItem)) {
      throw unreadable(`${formatTag(tag)} stands where it may not`, offset);
    }
    const isImplicit = within === 'implicit-le';
    const isOpened = opensUnknown && element.vr === 'UN' && dictionaryVr(tag) === 'SQ';
    const ownVr = isOpened ? 'SQ' : element.vr;
    const place: Place = {
      tag,
      vr: isItem ? '' : isImplicit ? (dictionaryVr(tag) ?? (isSequence() ? 'SQ' : '')) : ownVr,
      depth: open.length,
      withinUnknown: inside?.withinUnknown ?? false,
      bare: !isImplicit && !isItem && element.vr === '',
    };
    const isUndefined = length === UNDEFINED_LENGTH;
    if (
      !isUndefined &&
      start + length > Math.min(source.sizeBytes, inside?.end ?? Number.POSITIVE_INFINITY)
    ) {
      throw unreadable(`${formatTag(tag)} claims ${length} bytes, which are not there`, offset);
    }
    if (isUndefined && tag === PIXEL_DATA) {
      const { fragments, end } = readFragments(source, start);
      yield { ...place, type: 'fragments', fragments };
      offset = end;
      continue;
    }
    if (!isItem && !isUndefined && place.vr !== 'SQ') {
      yield { ...place, type: 'value', encoding: within, start, length };
      offset = start + length;
      continue;
    }
    if (open.length === MAX_DEPTH) throw unreadable(`sequences are nested deeper than ${MAX_DEPTH}`, offset);
    const isUnknown = element.vr === 'UN' && (isUndefined || isOpened);
    yield { ...place, type: 'open', undefinedLength: isUndefined };
    open.push({
      ...place,
      isItem,
      end: isUndefined ? Number.POSITIVE_INFINITY : start + length,
      encoding: isUnknown ? 'implicit-le' : within,
      withinUnknown: place.withinUnknown || isUnknown,
    });
    offset = start;
  }
  if (open.length > 0) throw unreadable('data set ends inside a sequence', offset);
}

function readFragments(source: SourceFile, from: number): { fragments: readonly Span[]; end: number } {
  const fragments: Span[] = [];
  for (let offset = from; ; ) {
    const header = source.read(offset, 8);
    if (header.length < 8) throw unreadable('data set ends inside Pixel Data', offset);
    const tag = header.readUInt16LE(0) * 0x10000 + header.readUInt16LE(2);
    const length = header.readUInt32LE(4);
    const start = offset + 8;
    if (tag === SEQUENCE_END) return { fragments, end: start };
    if (tag !== ITEM) throw unreadable(`Pixel Data holds ${formatTag(tag)} where it may not`, offset);
    if (start + length > source.sizeBytes) throw unreadable('data set ends inside a fragment', offset);
    if (fragments.length === MAX_ELEMENTS) throw unreadable('Pixel Data has too many fragments', offset);
    fragments.push({ start, length });
    offset = start + length;
  }
}

function unreadable(message: string, offset: number): GatewayError {
  return new GatewayError('DATASET_UNREADABLE', message, { facts: { offset } });
}
