/**
 * An envelope folder as one archive for the wire: a plain tar with the envelope's files at top level, manifest.json
 * first, so that a receiver can judge before the payload has come. Its size is known before its first byte. An envelope
 * that was sealed as an OpenPGP message travels as that message, and nothing beside it. Taking archives apart is archive-unpack.ts, which is given on from here, so that both ways have one door.
 */
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { BLOCK_BYTES, DIRECT } from '../disk/uncached.mjs';
import { GatewayError } from '../errors/gateway-error.js';
import { type ArchiveMediaType, OPENPGP_MEDIA_TYPE, WIRE_MEDIA_TYPE } from './archive-media-type.js';
import { ENVELOPE_FILES, MANIFEST_FILE, OPENPGP_MESSAGE, PLAIN_PAYLOAD } from './envelope-names.js';
import { READ_CHUNK_BYTES } from './found-file.js';
import { gathered } from './gathered.js';
import { borrowSlabs } from './slab-pool.js';
import { formatTarHeader, paddedSize, TAR_END_BYTES, USTAR_MAX_FILE_BYTES } from './tar-header.js';

export {
  type ArchiveMediaType,
  detectMediaType,
  MAGIC_BYTES,
  OPENPGP_MEDIA_TYPE,
  WIRE_MEDIA_TYPE,
} from './archive-media-type.js';
export {
  type ArchivedFile,
  type ArchiveLimits,
  type UnpackOptions,
  unpackEnvelopeArchive,
} from './archive-unpack.js';

export interface ArchiveFile {
  readonly name: string;
  readonly sizeBytes: number;
}

export interface EnvelopeArchive {
  /** Of the whole archive, whatever the stream's offset. */
  readonly sizeBytes: number;
  readonly stream: Readable;
}

/** The archive's size in bytes: a pure function of the names and sizes in it. */
export function archiveSize(files: readonly ArchiveFile[]): number {
  const entries = files.reduce((sum, file) => sum + headerOf(file).length + paddedSize(file.sizeBytes), 0);
  return entries + TAR_END_BYTES;
}

/** The media type of the archive of the envelope in `folderPath`. */
export async function envelopeMediaType(folderPath: string): Promise<ArchiveMediaType> {
  return (await messageIn(folderPath)) === undefined ? WIRE_MEDIA_TYPE : OPENPGP_MEDIA_TYPE;
}

/** The size of the archive of the envelope in `folderPath`, in bytes. @throws as `openEnvelopeArchive` */
export async function envelopeArchiveSize(folderPath: string): Promise<number> {
  const message = await messageIn(folderPath);
  if (message !== undefined) return message.sizeBytes;
  return archiveSize(await listEnvelope(folderPath));
}

/**
 * The envelope in `folderPath` as a plain tar: of one folder always the same bytes. The folder must stay as it is until
 * the stream has ended.
 * @param offset the stream starts with this byte of the archive; 0 to its size
 * @throws ENVELOPE_MALFORMED when the folder has no manifest.json; the stream fails with SPOOL_CORRUPT when a file has
 *   another size than at the start
 */
export async function openEnvelopeArchive(folderPath: string, offset = 0): Promise<EnvelopeArchive> {
  const bytes = await bytesIn(folderPath, offset, NEW_MEMORY);
  return {
    sizeBytes: await envelopeArchiveSize(folderPath),
    stream: Readable.from(gathered(bytes), { objectMode: false }),
  };
}

/**
 * The envelope's files in the order of the archive; unknown ones are left out.
 * @throws ENVELOPE_MALFORMED when there is no manifest.json
 */
export async function listEnvelope(folderPath: string): Promise<readonly ArchiveFile[]> {
  const names = new Set(await readdir(folderPath));
  if (!names.has(MANIFEST_FILE)) throw new GatewayError('ENVELOPE_MALFORMED', `${MANIFEST_FILE} is missing`);
  const present = ENVELOPE_FILES.filter((name) => names.has(name));
  if (names.has(PLAIN_PAYLOAD)) present.push(...(await listPayload(folderPath)));
  const files: ArchiveFile[] = [];
  for (const name of present) files.push({ name, sizeBytes: (await lstat(join(folderPath, name))).size });
  return files;
}

async function listPayload(folderPath: string): Promise<string[]> {
  const entries = await readdir(join(folderPath, PLAIN_PAYLOAD), { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return files.map((entry) => join(entry.parentPath, entry.name).slice(folderPath.length + 1)).sort();
}

/**
 * The archive's bytes for whoever writes each piece away before asking for the next: the pieces lie in two buffers that
 * are used again and again, while one is written the other is filled. Spares the memory that a stream would take and
 * give back, which is half of what sending costs.
 * @throws as `openEnvelopeArchive`
 */
export async function* archivePieces(
  folderPath: string,
  offset: number,
): AsyncGenerator<Buffer, void, undefined> {
  const { slabs, giveBack } = borrowSlabs(2, READ_CHUNK_BYTES);
  let turn = 0;
  try {
    yield* await bytesIn(folderPath, offset, {
      isAligned: true,
      next() {
        turn += 1;
        return slabs[turn % 2] ?? NEW_MEMORY.next();
      },
    });
  } finally {
    giveBack();
  }
}

/** For the next piece, while the one before it may still be looked at. */
interface PieceMemory {
  /** Whether it may be read into past the page cache. */
  readonly isAligned: boolean;
  next(): Buffer;
}

const NEW_MEMORY: PieceMemory = {
  isAligned: false,
  next: () => Buffer.allocUnsafeSlow(READ_CHUNK_BYTES),
};

async function bytesIn(
  folderPath: string,
  offset: number,
  memory: PieceMemory,
): Promise<AsyncGenerator<Buffer, void, undefined>> {
  const message = await messageIn(folderPath);
  if (message === undefined) return archiveBytes(folderPath, await listEnvelope(folderPath), offset, memory);
  return fileBytes(join(folderPath, message.name), message.sizeBytes, offset, memory);
}

/** Undefined for an envelope that was sealed in the JMIX way. */
async function messageIn(folderPath: string): Promise<ArchiveFile | undefined> {
  const found = await lstat(join(folderPath, OPENPGP_MESSAGE)).catch(() => undefined);
  return found?.isFile() === true ? { name: OPENPGP_MESSAGE, sizeBytes: found.size } : undefined;
}

async function* archiveBytes(
  folderPath: string,
  files: readonly ArchiveFile[],
  offset: number,
  memory: PieceMemory,
): AsyncGenerator<Buffer, void, undefined> {
  let skip = offset;
  const rest = function* (bytes: Buffer) {
    const skipped = Math.min(skip, bytes.length);
    skip -= skipped;
    if (skipped < bytes.length) yield bytes.subarray(skipped);
  };
  for (const file of files) {
    yield* rest(headerOf(file));
    const start = Math.min(skip, file.sizeBytes);
    skip -= start;
    yield* fileBytes(join(folderPath, file.name), file.sizeBytes, start, memory);
    yield* rest(Buffer.alloc(paddedSize(file.sizeBytes) - file.sizeBytes));
  }
  yield* rest(Buffer.alloc(TAR_END_BYTES));
}

/**
 * A file that grows is cut off at the size in its header, and then found out. Read past the page cache where the memory is
 * such that it can be: it was written so, and is read once.
 */
async function* fileBytes(
  path: string,
  sizeBytes: number,
  start: number,
  memory: PieceMemory,
): AsyncGenerator<Buffer, void, undefined> {
  let handle = await (memory.isAligned ? openToRead(path, sizeBytes) : open(path));
  try {
    let position = start - (start % BLOCK_BYTES);
    const readNext = () => handle.read(memory.next(), 0, READ_CHUNK_BYTES, position);
    let reading = readNext().catch(async (error: unknown) => {
      if (!isErrno(error, 'EINVAL')) throw error;
      await handle.close();
      handle = await open(path);
      return readNext();
    });
    for (let isEnd = false; !isEnd; ) {
      const { bytesRead, buffer: piece } = await reading;
      const skipped = Math.max(0, start - position);
      position += bytesRead;
      if (bytesRead === 0 || position > sizeBytes) break;
      // Within a block only the end of the file is.
      isEnd = position % BLOCK_BYTES !== 0;
      if (!isEnd) reading = readNext();
      // Whoever stops asking leaves it behind; its failure is nobody's then.
      reading.catch(() => undefined);
      yield piece.subarray(skipped, bytesRead);
    }
    if (position !== sizeBytes) {
      throw new GatewayError('SPOOL_CORRUPT', `an envelope file is not ${sizeBytes} bytes any more`);
    }
  } finally {
    await handle.close();
  }
}

/** Up to here, the cache is cheaper than the disk. */
const SMALL_FILE_BYTES = 64 * 1024;

async function openToRead(path: string, sizeBytes: number): Promise<FileHandle> {
  if (sizeBytes <= SMALL_FILE_BYTES) return open(path);
  return open(path, constants.O_RDONLY | DIRECT).catch((error: unknown) => {
    if (isErrno(error, 'EINVAL')) return open(path);
    throw error;
  });
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

/** A sealed payload of 8 GiB or more does not fit into ustar's eleven octal digits: PAX says its size instead. */
function headerOf(file: ArchiveFile): Buffer {
  if (file.sizeBytes <= USTAR_MAX_FILE_BYTES) return formatTarHeader(file.name, file.sizeBytes);
  const record = formatPaxRecord('size', String(file.sizeBytes));
  return Buffer.concat([
    formatTarHeader('PaxHeader', record.length, 'x'),
    record,
    Buffer.alloc(paddedSize(record.length) - record.length),
    formatTarHeader(file.name, 0),
  ]);
}

/** The length at the front counts itself. */
function formatPaxRecord(keyword: string, value: string): Buffer {
  const rest = ` ${keyword}=${value}\n`;
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length += 1;
  return Buffer.from(`${length}${rest}`);
}
