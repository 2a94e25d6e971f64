/**
 * The entries of a zip from outside (APPNOTE 6.3), by yauzl. A zip's index stands at its end, so it goes to a scratch
 * file first. Names are judged by our own rules and not by yauzl's; sizes and counts by what really comes out, so that
 * a bomb stops at the limit whatever it announces. What the index says of an entry must be what the entry says of
 * itself, and every byte must belong to something (zip-layout.ts): readers that go by the one or by the other see the
 * same files.
 */
import { createWriteStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import * as yauzl from 'yauzl';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import { parseEntryName } from './entry-name.js';
import { pipeInto } from './pipe-into.js';
import type { TarEntry, TarLimits } from './tar-reader.js';
import { createZipLayout } from './zip-layout.js';

/** What a tar and a zip entry have in common. */
export type ArchiveEntry =
  | Extract<TarEntry, { kind: 'folder' }>
  | Omit<Extract<TarEntry, { kind: 'file' }>, 'offset'>;

/** Upper 16 bits of the external attributes: the file's mode on Unix, nothing elsewhere. */
const MODE_TYPE = 0o170000;
const MODE_FILE = 0o100000;
const MODE_FOLDER = 0o040000;

const FLAG_ENCRYPTED = 0x0001;
const FLAG_DESCRIPTOR = 0x0008;
/** Info-ZIP's other name of the entry, which some readers prefer (§4.6.9): version, CRC-32 of the name, name. */
const UNICODE_PATH = 0x7075;
const UNICODE_PATH_HEAD_BYTES = 5;
/** A size that stands in the zip64 field instead. */
const SATURATED = 0xffff_ffff;

/**
 * @param scratchFile must not be there yet; removed in the end
 * @throws ENVELOPE_MALFORMED when it is no whole zip; ARCHIVE_UNSAFE on links, special and encrypted entries, on names,
 *   on entries that overlap or hide, and on what two readers would read differently; ENVELOPE_TOO_LARGE above the limits
 */
export async function* readZip(
  source: AsyncIterable<Buffer>,
  scratchFile: string,
  limits: TarLimits,
): AsyncGenerator<ArchiveEntry, void, undefined> {
  let zip: yauzl.ZipFile | undefined;
  try {
    await pipeInto(source, createWriteStream(scratchFile, { flags: 'wx', mode: 0o600 }));
    zip = await opened(scratchFile);
    yield* entriesOf(zip, scratchFile, limits);
  } finally {
    zip?.close();
    await rm(scratchFile, { force: true });
  }
}

async function opened(path: string): Promise<yauzl.ZipFile> {
  try {
    return await yauzl.openPromise(path, {
      autoClose: false,
      decodeStrings: false,
      validateEntrySizes: true,
    });
  } catch (error) {
    throw notAZip(error);
  }
}

async function* entriesOf(
  zip: yauzl.ZipFile,
  path: string,
  limits: TarLimits,
): AsyncGenerator<ArchiveEntry, void, undefined> {
  if (zip.entryCount > limits.maxEntries) tooLarge(`the archive has more than ${limits.maxEntries} entries`);
  const layout = createZipLayout(zip.fileSize);
  const directoryStart = cursorOf(zip);
  let bytes = 0;
  for await (const entry of centralDirectory(zip)) {
    const name = parseEntryName(entry.fileNameRaw);
    const isFolder = entry.fileNameRaw.at(-1) === 0x2f;
    assertPlainEntry(entry, isFolder);
    const dataStart = await assertLocalAgrees(zip, entry);
    layout.add(
      { start: entry.relativeOffsetOfLocalHeader, end: dataStart + entry.compressedSize },
      (entry.generalPurposeBitFlag & FLAG_DESCRIPTOR) !== 0,
    );
    if (isFolder) {
      if (name !== '') yield { kind: 'folder', name };
      continue;
    }
    bytes += entry.uncompressedSize;
    if (bytes > limits.maxBytes) tooLarge(`the archive holds more than ${limits.maxBytes} bytes`);
    yield { kind: 'file', name, sizeBytes: entry.uncompressedSize, body: () => bodyOf(zip, entry) };
  }
  const directory = { start: directoryStart, end: cursorOf(zip) };
  layout.assertWhole(directory, await readFrom(path, directory.end, zip.fileSize));
}

/** Where yauzl reads the directory: its start at first, its end after the last entry. Its types call it a boolean. */
function cursorOf(zip: yauzl.ZipFile): number {
  return Number(zip.readEntryCursor);
}

/** What stands behind the directory: end records, and a comment of at most 64 KiB. */
async function readFrom(path: string, start: number, end: number): Promise<Buffer> {
  const tail = Buffer.alloc(Math.min(end - start, 128 * 1024));
  const handle = await open(path);
  try {
    await handle.read(tail, 0, tail.length, start);
  } finally {
    await handle.close();
  }
  return tail;
}

/** @returns where the entry's data starts */
async function assertLocalAgrees(zip: yauzl.ZipFile, entry: yauzl.Entry): Promise<number> {
  const local = await zip.readLocalFileHeaderPromise(entry).catch((error: unknown) => {
    throw notAZip(error);
  });
  const pairs: readonly (readonly [number, number])[] = [
    [local.compressedSize, entry.compressedSize],
    [local.uncompressedSize, entry.uncompressedSize],
    [local.crc32, entry.crc32],
  ];
  const isKnownLater = (local.generalPurposeBitFlag & FLAG_DESCRIPTOR) !== 0;
  const isAgreed =
    local.fileName.equals(entry.fileNameRaw) &&
    local.compressionMethod === entry.compressionMethod &&
    ((local.generalPurposeBitFlag ^ entry.generalPurposeBitFlag) & (FLAG_ENCRYPTED | FLAG_DESCRIPTOR)) ===
      0 &&
    pairs.every(([here, there]) => here === there || here === SATURATED || (isKnownLater && here === 0));
  if (!isAgreed) unsafe('an entry and the index of the zip differ');
  return local.fileDataStart;
}

async function* centralDirectory(zip: yauzl.ZipFile): AsyncGenerator<yauzl.Entry, void, undefined> {
  try {
    yield* zip.eachEntry();
  } catch (error) {
    throw notAZip(error);
  }
}

/** yauzl holds the stream to the announced size; the CRC-32 is ours to check. */
async function* bodyOf(zip: yauzl.ZipFile, entry: yauzl.Entry): AsyncGenerator<Buffer, void, undefined> {
  let stream: Readable | undefined;
  try {
    stream = await zip.openReadStreamPromise(entry);
    let crc = 0;
    for await (const chunk of stream) {
      crc = crc32(chunk, crc);
      yield chunk;
    }
    if (crc !== entry.crc32) throw new GatewayError('ENVELOPE_MALFORMED', 'a zip entry has a wrong CRC-32');
  } catch (error) {
    throw notAZip(error);
  } finally {
    stream?.destroy();
  }
}

function assertPlainEntry(entry: yauzl.Entry, isFolder: boolean): void {
  if (entry.isEncrypted()) unsafe('an entry is encrypted');
  const otherName = entry.extraFields.find(({ id }) => id === UNICODE_PATH)?.data;
  if (otherName?.subarray(UNICODE_PATH_HEAD_BYTES).equals(entry.fileNameRaw) === false)
    unsafe('an entry has two names');
  if (isFolder && entry.uncompressedSize !== 0) unsafe('a folder has content');
  // Whatever system the entry says it was made on: that is one byte, and readers differ in whom they believe.
  const type = (entry.externalFileAttributes >>> 16) & MODE_TYPE;
  if (type !== 0 && type !== (isFolder ? MODE_FOLDER : MODE_FILE))
    unsafe('it holds a link or another special entry');
}

function notAZip(error: unknown): GatewayError {
  if (isGatewayError(error)) return error;
  return new GatewayError('ENVELOPE_MALFORMED', 'the zip cannot be read', { cause: error });
}

function unsafe(message: string): never {
  throw new GatewayError('ARCHIVE_UNSAFE', `the archive is not unpacked: ${message}`);
}

function tooLarge(message: string): never {
  throw new GatewayError('ENVELOPE_TOO_LARGE', message);
}
