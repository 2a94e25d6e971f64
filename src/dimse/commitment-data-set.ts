/**
 * The data sets of storage commitment (PS3.4 Tables J.3-1 and J.3-3): a transaction UID, and sequences of references.
 * Read whole from memory, in any order and with either kind of length; written with defined lengths. What else stands in
 * them (Referenced Performed Procedure Step, Retrieve AE Title, Storage Media File-Set) is passed over.
 */
import {
  type ElementEncoding,
  ITEM,
  ITEM_END,
  MAX_DEPTH,
  MAX_HEADER_BYTES,
  parseElementHeader,
  SEQUENCE_END,
  UNDEFINED_LENGTH,
} from '../dicom/element-walk.js';
import { trimPadding } from '../dicom/padding.js';
import { transferSyntax } from '../dicom/transfer-syntaxes.js';
import { FAILURE_REASONS, type FailedReference, type InstanceReference } from '../domain/commitment.js';
import { isUid } from '../domain/uid.js';
import { GatewayError } from '../errors/gateway-error.js';

/** References of one transaction at most, committed and failed together. */
export const MAX_REFERENCES = 200_000;
/** That many references with the longest UIDs there are, and a little more. */
export const MAX_COMMITMENT_BYTES = 32 * 1024 * 1024;

export interface CommitmentDataSet {
  /** As it stands there without padding; undefined when the attribute is missing. */
  readonly transactionUid: string | undefined;
  /** Referenced SOP Sequence; undefined when the attribute is missing. */
  readonly references: readonly InstanceReference[] | undefined;
  /** Failed SOP Sequence; empty when it is missing. */
  readonly failed: readonly FailedReference[];
}

const TAGS = {
  referencedSopClassUid: 0x00081150,
  referencedSopInstanceUid: 0x00081155,
  transactionUid: 0x00081195,
  failureReason: 0x00081197,
  failedSopSequence: 0x00081198,
  referencedSopSequence: 0x00081199,
} as const;

/** What is made of the elements of a data set, or of one item of it. */
interface Reader {
  value(tag: number, bytes: Buffer): void;
  /** Called for each item of a sequence; undefined: it is passed over. */
  item(tag: number): Reader | undefined;
  /** Whether this attribute is a sequence, for encodings that do not say so. */
  isSequence(tag: number): boolean;
  ended(): void;
}

/**
 * @throws DATASET_UNREADABLE when it is malformed, or a reference has no UIDs or wrong ones; STUDY_TOO_LARGE with more
 * than `MAX_REFERENCES`
 */
export function readCommitmentDataSet(bytes: Buffer, transferSyntaxUid: string): CommitmentDataSet {
  const encoding = encodingOf(transferSyntaxUid);
  const bigEndian = encoding === 'explicit-be';
  const classes = new Map<string, string>();
  const failed: FailedReference[] = [];
  const found: { transactionUid?: string; references?: InstanceReference[] } = {};
  let count = 0;

  const reference = (take: (reference: InstanceReference, reason: number | undefined) => void): Reader => {
    let sopClassUid = '';
    let sopInstanceUid = '';
    let reason: number | undefined;
    return {
      ...PASS_OVER,
      value(tag, value) {
        if (tag === TAGS.referencedSopClassUid) sopClassUid = textOf(value);
        else if (tag === TAGS.referencedSopInstanceUid) sopInstanceUid = textOf(value);
        else if (tag === TAGS.failureReason && value.length >= 2)
          reason = bigEndian ? value.readUInt16BE(0) : value.readUInt16LE(0);
      },
      ended() {
        if (!isUid(sopClassUid) || !isUid(sopInstanceUid))
          throw unreadable('a reference lacks a UID, or holds none');
        count += 1;
        if (count > MAX_REFERENCES)
          throw new GatewayError('STUDY_TOO_LARGE', `more than ${MAX_REFERENCES} references`);
        // There are few classes: one string for each, and not one for each instance.
        const known = classes.get(sopClassUid) ?? sopClassUid;
        classes.set(known, known);
        take({ sopClassUid: known, sopInstanceUid }, reason);
      },
    };
  };

  walk(bytes, encoding, {
    ...PASS_OVER,
    isSequence(tag) {
      if (tag === TAGS.referencedSopSequence) found.references ??= [];
      return tag === TAGS.referencedSopSequence || tag === TAGS.failedSopSequence;
    },
    value(tag, value) {
      if (tag === TAGS.transactionUid) found.transactionUid = textOf(value);
    },
    item(tag) {
      if (tag === TAGS.referencedSopSequence) return reference((each) => found.references?.push(each));
      if (tag === TAGS.failedSopSequence)
        return reference((each, reason) =>
          failed.push({ ...each, reason: reason ?? FAILURE_REASONS.processingFailure }),
        );
      return undefined;
    },
  });
  return { transactionUid: found.transactionUid, references: found.references, failed };
}

const PASS_OVER: Reader = {
  value: () => undefined,
  item: () => undefined,
  isSequence: () => false,
  ended: () => undefined,
};

function textOf(value: Buffer): string {
  // Longer ones are no UIDs; they need not be read to be refused.
  return trimPadding(value.toString('latin1', 0, 128));
}

/** Walks a data set and all sequences in it; a length never leads beyond what encloses it. */
function walk(bytes: Buffer, topEncoding: ElementEncoding, top: Reader): void {
  const headerAt = (offset: number, encoding: ElementEncoding) =>
    parseElementHeader(bytes.subarray(offset, offset + MAX_HEADER_BYTES), encoding, offset);
  const within = (start: number, length: number, limit: number): number => {
    if (start + length > limit)
      throw unreadable(`an element claims ${length} bytes, ${limit - start} are left`);
    return start + length;
  };

  /** Elements up to `limit`, or to the delimiter of the item. Returns where it ended. */
  const elements = (
    from: number,
    limit: number,
    delimited: boolean,
    encoding: ElementEncoding,
    reader: Reader,
    depth: number,
  ): number => {
    let offset = from;
    while (offset < limit) {
      const { tag, vr, length, headerBytes } = headerAt(offset, encoding);
      const start = offset + headerBytes;
      if (tag >= ITEM && tag <= SEQUENCE_END) {
        if (delimited && tag === ITEM_END) {
          reader.ended();
          return start;
        }
        throw unreadable('a delimiter stands where it may not');
      }
      if (reader.isSequence(tag) || vr === 'SQ' || length === UNDEFINED_LENGTH) {
        // UN of undefined length holds a sequence in Implicit VR Little Endian (PS3.5 §6.2.2 note).
        const inner = vr === 'UN' ? 'implicit-le' : encoding;
        offset = items(tag, start, length, limit, inner, reader, depth + 1);
      } else {
        offset = within(start, length, limit);
        reader.value(tag, bytes.subarray(start, offset));
      }
    }
    if (delimited) throw unreadable('data set ends inside an item');
    reader.ended();
    return offset;
  };

  const items = (
    tag: number,
    from: number,
    length: number,
    outerLimit: number,
    encoding: ElementEncoding,
    reader: Reader,
    depth: number,
  ): number => {
    if (depth > MAX_DEPTH) throw unreadable(`sequences are nested deeper than ${MAX_DEPTH}`);
    const delimited = length === UNDEFINED_LENGTH;
    const limit = delimited ? outerLimit : within(from, length, outerLimit);
    let offset = from;
    while (offset < limit) {
      const item = headerAt(offset, encoding);
      const start = offset + item.headerBytes;
      if (delimited && item.tag === SEQUENCE_END) return start;
      if (item.tag !== ITEM) throw unreadable('a sequence holds something else than items');
      const open = item.length === UNDEFINED_LENGTH;
      const end = open ? limit : within(start, item.length, limit);
      offset = elements(start, end, open, encoding, reader.item(tag) ?? PASS_OVER, depth);
    }
    if (delimited) throw unreadable('data set ends inside a sequence');
    return offset;
  };

  elements(0, bytes.length, false, topEncoding, top, 0);
}

/** Action Information of an N-ACTION (Table J.3-1). */
export function formatCommitmentRequest(
  transactionUid: string,
  references: readonly InstanceReference[],
  transferSyntaxUid: string,
): Buffer {
  return formatCommitmentReport(transactionUid, { committed: references, failed: [] }, transferSyntaxUid);
}

/** Event Information of an N-EVENT-REPORT (Table J.3-3). A sequence without items is left out. */
export function formatCommitmentReport(
  transactionUid: string,
  { committed, failed }: CommitmentResult,
  transferSyntaxUid: string,
): Buffer {
  const encoding = encodingOf(transferSyntaxUid);
  const named = ({ sopClassUid, sopInstanceUid }: InstanceReference) => [
    formatElement(TAGS.referencedSopClassUid, 'UI', uidBytes(sopClassUid), encoding),
    formatElement(TAGS.referencedSopInstanceUid, 'UI', uidBytes(sopInstanceUid), encoding),
  ];
  const refused = (each: FailedReference) => [
    ...named(each),
    formatElement(TAGS.failureReason, 'US', shortBytes(each.reason, encoding), encoding),
  ];
  return Buffer.concat([
    formatElement(TAGS.transactionUid, 'UI', uidBytes(transactionUid), encoding),
    ...formatSequence(TAGS.failedSopSequence, failed.map(refused), encoding),
    ...formatSequence(TAGS.referencedSopSequence, committed.map(named), encoding),
  ]);
}

/** What a transaction came to. */
export interface CommitmentResult {
  readonly committed: readonly InstanceReference[];
  readonly failed: readonly FailedReference[];
}

function formatSequence(
  tag: number,
  rows: readonly (readonly Buffer[])[],
  encoding: ElementEncoding,
): readonly Buffer[] {
  if (rows.length === 0) return [];
  const parts: Buffer[] = [];
  for (const row of rows) {
    const bytes = row.reduce((sum, { length }) => sum + length, 0);
    parts.push(formatHeader(ITEM, '', bytes, encoding), ...row);
  }
  return [formatElement(tag, 'SQ', Buffer.concat(parts), encoding)];
}

function formatElement(tag: number, vr: string, value: Buffer, encoding: ElementEncoding): Buffer {
  return Buffer.concat([formatHeader(tag, vr, value.length, encoding), value]);
}

/** @param vr UI, US, SQ; empty for an item */
function formatHeader(tag: number, vr: string, length: number, encoding: ElementEncoding): Buffer {
  const bigEndian = encoding === 'explicit-be';
  const carriesVr = encoding !== 'implicit-le' && vr !== '';
  const header = Buffer.alloc(carriesVr && vr === 'SQ' ? MAX_HEADER_BYTES : 8);
  const u16 = (value: number, at: number) =>
    bigEndian ? header.writeUInt16BE(value, at) : header.writeUInt16LE(value, at);
  const u32 = (value: number, at: number) =>
    bigEndian ? header.writeUInt32BE(value, at) : header.writeUInt32LE(value, at);
  u16(tag >>> 16, 0);
  u16(tag & 0xffff, 2);
  if (carriesVr) header.write(vr, 4, 'latin1');
  if (!carriesVr) u32(length, 4);
  else if (vr === 'SQ') u32(length, 8);
  else u16(length, 6);
  return header;
}

function uidBytes(uid: string): Buffer {
  return Buffer.from(uid.length % 2 === 0 ? uid : `${uid}\0`, 'latin1');
}

function shortBytes(value: number, encoding: ElementEncoding): Buffer {
  const bytes = Buffer.alloc(2);
  if (encoding === 'explicit-be') bytes.writeUInt16BE(value);
  else bytes.writeUInt16LE(value);
  return bytes;
}

/** @throws DATASET_UNREADABLE for a deflated one, which no such data set comes in */
function encodingOf(transferSyntaxUid: string): ElementEncoding {
  const { encoding, encapsulated, name } = transferSyntax(transferSyntaxUid);
  if (encoding === 'deflated-le' || encapsulated) throw unreadable(`a data set in ${name}`);
  return encoding;
}

function unreadable(message: string): GatewayError {
  return new GatewayError('DATASET_UNREADABLE', message);
}
