/**
 * What proves a conversion: source and result are both read again, element by element, and must say the same. Only Pixel
 * Data that came in fragments, the edits that were meant, and group lengths may differ. Values are compared as bytes, those
 * of a big endian source in little endian order.
 */
import { GatewayError } from '../errors/gateway-error.js';
import type { ElementEncoding } from './element-walk.js';
import { formatTag } from './tags.js';
import { isGroupLength, swapped, type TargetEncoding } from './transcode-elements.js';
import type { SourceFile } from './transcode-file.js';
import { readTree, type TreeEvent } from './transcode-tree.js';

interface Side {
  readonly file: SourceFile;
  readonly encoding: ElementEncoding;
}

/**
 * @param edited tags of the top level that may differ
 * @throws TRANSCODE_FAILED naming the first element that does; DATASET_UNREADABLE
 */
export function compareDataSets(
  before: Side,
  after: Side & { readonly encoding: TargetEncoding },
  edited: ReadonlySet<number>,
): void {
  const compared = (event: TreeEvent) =>
    event.type === 'fragments'
      ? event.depth > 0
      : !isGroupLength(event.tag) && !(event.depth === 0 && edited.has(event.tag));
  const expected = filtered(
    readTree(before.file, before.encoding, { opensUnknown: after.encoding === 'implicit-le' }),
    compared,
  );
  // A private sequence in Implicit VR is told from other private values by nothing but its source.
  let isSequence = false;
  const actual = filtered(readTree(after.file, after.encoding, { isSequence: () => isSequence }), compared);
  for (const event of expected) {
    isSequence = event.type === 'open';
    const { value: other, done } = actual.next();
    if (done || !isSame(event, other, before, after)) {
      throw failed(`the result differs from the source in ${formatTag(event.tag)}`);
    }
  }
  if (!actual.next().done) throw failed('the result has an element that the source has not');
}

function isSame(a: TreeEvent, b: TreeEvent, before: Side, after: Side): boolean {
  if (a.type !== b.type || a.tag !== b.tag || a.depth !== b.depth) return false;
  if (a.type === 'open' && b.type === 'open') return a.undefinedLength === b.undefinedLength;
  if (a.type !== 'value' || b.type !== 'value') return true;
  // Where both say a VR it is the same one, unless the source's could not be told in the result.
  const bothExplicit = a.encoding !== 'implicit-le' && b.encoding !== 'implicit-le';
  if (a.length !== b.length || (bothExplicit && a.vr !== b.vr)) return false;
  const others = after.file.pieces(b.start, b.length);
  for (const piece of before.file.pieces(a.start, a.length)) {
    const other = others.next();
    const bytes = a.encoding === 'explicit-be' ? swapped(piece, a.vr, a.tag) : piece;
    if (other.done || !bytes.equals(other.value)) return false;
  }
  return true;
}

function* filtered(
  events: Iterable<TreeEvent>,
  keep: (event: TreeEvent) => boolean,
): Generator<TreeEvent, void, void> {
  for (const event of events) if (keep(event)) yield event;
}

function failed(message: string): GatewayError {
  return new GatewayError('TRANSCODE_FAILED', message);
}
