/**
 * One instance → the same instance in Explicit or Implicit VR Little Endian, without loss, for a PACS that does not take
 * the transfer syntax that it came in (PS3.5 §10 and Annex A).
 *
 * It is the same SOP instance: what is decoded is what every reader of the compressed one sees, so SOP Instance UID and
 * Image Type stay (PS3.3 §C.7.6.1.1.2). That holds for lossy compressed images too: to decompress loses nothing more,
 * and PS3.3 §C.7.6.1.1.5 says that Lossy Image Compression (0028,2110) then remains 01. Nothing is ever compressed. Where
 * the transfer syntax alone told of the loss, the attribute says it from now on; else the conversion would have hidden it.
 *
 * Besides, only what PS3.5 demands changes: Pixel Data, Photometric Interpretation where the decoder undid a transform
 * of colours, offset tables of fragments that are no more, group lengths. The result is read again and compared with the
 * source, element by element, before anybody gets it.
 *
 * Memory: one frame several times (decoders have 2 GiB, frames 256 MiB at most); everything else goes from file to file.
 * It blocks its thread and runs code in C on what a stranger wrote: `transcoder.ts` gives it a thread that can be stopped.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createInflateRaw } from 'node:zlib';
import { GatewayError } from '../errors/gateway-error.js';
import type { ElementEncoding } from './element-walk.js';
import { compareDataSets } from './transcode-compare.js';
import {
  decodeFrame,
  FRAME_KINDS,
  type FrameKind,
  type FrameNature,
  frameNature,
} from './transcode-decode.js';
import { type Edit, type TargetEncoding, writeDataSet } from './transcode-elements.js';
import { SourceFile, TargetFile } from './transcode-file.js';
import { findFrames } from './transcode-frames.js';
import {
  type ImageFacts,
  LOSSY_IMAGE_COMPRESSION,
  PHOTOMETRIC_INTERPRETATION,
  readImage,
  readIsSigned,
} from './transcode-image.js';
import { PIXEL_DATA, readTree, type Span } from './transcode-tree.js';
import { EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, transferSyntax } from './transfer-syntaxes.js';

/** In the order of preference: Explicit VR keeps what private elements are. */
export const TARGETS: ReadonlyMap<string, TargetEncoding> = new Map([
  [EXPLICIT_VR_LITTLE_ENDIAN, 'explicit-le'],
  [IMPLICIT_VR_LITTLE_ENDIAN, 'implicit-le'],
]);

export interface Transcoding {
  /** A file with the data set from `dataSetOffset` to its end. */
  readonly path: string;
  readonly dataSetOffset: number;
  readonly transferSyntaxUid: string;
  /** One of `TARGETS`. */
  readonly targetUid: string;
  /** Must not exist; gets the data set without Part 10 header. Whatever is there after an error is of no use. */
  readonly output: string;
}

/** Explicit and Implicit VR Little Endian, deflated, Explicit VR Big Endian: their elements alone are converted. */
const NATIVE = new Set([...TARGETS.keys(), '1.2.840.10008.1.2.1.99', '1.2.840.10008.1.2.2']);
const EXTENDED_OFFSET_TABLE = 0x7fe00001;
/** With its lengths, and the Encapsulated Pixel Data Value Total Length. */
const FRAGMENT_TABLES = [EXTENDED_OFFSET_TABLE, 0x7fe00002, 0x7fe00003];
/** Heads and tables of a small compressed frame. */
const SLACK_BYTES = 256 * 1024;
/** The same bound as for Pixel Data, and room for the rest. */
const MAX_INFLATED_BYTES = 0x1_1000_0000;

/** Whether instances of this transfer syntax can be converted at all. */
function canTranscode(transferSyntaxUid: string): boolean {
  return FRAME_KINDS.has(transferSyntaxUid) || isNative(transferSyntaxUid);
}

/**
 * Converts an instance.
 * @param onProgress called before each frame
 * @throws TRANSCODE_FAILED when it cannot be converted without loss, or is damaged
 */
export async function transcode(job: Transcoding, onProgress: () => void = () => {}): Promise<void> {
  try {
    await convert(job, onProgress);
  } catch (error) {
    if (!(error instanceof GatewayError) || error.code !== 'DATASET_UNREADABLE') throw error;
    throw new GatewayError('TRANSCODE_FAILED', error.message, { cause: error });
  }
}

async function convert(job: Transcoding, onProgress: () => void): Promise<void> {
  const { transferSyntaxUid, targetUid, path, dataSetOffset, output } = job;
  const to = TARGETS.get(targetUid);
  if (to === undefined || !canTranscode(transferSyntaxUid)) {
    const { name } = transferSyntax(transferSyntaxUid);
    throw failed(`${name} cannot be converted to ${transferSyntax(targetUid).name} without loss`);
  }
  const { encoding } = transferSyntax(transferSyntaxUid);
  if (encoding !== 'deflated-le')
    return convertPlain({ path, dataSetOffset, encoding, to, output }, job, onProgress);
  const inflated = `${output}.inflated`;
  try {
    await inflate(path, dataSetOffset, inflated);
    await convertPlain(
      { path: inflated, dataSetOffset: 0, encoding: 'explicit-le', to, output },
      job,
      onProgress,
    );
  } finally {
    await rm(inflated, { force: true });
  }
}

interface PlainJob {
  readonly path: string;
  readonly dataSetOffset: number;
  readonly encoding: ElementEncoding;
  readonly to: TargetEncoding;
  readonly output: string;
}

async function convertPlain(
  { path, dataSetOffset, encoding, to, output }: PlainJob,
  { transferSyntaxUid }: Transcoding,
  onProgress: () => void,
): Promise<void> {
  const source = new SourceFile(path, dataSetOffset);
  try {
    const kind = FRAME_KINDS.get(transferSyntaxUid);
    const image = kind === undefined ? undefined : findImage(source, encoding, kind);
    const edits = image === undefined ? new Map<number, Edit>() : editsOf(image);
    const target = new TargetFile(output);
    try {
      await writeDataSet({
        ...{ source, from: encoding, target, to, edits },
        isSigned: readIsSigned(source, encoding),
        pixels: () => {
          if (image === undefined)
            throw failed('Pixel Data is in fragments, which this transfer syntax has not');
          return nativePixels(source, image, onProgress);
        },
      });
    } finally {
      target.close();
    }
    const result = new SourceFile(output);
    try {
      const edited = new Set(image === undefined ? [] : [...edits.keys(), PIXEL_DATA]);
      compareDataSets({ file: source, encoding }, { file: result, encoding: to }, edited);
    } finally {
      result.close();
    }
  } finally {
    source.close();
  }
}

interface CompressedImage {
  readonly kind: FrameKind;
  readonly facts: ImageFacts;
  readonly frames: readonly (readonly Span[])[];
  readonly nature: FrameNature;
}

/** The image and where its frames are; undefined where there is none: a report has no pixels in any transfer syntax. */
function findImage(
  source: SourceFile,
  encoding: ElementEncoding,
  kind: FrameKind,
): CompressedImage | undefined {
  let extendedOffsets: Buffer | undefined;
  for (const event of readTree(source, encoding)) {
    if (event.type === 'value' && event.depth === 0 && event.tag === EXTENDED_OFFSET_TABLE) {
      extendedOffsets = Buffer.from(source.read(event.start, event.length));
    }
    if (event.type !== 'fragments' || event.depth > 0) continue;
    const facts = readImage(source, encoding);
    const frames = findFrames({
      ...{ fragments: event.fragments, frames: facts.frames },
      ...(extendedOffsets === undefined ? {} : { extendedOffsets }),
      read: (offset, length) => source.read(offset, length),
    });
    const first = readFrame(source, frames[0] ?? [], facts);
    return { kind, facts, frames, nature: frameNature(kind, facts, first) };
  }
  return undefined;
}

function editsOf({ facts, nature }: CompressedImage): ReadonlyMap<number, Edit> {
  const edits = new Map<number, Edit>(FRAGMENT_TABLES.map((tag) => [tag, 'drop']));
  if (nature.photometric !== facts.photometric)
    edits.set(PHOTOMETRIC_INTERPRETATION, codeString(nature.photometric));
  if (nature.isLossy && !facts.saysLossy) edits.set(LOSSY_IMAGE_COMPRESSION, codeString('01'));
  return edits;
}

function codeString(text: string): Edit {
  return { vr: 'CS', value: Buffer.from(text.length % 2 === 0 ? text : `${text} `, 'latin1') };
}

/** Native Pixel Data, a frame at a time. */
function nativePixels(source: SourceFile, image: CompressedImage, onProgress: () => void) {
  const { kind, facts, frames, nature } = image;
  const isOdd = facts.pixelBytes % 2 === 1;
  return {
    // PS3.5 §A.2.
    vr: facts.bitsAllocated > 8 ? 'OW' : 'OB',
    length: facts.pixelBytes + (isOdd ? 1 : 0),
    async *bytes(): AsyncGenerator<Uint8Array, void, void> {
      for (const spans of frames) {
        onProgress();
        const data = readFrame(source, spans, facts);
        const own = frameNature(kind, facts, data);
        if (own.photometric !== nature.photometric || (own.isLossy && !nature.isLossy && !facts.saysLossy)) {
          throw failed('its frames are not compressed in the same way');
        }
        yield await decodeFrame(kind, facts, data);
      }
      if (isOdd) yield Buffer.alloc(1);
    },
  };
}

function readFrame(source: SourceFile, spans: readonly Span[], { frameBytes }: ImageFacts): Buffer {
  const length = spans.reduce((sum, span) => sum + span.length, 0);
  // No compression makes noise as much larger as this.
  if (length > 2 * frameBytes + SLACK_BYTES) throw failed('a frame is larger than it would be decompressed');
  return Buffer.concat(spans.map((span) => Buffer.from(source.read(span.start, span.length))));
}

async function inflate(path: string, start: number, output: string): Promise<void> {
  let size = 0;
  const bound = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length;
      if (size > MAX_INFLATED_BYTES) done(failed('inflated it would have more bytes than a data set can'));
      else done(null, chunk);
    },
  });
  try {
    const target = createWriteStream(output, { flags: 'wx', mode: 0o600 });
    await pipeline(createReadStream(path, { start }), createInflateRaw(), bound, target);
  } catch (error) {
    const isOfFile = error instanceof Error && 'syscall' in error;
    if (error instanceof GatewayError || isOfFile) throw error;
    throw new GatewayError('TRANSCODE_FAILED', 'the data set is no whole deflate stream', { cause: error });
  }
}

function isNative(transferSyntaxUid: string): boolean {
  return NATIVE.has(transferSyntaxUid);
}

function failed(message: string): GatewayError {
  return new GatewayError('TRANSCODE_FAILED', message);
}
