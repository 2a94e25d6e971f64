/**
 * Reads a tar as it streams by: ustar with prefix, PAX `path` and `size`, GNU long names; regular files and folders
 * only. Links, devices, odd names, names that clash, lies about sizes, and anything behind the end are refused. Modes,
 * owners and times are ignored. What it yields is safe as a name, but whether the name belongs there is the caller's
 * question.
 */
import { GatewayError } from '../errors/gateway-error.js';
import { type ByteReader, createByteReader } from './byte-reader.js';
import { createNameRegister, parseEntryName } from './entry-name.js';
import { paddedSize, parseTarHeader, TAR_BLOCK_BYTES, type TarHeader } from './tar-header.js';

export interface TarLimits {
  /** Files and folders together. */
  readonly maxEntries: number;
  /** Sum of all files. */
  readonly maxBytes: number;
}

export type TarEntry =
  | { readonly kind: 'folder'; readonly name: string }
  | {
      readonly kind: 'file';
      readonly name: string;
      readonly sizeBytes: number;
      /** Where the file's bytes start in the tar. */
      readonly offset: number;
      /** The file's bytes, once; what is left unread is skipped. */
      body(): AsyncGenerator<Buffer, void, undefined>;
    };

/** Long names and PAX records of honest writers are far below. */
const MAX_EXTENSION_BYTES = 64 * 1024;
/** Extended headers in front of one entry; honest writers need two. */
const MAX_EXTENSIONS = 4;
/** A megabyte at once: zeros behind the end may be many. */
const ZEROS = Buffer.alloc(1024 * 1024);

/**
 * The entries of the tar that `source` gives, in order; reads to the end of the source. The next entry may be asked
 * for only when the body of the one before is done with.
 * @param totalBytes the size of the whole tar, when it is known: no file may claim more than is left
 * @throws ENVELOPE_MALFORMED when it is not a whole tar; ARCHIVE_UNSAFE on what must never be extracted;
 *   ENVELOPE_TOO_LARGE above the limits
 */
export async function* readTar(
  source: AsyncIterator<Buffer, unknown, undefined>,
  limits: TarLimits,
  totalBytes = Number.MAX_SAFE_INTEGER,
): AsyncGenerator<TarEntry, void, undefined> {
  const reader = createByteReader(source);
  const names = createNameRegister();
  let entries = 0;
  let bytes = 0;
  for (;;) {
    const header = await readHeader(reader, totalBytes);
    if (header === undefined) break;
    const name = parseEntryName(header.name);
    entries += 1;
    if (entries > limits.maxEntries) tooLarge(`the archive has more than ${limits.maxEntries} entries`);
    if (header.type === '5') {
      if (header.sizeBytes !== 0) malformed('a tar folder has a size');
      // jmix-rs writes an entry for the root itself.
      if (name === '') continue;
      names.addFolder(name);
      yield { kind: 'folder', name };
      continue;
    }
    // Some readers would make a folder of it.
    if (header.name.at(-1) === 0x2f) unsafe('a file has the name of a folder');
    names.addFile(name);
    if (header.sizeBytes > totalBytes - reader.offset)
      malformed('a tar entry claims more bytes than there are');
    bytes += header.sizeBytes;
    if (bytes > limits.maxBytes) tooLarge(`the archive holds more than ${limits.maxBytes} bytes`);
    const body = readBody(reader, header.sizeBytes);
    yield {
      kind: 'file',
      name,
      sizeBytes: header.sizeBytes,
      offset: reader.offset,
      body: () => body.chunks(),
    };
    await body.skip();
  }
  await readEnd(reader);
}

/** The next entry's header with long name and size applied; undefined at the end of the archive. */
async function readHeader(reader: ByteReader, totalBytes: number): Promise<TarHeader | undefined> {
  let longName: Buffer | undefined;
  let size: number | undefined;
  for (let extensions = 0; ; extensions += 1) {
    const block = await reader.read(TAR_BLOCK_BYTES);
    const isExtended = longName !== undefined || size !== undefined;
    // Without the two end blocks the archive still is whole: its length is authenticated, or given by HTTP.
    if (block.length === 0 && !isExtended) return undefined;
    if (block.length < TAR_BLOCK_BYTES) malformed('the tar ends inside a header');
    const header = parseTarHeader(block);
    if (header === undefined) {
      if (isExtended) malformed('a tar extension has no entry behind it');
      return undefined;
    }
    if (header.type === '0' || header.type === '5') {
      return { type: header.type, name: longName ?? header.name, sizeBytes: size ?? header.sizeBytes };
    }
    if (!'xgL'.includes(header.type)) unsafe('it holds a link, a device or another special entry');
    if (extensions === MAX_EXTENSIONS) malformed('a tar entry has too many extensions');
    if (header.sizeBytes > MAX_EXTENSION_BYTES) malformed('a tar extension is too long');
    if (header.sizeBytes > totalBytes - reader.offset)
      malformed('a tar entry claims more bytes than there are');
    const padded = await reader.read(paddedSize(header.sizeBytes));
    if (padded.length < paddedSize(header.sizeBytes)) malformed('the tar ends inside an extension');
    const content = padded.subarray(0, header.sizeBytes);
    const nameBefore = longName;
    if (header.type === 'L') longName = untilNul(content);
    else {
      const records = parsePaxRecords(content);
      if (records.has('linkpath')) unsafe('it holds a link');
      // The bytes that follow would be a map of the file and pieces of it (GNU sparse, also as a plain file by PAX).
      if ([...records.keys()].some((keyword) => keyword.startsWith('GNU.sparse.')))
        unsafe('it holds a sparse file');
      // A global path or size would be meant for every entry behind it: no honest writer does that.
      if (header.type === 'g' && (records.has('path') || records.has('size')))
        unsafe('it has a global path or size');
      if (size !== undefined && records.has('size')) malformed('a tar entry has two sizes');
      longName = records.get('path') ?? longName;
      size = parsePaxSize(records.get('size')) ?? size;
    }
    // Readers differ in which of two counts.
    if (nameBefore !== undefined && longName !== nameBefore) malformed('a tar entry has two names');
  }
}

/** `chunks` gives the file's bytes; `skip` reads what it left, and the padding. */
function readBody(reader: ByteReader, sizeBytes: number) {
  let left = sizeBytes;
  const next = async (): Promise<Buffer | undefined> => {
    if (left === 0) return undefined;
    const piece = await reader.readSome(left);
    if (piece === undefined) malformed('the tar ends inside a file');
    left -= piece.length;
    return piece;
  };
  return {
    async *chunks(): AsyncGenerator<Buffer, void, undefined> {
      for (let piece = await next(); piece !== undefined; piece = await next()) yield piece;
    },
    async skip(): Promise<void> {
      while ((await next()) !== undefined);
      const padding = paddedSize(sizeBytes) - sizeBytes;
      if ((await reader.read(padding)).length < padding) malformed('the tar ends inside a file');
    },
  };
}

/** Only zeros may follow the end: what one reader takes for the end, another might read past. */
async function readEnd(reader: ByteReader): Promise<void> {
  for (;;) {
    const rest = await reader.readSome(ZEROS.length);
    if (rest === undefined) return;
    if (!rest.equals(ZEROS.subarray(0, rest.length))) malformed('the tar goes on behind its end');
  }
}

/** Records of the form `<length> <keyword>=<value>\n` (POSIX.1-2001 pax, extended header). */
function parsePaxRecords(content: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  for (let at = 0; at < content.length; ) {
    const blank = content.indexOf(0x20, at);
    const digits = blank < 0 ? '' : content.toString('latin1', at, blank);
    const end = at + (/^[1-9]\d{0,5}$/.test(digits) ? Number(digits) : 0);
    const equals = content.indexOf(0x3d, blank);
    if (end > content.length || equals < 0 || equals >= end || content[end - 1] !== 0x0a) {
      malformed('a PAX record is not well-formed');
    }
    const keyword = content.toString('latin1', blank + 1, equals);
    if (records.has(keyword)) malformed('a PAX record stands twice');
    records.set(keyword, content.subarray(equals + 1, end - 1));
    at = end;
  }
  return records;
}

function parsePaxSize(value: Buffer | undefined): number | undefined {
  if (value === undefined) return undefined;
  const text = value.toString('latin1');
  if (!/^\d{1,15}$/.test(text)) malformed('a PAX size is not a number');
  return Number(text);
}

function untilNul(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

function malformed(message: string): never {
  throw new GatewayError('ENVELOPE_MALFORMED', message);
}

function unsafe(message: string): never {
  throw new GatewayError('ARCHIVE_UNSAFE', `the archive is not extracted: ${message}`);
}

function tooLarge(message: string): never {
  throw new GatewayError('ENVELOPE_TOO_LARGE', message);
}
