/**
 * Fragments → frames (PS3.5 §A.4). One frame may lie in several fragments, and four things may tell which: that there is
 * one frame only, or as many fragments as frames; the Basic Offset Table; the Extended Offset Table (PS3.3 §C.7.6.3.1.8);
 * and, where a writer left both empty, that a frame begins with the marker of its format. If none of them gives exactly
 * the Number of Frames, nothing is guessed.
 */
import { GatewayError } from '../errors/gateway-error.js';
import type { Span } from './transcode-tree.js';

export interface FrameLayout {
  /** The first is the Basic Offset Table. */
  readonly fragments: readonly Span[];
  readonly frames: number;
  /** Little endian, 64 bits each; absent when the data set has none. */
  readonly extendedOffsets?: Buffer;
  /** @param length at most 64 KiB */
  read(offset: number, length: number): Buffer;
}

const ITEM_HEADER_BYTES = 8;
/** The first bytes of JPEG and JPEG-LS (SOI and any marker), and of JPEG 2000. */
const BEGINNINGS = ['ffd8ff', 'ff4fff'];

/** The fragments of each frame. @throws TRANSCODE_FAILED */
export function findFrames(layout: FrameLayout): readonly (readonly Span[])[] {
  const [table, ...fragments] = layout.fragments;
  const { frames } = layout;
  const first = fragments[0];
  if (table === undefined || first === undefined) throw failed('Pixel Data has no fragments');
  if (frames === 1) return [fragments];
  if (fragments.length === frames) return fragments.map((fragment) => [fragment]);
  if (fragments.length < frames) {
    throw failed(`Pixel Data has ${fragments.length} fragments, the image says ${frames} frames`);
  }
  const base = first.start - ITEM_HEADER_BYTES;
  const offsets = basicOffsets(layout, table) ?? extendedOffsets(layout);
  const begins =
    offsets === undefined
      ? fragments.map((fragment) => isBeginning(layout.read(fragment.start, 3)))
      : fragments.map((fragment) => offsets.has(fragment.start - ITEM_HEADER_BYTES - base));
  const grouped: Span[][] = [];
  for (const [at, fragment] of fragments.entries()) {
    if (begins[at]) grouped.push([fragment]);
    else grouped.at(-1)?.push(fragment);
  }
  if (!begins[0] || grouped.length !== frames) {
    throw failed(`Pixel Data has ${grouped.length} frames, the image says ${frames}`);
  }
  return grouped;
}

function basicOffsets({ frames, read }: FrameLayout, table: Span): ReadonlySet<number> | undefined {
  if (table.length !== 4 * frames) return undefined;
  return new Set(
    Array.from({ length: frames }, (_, each) => read(table.start + 4 * each, 4).readUInt32LE(0)),
  );
}

function extendedOffsets({ frames, extendedOffsets: table }: FrameLayout): ReadonlySet<number> | undefined {
  if (table?.length !== 8 * frames) return undefined;
  return new Set(Array.from({ length: frames }, (_, each) => Number(table.readBigUInt64LE(8 * each))));
}

function isBeginning(head: Buffer): boolean {
  return BEGINNINGS.includes(head.toString('hex'));
}

function failed(message: string): GatewayError {
  return new GatewayError('TRANSCODE_FAILED', message);
}
