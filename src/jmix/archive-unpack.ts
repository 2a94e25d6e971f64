/**
 * Takes an envelope archive from outside apart into a folder of the caller's: tar and tar.gz as they stream in, zip by
 * way of a scratch file (archive-zip.ts). The files lie at top level or under exactly one folder. Only names that an
 * envelope has are taken; others are passed over, as in a folder, but for those that another reader could take for an
 * envelope's. Every rule of names, links and limits is for them too. Decides nothing about what is in the files.
 */
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { GatewayError } from '../errors/gateway-error.js';
import type { ArchiveMediaType } from './archive-media-type.js';
import { type ArchiveEntry, readZip } from './archive-zip.js';
import { classifyEnvelopeError } from './classify.js';
import { createNameRegister, foldName } from './entry-name.js';
import { assertDocumentSize } from './envelope-folder.js';
import { ENVELOPE_FILES, MANIFEST_FILE, OPENPGP_MESSAGE, PLAIN_PAYLOAD } from './envelope-names.js';
import { pipeInto } from './pipe-into.js';
import { readTar } from './tar-reader.js';

export interface ArchiveLimits {
  /** Bytes of the archive as it comes, and of all files in it; each for itself. */
  readonly maxBytes: number;
  /** Files and folders. */
  readonly maxEntries: number;
}

/** Bytes that come in; a source that recycles its pieces is told when one is done with, as far as that is known. */
export type ArchiveSource = Readable & { recycle?(piece: Buffer): void };

/** A file as it comes out of an archive. */
export interface ArchivedFile {
  /** Inside the envelope. */
  readonly name: string;
  readonly sizeBytes: number;
  /** Its bytes, once. */
  body(): AsyncIterable<Buffer>;
}

export interface UnpackOptions {
  readonly signal?: AbortSignal;
  /** Which files are written; the others are passed over. All when absent. */
  readonly keep?: (name: string) => boolean;
  /** Writes a file in the usual way's place: into a new one at `path`. Undefined where it leaves it to that. */
  readonly write?: (file: ArchivedFile, path: string) => Promise<void> | undefined;
  /** Where a zip is put while it is read, since its index stands at its end; removed in the end. */
  readonly scratchFile?: string;
}

/**
 * Writes the envelope's files into `intoFolder`, which must be there and empty, and belongs to the caller, who also
 * clears it after a throw and makes the files durable. On a refusal the rest of `source` is left unread and the
 * stream open, so that a server can still answer on its connection; an abort destroys it.
 * @returns the paths of the files written
 * @throws ENVELOPE_MALFORMED when it is no whole archive, or has no manifest, or two, or a document that is too large;
 *   ARCHIVE_UNSAFE on links, odd names and names that could be a second envelope's; ENVELOPE_TOO_LARGE above the limits; MEDIA_TYPE_UNSUPPORTED;
 *   SPOOL_WRITE_FAILED; CANCELLED on abort
 */
export async function unpackEnvelopeArchive(
  source: ArchiveSource,
  mediaType: ArchiveMediaType,
  intoFolder: string,
  limits: ArchiveLimits,
  options: UnpackOptions = {},
): Promise<readonly string[]> {
  const written: string[] = [];
  // readTar keeps one of its own.
  const names = mediaType === 'application/zip' ? createNameRegister() : undefined;
  const folder = createTopFolder();
  let hasManifest = false;
  // Wakes a wait for a sender that has gone silent.
  if (options.signal !== undefined) addAbortSignal(options.signal, source);
  try {
    for await (const entry of entriesOf(source, mediaType, limits, options)) {
      options.signal?.throwIfAborted();
      if (entry.kind === 'folder') names?.addFolder(entry.name);
      else names?.addFile(entry.name);
      const name = folder.inside(entry.name);
      if (name === undefined) continue;
      assertEnvelopeName(name, entry.kind);
      if (entry.kind === 'folder') continue;
      // Before a byte of it is written: a manifest of gigabytes is no manifest.
      assertDocumentSize(name, entry.sizeBytes);
      hasManifest ||= name === MANIFEST_FILE;
      if (options.keep?.(name) === false) continue;
      const path = join(intoFolder, name);
      if (name.includes('/')) await mkdir(dirname(path), { recursive: true });
      await (options.write?.({ name, sizeBytes: entry.sizeBytes, body: () => entry.body() }, path) ??
        writeFile(entry.body(), path, options.signal));
      written.push(path);
    }
  } catch (error) {
    throw classifyEnvelopeError(error, options.signal);
  }
  if (!hasManifest) throw new GatewayError('ENVELOPE_MALFORMED', `the archive holds no ${MANIFEST_FILE}`);
  return written;
}

async function writeFile(body: AsyncIterable<Buffer>, path: string, signal?: AbortSignal): Promise<void> {
  // `wx`: nothing that is there already is ever written over or through.
  await pipeInto(copied(body), createWriteStream(path, { flags: 'wx', mode: 0o600 }), signal);
}

/** For a stream that may still be writing a piece when its source uses the memory again. */
async function* copied(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  for await (const piece of body) yield Buffer.from(piece);
}

function entriesOf(
  source: ArchiveSource,
  mediaType: ArchiveMediaType,
  limits: ArchiveLimits,
  options: UnpackOptions,
): AsyncIterable<ArchiveEntry> {
  if (mediaType === 'application/x-tar') {
    return readTar(
      withLimit(source, limits.maxBytes, (piece) => source.recycle?.(piece)),
      limits,
    );
  }
  const limited = withLimit(source, limits.maxBytes);
  switch (mediaType) {
    case 'application/gzip':
      return readGzippedTar(limited, limits);
    case 'application/zip':
      if (options.scratchFile === undefined) throw new GatewayError('FAULT', 'a zip needs a scratch file');
      return readZip(limited, options.scratchFile, limits);
    default:
      throw new GatewayError('MEDIA_TYPE_UNSUPPORTED', 'an archive must be tar, tar.gz or zip');
  }
}

async function* readGzippedTar(
  source: AsyncIterable<Buffer>,
  limits: ArchiveLimits,
): AsyncGenerator<ArchiveEntry, void, undefined> {
  const gunzip = createGunzip({ chunkSize: 256 * 1024 });
  let fed = 0;
  const counted = async function* (): AsyncGenerator<Buffer, void, undefined> {
    for await (const chunk of source) {
      fed += chunk.length;
      yield chunk;
    }
  };
  // Its failure, the source's included, comes out of gunzip as it is read.
  const feeding = pipeline(counted(), gunzip).catch(() => undefined);
  try {
    yield* readTar(withLimit(gunzip, inflatedLimit(limits)), limits);
    await feeding;
    // zlib takes a NUL behind the last member for padding, and leaves alone what stands behind it.
    if (gunzip.bytesWritten !== fed)
      throw new GatewayError('ENVELOPE_MALFORMED', 'the gzip goes on behind its end');
  } finally {
    gunzip.destroy();
    await feeding;
  }
}

/** All files at their limit, and headers: what is inflated beyond that is a bomb, of zeros behind the end or headers. */
function inflatedLimit(limits: ArchiveLimits): number {
  return limits.maxBytes + limits.maxEntries * 4096 + 1024 * 1024;
}

async function* withLimit(
  source: Readable,
  maxBytes: number,
  doneWith: (piece: Buffer) => void = () => undefined,
): AsyncGenerator<Buffer, void, undefined> {
  let bytes = 0;
  for await (const chunk of source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) {
      throw new GatewayError('ENVELOPE_TOO_LARGE', `the archive is larger than ${maxBytes} bytes`, {
        facts: { maxBytes },
      });
    }
    yield chunk;
    doneWith(chunk);
  }
}

/**
 * Files at top level, or all under one folder of any name; the first that has an envelope's name decides which. One
 * elsewhere would make it two envelopes in one, of which every reader could pick another.
 */
function createTopFolder() {
  let top: string | undefined;
  return {
    /** The name inside the envelope; undefined for what is none of it. */
    inside(name: string): string | undefined {
      const segments = name.split('/');
      const depth = segments[0] === MAC_FOLDER ? -1 : segments.slice(0, 2).findIndex(isReserved);
      if (depth < 0) {
        if (segments.some((segment) => foldName(segment) === MANIFEST_FILE)) unsafe('it holds two envelopes');
        return undefined;
      }
      const root = segments.slice(0, depth).join('/');
      top ??= root;
      if (root !== top) unsafe('an entry lies outside the envelope');
      return segments.slice(depth).join('/');
    },
  };
}

/** What macOS puts beside the files that it zips, under the same names. */
const MAC_FOLDER = '__MACOSX';

const RESERVED = new Set([...ENVELOPE_FILES, OPENPGP_MESSAGE, PLAIN_PAYLOAD]);

/** Whether some disk takes it for one of the names that mean something in an envelope. */
function isReserved(segment: string): boolean {
  return RESERVED.has(foldName(segment));
}

function assertEnvelopeName(name: string, kind: ArchiveEntry['kind']): void {
  const isKnown =
    kind === 'file'
      ? ENVELOPE_FILES.includes(name) || name.startsWith(`${PLAIN_PAYLOAD}/`)
      : `${name}/`.startsWith(`${PLAIN_PAYLOAD}/`);
  if (!isKnown) unsafe('it holds a name that could be taken for one of an envelope');
}

function unsafe(message: string): never {
  throw new GatewayError('ARCHIVE_UNSAFE', `the archive is not unpacked: ${message}`);
}
