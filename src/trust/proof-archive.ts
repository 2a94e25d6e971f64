/**
 * A proof as one tar or one zip, or as a folder, both ways. Written without times, owners or compression, so that equal
 * files make equal archives. Read whole and bounded: receipts are the only large files in it.
 */
import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, open, readdir, readFile, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import { detectMediaType, MAGIC_BYTES } from '../jmix/archive-media-type.js';
import { readZip } from '../jmix/archive-zip.js';
import { formatTarHeader, paddedSize, TAR_END_BYTES } from '../jmix/tar-header.js';
import { readTar } from '../jmix/tar-reader.js';
import { isProofFile, PROOF_FILES, type ProofFiles } from './proof.js';

/** A receipt of a million instances is about half of it. */
const MAX_BYTES = 512 * 1024 * 1024;
const MAX_FILES = 1000;
/** With headers and padding. */
const MAX_ARCHIVE_BYTES = MAX_BYTES + MAX_FILES * 2048;
const LIMITS = { maxBytes: MAX_BYTES, maxEntries: MAX_FILES };

export function proofAsTar(files: ProofFiles): Buffer {
  const parts = [...files].flatMap(([name, bytes]) => [
    formatTarHeader(name, bytes.length),
    bytes,
    Buffer.alloc(paddedSize(bytes.length) - bytes.length),
  ]);
  return Buffer.concat([...parts, Buffer.alloc(TAR_END_BYTES)]);
}

/** PKWARE APPNOTE 6.3: every file stored, of 1 January 1980, the earliest day that a zip can name. */
export function proofAsZip(files: ProofFiles): Buffer {
  const locals: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const [name, bytes] of files) {
    const local = Buffer.concat([zipHeader(0x04034b50, name, bytes), Buffer.from(name), bytes]);
    central.push(zipHeader(0x02014b50, name, bytes, offset), Buffer.from(name));
    locals.push(local);
    offset += local.length;
  }
  const index = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(files.size, 8);
  end.writeUInt16LE(files.size, 10);
  end.writeUInt32LE(index.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, index, end]);
}

const EARLIEST_DOS_DATE = 0x0021;
const ZIP_VERSION = 10;

/** @param offset of the local header; given for an entry of the index, which has it and four fields more */
function zipHeader(magic: number, name: string, bytes: Buffer, offset?: number): Buffer {
  const fields = Buffer.alloc(26);
  fields.writeUInt16LE(ZIP_VERSION, 0);
  fields.writeUInt16LE(EARLIEST_DOS_DATE, 8);
  fields.writeUInt32LE(crc32(bytes), 10);
  fields.writeUInt32LE(bytes.length, 14);
  fields.writeUInt32LE(bytes.length, 18);
  fields.writeUInt16LE(name.length, 22);
  const start = Buffer.alloc(offset === undefined ? 4 : 6);
  start.writeUInt32LE(magic, 0);
  if (offset === undefined) return Buffer.concat([start, fields]);
  start.writeUInt16LE(ZIP_VERSION, 4);
  const more = Buffer.alloc(14);
  more.writeUInt32LE(offset, 10);
  return Buffer.concat([start, fields, more]);
}

/**
 * The files of a proof; undefined when what lies there is something else, or an archive that cannot be read.
 * @throws ENVELOPE_NOT_FOUND when nothing lies there; ARCHIVE_UNSAFE, ENVELOPE_TOO_LARGE for a folder
 */
export async function readProof(path: string): Promise<ProofFiles | undefined> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new GatewayError('ENVELOPE_NOT_FOUND', `there is no envelope or proof ${path}`, { cause });
  });
  if (found.isDirectory()) return readProofFolder(path);
  return found.size > MAX_ARCHIVE_BYTES ? undefined : readProofArchive(path);
}

async function readProofArchive(path: string): Promise<ProofFiles | undefined> {
  const mediaType = detectMediaType(await headOf(path));
  const stream = createReadStream(path);
  try {
    switch (mediaType) {
      case 'application/zip':
        return await collect(readZip(stream, join(tmpdir(), `drawbridge-proof-${randomUUID()}`), LIMITS));
      case 'application/x-tar':
        return await collect(readTar(stream[Symbol.asyncIterator](), LIMITS));
      default:
        return undefined;
    }
  } catch (error) {
    if (isGatewayError(error)) return undefined;
    throw error;
  } finally {
    stream.destroy();
  }
}

interface Entry {
  readonly kind: 'file' | 'folder';
  readonly name: string;
}

/** Stops at the first name that no proof has, before the file itself is read. */
async function collect(
  entries: AsyncIterable<Entry | (Entry & { readonly body: () => AsyncIterable<Buffer> })>,
): Promise<ProofFiles | undefined> {
  const files = new Map<string, Buffer>();
  for await (const entry of entries) {
    if (entry.kind === 'folder') continue;
    if (!isProofFile(entry.name) || !('body' in entry)) return undefined;
    const chunks: Buffer[] = [];
    for await (const chunk of entry.body()) chunks.push(chunk);
    files.set(entry.name, Buffer.concat(chunks));
  }
  return files.has(PROOF_FILES.sums) ? files : undefined;
}

async function readProofFolder(path: string): Promise<ProofFiles | undefined> {
  if (!(await readdir(path)).includes(PROOF_FILES.sums)) return undefined;
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  if (entries.length > MAX_FILES) tooLarge();
  const files = new Map<string, Buffer>();
  let left = MAX_BYTES;
  for (const entry of entries) {
    if (entry.isDirectory()) continue;
    const full = join(entry.parentPath, entry.name);
    const name = full.slice(path.length + 1);
    if (!entry.isFile() || !isProofFile(name)) {
      throw new GatewayError('ARCHIVE_UNSAFE', 'the folder holds something that no proof has');
    }
    left -= (await lstat(full)).size;
    if (left < 0) tooLarge();
    files.set(name, await readFile(full));
  }
  return files;
}

function tooLarge(): never {
  throw new GatewayError(
    'ENVELOPE_TOO_LARGE',
    `a proof has at most ${MAX_FILES} files and folders, and ${MAX_BYTES} bytes`,
  );
}

async function headOf(path: string): Promise<Buffer> {
  const handle = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAGIC_BYTES), 0, MAGIC_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
