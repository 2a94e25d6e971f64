/**
 * A data set, written anew in another encoding of its elements (PS3.5 §7.1): Explicit or Implicit VR Little Endian. The
 * values stay, byte for byte, but for the order of bytes where the source is big endian; so do order, private and unknown
 * elements, and whether a sequence has a defined length. What changes besides Pixel Data is what the caller lists as
 * edits, and group lengths (gggg,0000): retired, and wrong as soon as one length in the group differs, they are left out
 * (PS3.5 §7.2).
 */
import { GatewayError } from '../errors/gateway-error.js';
import {
  type ElementEncoding,
  ITEM,
  ITEM_END,
  SEQUENCE_END,
  SHORT_VRS,
  UNDEFINED_LENGTH,
} from './element-walk.js';
import { formatTag } from './tags.js';
import type { SourceFile, TargetFile } from './transcode-file.js';
import { readTree, type Span } from './transcode-tree.js';

export type TargetEncoding = 'explicit-le' | 'implicit-le';

/** A new value, even in length; or nothing in its place. */
export type Edit = { readonly vr: string; readonly value: Buffer } | 'drop';

export interface Recoding {
  readonly source: SourceFile;
  readonly from: ElementEncoding;
  readonly target: TargetFile;
  readonly to: TargetEncoding;
  /** At the top level, by tag. */
  readonly edits: ReadonlyMap<number, Edit>;
  /** Pixel Representation (0028,0103): says whether "US or SS" is SS. */
  readonly isSigned: boolean;
  /** What native Pixel Data is made of, where the source has it in fragments. */
  pixels(fragments: readonly Span[]): {
    readonly vr: string;
    readonly length: number;
    bytes(): AsyncIterable<Uint8Array>;
  };
}

/** Bytes that change places when the order of bytes does; none for all other VRs (PS3.5 §7.3). */
const SWAPPED: Readonly<Record<string, 2 | 4 | 8>> = {
  ...{ US: 2, SS: 2, OW: 2, AT: 2, UL: 4, SL: 4, FL: 4, OF: 4, OL: 4 },
  ...{ FD: 8, OD: 8, SV: 8, UV: 8, OV: 8 },
};

const MAX_SHORT_LENGTH = 0xfffe;

/** @throws DATASET_UNREADABLE, TRANSCODE_FAILED, and what `pixels` throws */
export async function writeDataSet(recoding: Recoding): Promise<void> {
  const { source, from, target, to, isSigned } = recoding;
  /** Containers that are open: where the length of each is to be filled in, if it has one. */
  const open: { readonly lengthAt: number | undefined; readonly start: number }[] = [];
  const pending = [...recoding.edits].sort(([a], [b]) => a - b);
  const edit = (upTo: number) => {
    while (pending[0] !== undefined && pending[0][0] <= upTo) {
      const [[tag, change]] = pending.splice(0, 1) as [[number, Edit]];
      if (change === 'drop') continue;
      target.write(formatHeader(tag, change.vr, change.value.length, to));
      target.write(change.value);
    }
  };

  for (const event of readTree(source, from)) {
    if (event.type === 'close') {
      const ended = open.pop();
      if (ended === undefined) throw new GatewayError('FAULT', 'a sequence ends that did not begin');
      if (ended.lengthAt === undefined) {
        target.write(formatHeader(event.tag === ITEM ? ITEM_END : SEQUENCE_END, '', 0, to));
      } else {
        target.patchUint32(ended.lengthAt, target.position - ended.start);
      }
      continue;
    }
    const { tag, depth } = event;
    const isEdited = depth === 0 && recoding.edits.has(tag);
    if (depth === 0) edit(tag);
    if (isEdited || isGroupLength(tag)) continue;
    // What an UN of undefined length holds stays implicit, wherever it goes.
    const encoding = event.withinUnknown ? 'implicit-le' : to;
    if (event.type === 'fragments') {
      if (depth > 0) throw failed('an icon or other image within a sequence is compressed');
      const pixels = recoding.pixels(event.fragments);
      target.write(formatHeader(tag, pixels.vr, pixels.length, to));
      for await (const bytes of pixels.bytes()) target.write(bytes);
      continue;
    }
    if (event.type === 'open') {
      const vr = tag === ITEM ? '' : event.vr === 'UN' ? 'UN' : 'SQ';
      const header = formatHeader(tag, vr, event.undefinedLength ? UNDEFINED_LENGTH : 0, encoding);
      target.write(header);
      const lengthAt = event.undefinedLength ? undefined : target.position - 4;
      open.push({ lengthAt, start: target.position });
      continue;
    }
    if (event.bare && from === 'explicit-be') throw failed(`${formatTag(tag)} has no VR`);
    const vr = valueVr(event.vr, event.length, isSigned, event.bare);
    target.write(event.bare ? bareHeader(tag, event.length) : formatHeader(tag, vr, event.length, encoding));
    for (const piece of source.pieces(event.start, event.length)) {
      target.write(event.encoding === 'explicit-be' ? swapped(piece, event.vr, tag) : piece);
    }
  }
  edit(Number.POSITIVE_INFINITY);
}

/** The bytes of a big endian value in little endian order. */
export function swapped(piece: Buffer, vr: string, tag: number): Buffer {
  const unit = SWAPPED[vr];
  if (unit === undefined) return piece;
  if (piece.length % unit !== 0) throw failed(`${formatTag(tag)} is no whole number of values`);
  const copy = Buffer.from(piece);
  return unit === 2 ? copy.swap16() : unit === 4 ? copy.swap32() : copy.swap64();
}

export function isGroupLength(tag: number): boolean {
  return tag % 0x10000 === 0;
}

/** The VR to write; for one that the dictionary leaves open, or does not know, what PS3.5 §6.2.2 and §A.1 say. */
function valueVr(vr: string, length: number, isSigned: boolean, bare: boolean): string {
  if (bare) return '';
  const known = vr === 'XS' ? (isSigned ? 'SS' : 'US') : vr;
  return known === '' || (SHORT_VRS.has(known) && length > MAX_SHORT_LENGTH) ? 'UN' : known;
}

function formatHeader(tag: number, vr: string, length: number, to: TargetEncoding): Buffer {
  if (to === 'implicit-le' || vr === '') return bareHeader(tag, length);
  const isShort = SHORT_VRS.has(vr);
  const header = Buffer.alloc(isShort ? 8 : 12);
  writeTag(header, tag);
  header.write(vr, 4, 'latin1');
  if (isShort) header.writeUInt16LE(length, 6);
  else header.writeUInt32LE(length, 8);
  return header;
}

/** Tag and length alone: all headers of Implicit VR, items and delimiters of both. */
function bareHeader(tag: number, length: number): Buffer {
  const header = Buffer.alloc(8);
  writeTag(header, tag);
  header.writeUInt32LE(length, 4);
  return header;
}

function writeTag(header: Buffer, tag: number): void {
  header.writeUInt16LE(Math.floor(tag / 0x10000), 0);
  header.writeUInt16LE(tag % 0x10000, 2);
}

function failed(message: string): GatewayError {
  return new GatewayError('TRANSCODE_FAILED', message);
}
