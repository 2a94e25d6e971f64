/**
 * The entries of a zip from outside (APPNOTE 6.3), by yauzl. A zip's index stands at its end, so it goes to a scratch
 * file first. Names are judged by our own rules and not by yauzl's; sizes and counts by what really comes out, so that
 * a bomb stops at the limit whatever it announces.
 */
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import * as yauzl from 'yauzl';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import { parseEntryName } from './entry-name.js';
import { pipeInto } from './pipe-into.js';
import type { TarEntry, TarLimits } from './tar-reader.js';

/** What a tar and a zip entry have in common. */
export type ArchiveEntry =
  | Extract<TarEntry, { kind: 'folder' }>
  | Omit<Extract<TarEntry, { kind: 'file' }>, 'offset'>;

/** Upper 16 bits of the external attributes, when made on Unix: the file's mode. */
const MODE_TYPE = 0o170000;
const MODE_FILE = 0o100000;
const MODE_FOLDER = 0o040000;
const MADE_ON_UNIX = 3;

/**
 * @param scratchFile must not be there yet; removed in the end
 * @throws ENVELOPE_MALFORMED when it is no whole zip; ARCHIVE_UNSAFE on links, special and encrypted entries and on
 *   names; ENVELOPE_TOO_LARGE above the limits
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
    yield* entriesOf(zip, limits);
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
  limits: TarLimits,
): AsyncGenerator<ArchiveEntry, void, undefined> {
  if (zip.entryCount > limits.maxEntries) tooLarge(`the archive has more than ${limits.maxEntries} entries`);
  let bytes = 0;
  for await (const entry of centralDirectory(zip)) {
    const name = parseEntryName(entry.fileNameRaw);
    const isFolder = entry.fileNameRaw.at(-1) === 0x2f;
    assertPlainEntry(entry, isFolder);
    if (isFolder) {
      if (name !== '') yield { kind: 'folder', name };
      continue;
    }
    bytes += entry.uncompressedSize;
    if (bytes > limits.maxBytes) tooLarge(`the archive holds more than ${limits.maxBytes} bytes`);
    yield { kind: 'file', name, sizeBytes: entry.uncompressedSize, body: () => bodyOf(zip, entry) };
  }
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
  if (entry.versionMadeBy >> 8 !== MADE_ON_UNIX) return;
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
