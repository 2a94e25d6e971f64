/**
 * Reading one Part 10 file of the spool: its header, its attributes, its data set as a stream. The data set is never
 * loaded whole.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { type Header, readHeader, readHeaderFromHead } from '../dicom/header.js';
import { type FileMeta, parseFileMeta } from '../dicom/part10.js';
import { foreignPreamble } from '../dicom/preamble.js';
import type { Tag } from '../dicom/tags.js';
import { GatewayError } from '../errors/gateway-error.js';
import { type ByteSource, type LoggedFile, openLogged } from './logged-file.js';

const openPath = promisify(fs.open);
const readDescriptor = promisify(fs.read);

const READ_BYTES = 512 * 1024;
/** Of most files it holds all that anybody asks for. */
const HEAD_BYTES = 24 * 1024;
/** A group 0002 longer than this is no group 0002. */
const MAX_META_BYTES = 1024 * 1024;

export interface InstanceFile {
  readonly meta: FileMeta;
  /** What the preamble makes of the file besides DICOM, in a few fixed words; absent for zeros and TIFF. */
  readonly foreignPreamble?: string;
  /** Length of the data set in bytes. */
  readonly dataSetBytes: number;
  readonly header: Header;
}

/**
 * Reads file meta information and the wanted attributes.
 * @throws DATASET_UNREADABLE when it is not a Part 10 file or its data set is broken
 */
export async function readInstanceFile(
  file: string | LoggedFile,
  wanted: readonly Tag[],
): Promise<InstanceFile> {
  return typeof file === 'string'
    ? withFile(file, (source) => readInstance(source, wanted))
    : readInstance(openLogged(file), wanted);
}

async function readInstance(file: ByteSource, wanted: readonly Tag[]): Promise<InstanceFile> {
  const { head, meta } = await readHead(file);
  const foreign = foreignPreamble(head);
  const { dataSetOffset, transferSyntaxUid } = meta;
  const dataSetBytes = file.sizeBytes - dataSetOffset;
  const source = {
    sizeBytes: dataSetBytes,
    read: (offset: number, length: number) => file.read(dataSetOffset + offset, length),
  };
  return {
    meta,
    ...(foreign === undefined ? {} : { foreignPreamble: foreign }),
    dataSetBytes,
    header:
      readHeaderFromHead(head.subarray(dataSetOffset), transferSyntaxUid, wanted) ??
      (await readHeader(source, transferSyntaxUid, wanted)),
  };
}

/** Where the data set begins, and what it is. @throws DATASET_UNREADABLE */
export async function readInstanceMeta(path: string): Promise<{ meta: FileMeta; dataSetBytes: number }> {
  return withFile(path, async (file) => {
    const { meta } = await readHead(file);
    return { meta, dataSetBytes: file.sizeBytes - meta.dataSetOffset };
  });
}

/** For `readBytesFrom`, where many files are read one after the other. */
export function readBuffer(): Buffer {
  return Buffer.allocUnsafeSlow(READ_BYTES);
}

/**
 * The bytes of a file from `offset` on. A plain loop: a stream object for each small file costs more than its bytes.
 * @param into where all pieces are read to, for those who are done with one before they ask for the next
 */
export async function* readBytesFrom(
  path: string,
  offset: number,
  into?: Buffer,
): AsyncGenerator<Buffer, void, void> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    for (let position = offset; position < size; ) {
      const buffer = into ?? Buffer.allocUnsafe(Math.min(READ_BYTES, size - position));
      const wanted = Math.min(buffer.length, size - position);
      const { bytesRead } = await handle.read(buffer, 0, wanted, position);
      // Shorter than a moment ago; whoever counts the bytes finds out.
      if (bytesRead === 0) return;
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}

/** SHA-256, lower hex, of a file's bytes from `offset` on. */
export async function hashFrom(path: string, offset: number): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of readBytesFrom(path, offset)) hash.update(chunk);
  return hash.digest('hex');
}

export async function fileSize(path: string): Promise<number> {
  return (await stat(path)).size;
}

/** Descriptors rather than handles: of thousands of small files, the handles would cost more than the reading. */
async function withFile<T>(path: string, use: (file: ByteSource) => Promise<T>): Promise<T> {
  const descriptor = await openPath(path, 'r');
  try {
    const read = (position: number, length: number) => readAt(descriptor, position, length);
    return await use({ sizeBytes: fs.fstatSync(descriptor).size, read });
  } finally {
    fs.closeSync(descriptor);
  }
}

async function readHead(file: ByteSource): Promise<{ head: Buffer; meta: FileMeta }> {
  for (let length = HEAD_BYTES; ; length *= 4) {
    const head = await file.read(0, length);
    const meta = parseFileMeta(head);
    if (meta !== undefined) return { head, meta };
    if (length >= file.sizeBytes || length > MAX_META_BYTES) {
      throw new GatewayError('DATASET_UNREADABLE', 'file meta information has no end');
    }
  }
}

async function readAt(file: number, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  const { bytesRead } = await readDescriptor(file, buffer, 0, length, position);
  return buffer.subarray(0, bytesRead);
}
