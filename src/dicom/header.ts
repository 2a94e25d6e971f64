/**
 * Selected attributes of a data set (PS3.5 §7), read without loading it: from a head in memory where that suffices,
 * else from any source of bytes. Top level only; pixel data is never touched.
 */
import { GatewayError } from '../errors/gateway-error.js';
import { decodeText } from './character-set.js';
import { type ElementEncoding, walkElements } from './element-walk.js';
import { inflateHead, inflateUntil } from './inflate-head.js';
import { trimPadding } from './padding.js';
import { TAG_VRS, TAGS, type Tag } from './tags.js';
import { transferSyntax } from './transfer-syntaxes.js';

/** The data set's bytes, without Part 10 header, at random access. */
export interface HeaderSource {
  /** Up to `length` bytes; fewer only where the data set ends. */
  read(offset: number, length: number): Promise<Buffer>;
  readonly sizeBytes: number;
}

/** What was found. */
export interface Header {
  /**
   * The value as text, without padding, decoded by Specific Character Set; several values stay joined by backslash.
   * @returns undefined when the data set has no such attribute or it was not asked for; '' when it has no value
   */
  string(tag: Tag): string | undefined;
}

/** Small reads are widened to this, so that a header costs one or two of them. */
const READ_BYTES = 16 * 1024;

/**
 * Reads the wanted attributes.
 * @throws DATASET_UNREADABLE when the data set is malformed before the last of them; `facts.offset` says where
 */
export async function readHeader(
  source: HeaderSource,
  transferSyntaxUid: string,
  wanted: readonly Tag[],
): Promise<Header> {
  const { encoding } = transferSyntax(transferSyntaxUid);
  if (encoding === 'deflated-le') {
    return inflateUntil(readAll(source), (inflated, ended) =>
      headerWithin(inflated, 'explicit-le', wanted, ended ? inflated.length : Number.POSITIVE_INFINITY),
    );
  }
  const tags = withCharacterSet(wanted);
  const walk = walkElements({ encoding, wanted: tags, sizeBytes: source.sizeBytes });
  let window: Buffer = Buffer.alloc(0);
  let windowOffset = 0;
  let step = walk.next();
  while (!step.done) {
    const { offset, length } = step.value;
    // Near its end the data set has fewer bytes than the walk would like.
    const available = Math.min(length, source.sizeBytes - offset);
    if (offset < windowOffset || offset + available > windowOffset + window.length) {
      window = await source.read(offset, Math.max(length, READ_BYTES));
      windowOffset = offset;
      if (window.length < available) throw shrunk(offset + window.length);
    }
    step = walk.next(window.subarray(offset - windowOffset, offset - windowOffset + available));
  }
  return toHeader(step.value);
}

/**
 * Reads the wanted attributes from the first bytes of a data set.
 * @returns undefined when `head` ends before the last of them: use `readHeader`
 * @throws DATASET_UNREADABLE when the data set is malformed before that
 */
export function readHeaderFromHead(
  head: Buffer,
  transferSyntaxUid: string,
  wanted: readonly Tag[],
): Header | undefined {
  const { encoding } = transferSyntax(transferSyntaxUid);
  const endless = Number.POSITIVE_INFINITY;
  if (encoding !== 'deflated-le') return headerWithin(head, encoding, wanted, endless);
  return headerWithin(inflateHead(head), 'explicit-le', wanted, endless);
}

/** @param sizeBytes length of the whole data set; Infinity when `bytes` may be just its head */
function headerWithin(
  bytes: Buffer,
  encoding: ElementEncoding,
  wanted: readonly Tag[],
  sizeBytes: number,
): Header | undefined {
  const walk = walkElements({ encoding, wanted: withCharacterSet(wanted), sizeBytes });
  let step = walk.next();
  while (!step.done) {
    const { offset, length } = step.value;
    if (offset + Math.min(length, sizeBytes - offset) > bytes.length) return undefined;
    step = walk.next(bytes.subarray(offset, offset + length));
  }
  return toHeader(step.value);
}

function withCharacterSet(wanted: readonly Tag[]): ReadonlySet<number> {
  return new Set([TAGS.SpecificCharacterSet, ...wanted]);
}

function toHeader(values: ReadonlyMap<number, Buffer>): Header {
  const characterSet = trimPadding(values.get(TAGS.SpecificCharacterSet)?.toString('latin1') ?? '');
  return {
    string(tag) {
      const value = values.get(tag);
      if (value === undefined) return undefined;
      const vr = TAG_VRS[tag];
      // Only these VRs are subject to Specific Character Set (PS3.5 §6.1.2.2).
      const localised = vr === 'LO' || vr === 'PN' || vr === 'SH';
      return trimPadding(localised ? decodeText(value, characterSet) : value.toString('latin1'));
    },
  };
}

async function* readAll(source: HeaderSource): AsyncIterable<Buffer> {
  for (let offset = 0; offset < source.sizeBytes; ) {
    const chunk = await source.read(offset, Math.min(READ_BYTES, source.sizeBytes - offset));
    if (chunk.length === 0) throw shrunk(offset);
    yield chunk;
    offset += chunk.length;
  }
}

function shrunk(offset: number): GatewayError {
  return new GatewayError('DATASET_UNREADABLE', 'data set ends before its announced length', {
    facts: { offset },
  });
}
