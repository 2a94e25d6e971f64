/**
 * One 512-byte tar header (POSIX.1-1988 ustar), both directions, and sizes on 512-byte blocks. We write regular files
 * with fixed mode, owner and time, so that equal files make equal archives; no folders, no PAX in payloads, because
 * jmix-php ignores PAX. Extended headers are read in tar-reader.ts.
 */
import { GatewayError } from '../errors/gateway-error.js';

export const TAR_BLOCK_BYTES = 512;
/** Two blocks of zeros end an archive. */
export const TAR_END_BYTES = 2 * TAR_BLOCK_BYTES;
const ZEROS = Buffer.alloc(TAR_BLOCK_BYTES);
/** Eleven octal digits. */
export const USTAR_MAX_FILE_BYTES = 8 ** 11 - 1;

/** What stands where in a header: offset and length. */
const FIELD = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  typeflag: [156, 1],
  magic: [257, 6],
  version: [263, 2],
  prefix: [345, 155],
} as const;

export interface TarHeader {
  /** As it stands there, prefix included; not yet checked. */
  readonly name: Buffer;
  readonly sizeBytes: number;
  /** `0` file, `5` folder, `x` `g` PAX, `L` GNU long name, and what we refuse. */
  readonly type: string;
}

/** `sizeBytes` rounded up to whole blocks. */
export function paddedSize(sizeBytes: number): number {
  return Math.ceil(sizeBytes / TAR_BLOCK_BYTES) * TAR_BLOCK_BYTES;
}

/**
 * The header of a regular file, or of the kind that `type` names.
 * @throws FAULT when ustar cannot hold the name; ENVELOPE_TOO_LARGE when it cannot hold the size
 */
export function formatTarHeader(name: string, sizeBytes: number, type = '0'): Buffer {
  if (sizeBytes > USTAR_MAX_FILE_BYTES) {
    throw new GatewayError(
      'ENVELOPE_TOO_LARGE',
      `one file is ${sizeBytes} bytes, tar holds at most ${USTAR_MAX_FILE_BYTES} bytes`,
    );
  }
  const split = splitName(Buffer.from(name));
  if (split === undefined) throw new GatewayError('FAULT', 'a name does not fit into a ustar header');
  const [prefix, rest] = split;
  const header = Buffer.alloc(TAR_BLOCK_BYTES);
  rest.copy(header, FIELD.name[0]);
  prefix.copy(header, FIELD.prefix[0]);
  header.write('0000644\0', FIELD.mode[0], 'latin1');
  header.write('0000000\0', FIELD.uid[0], 'latin1');
  header.write('0000000\0', FIELD.gid[0], 'latin1');
  header.write(`${sizeBytes.toString(8).padStart(11, '0')}\0`, FIELD.size[0], 'latin1');
  header.write('00000000000\0', FIELD.mtime[0], 'latin1');
  header.write(type, FIELD.typeflag[0], 'latin1');
  header.write('ustar\0', FIELD.magic[0], 'latin1');
  header.write('00', FIELD.version[0], 'latin1');
  header.write(`${checksumOf(header).toString(8).padStart(6, '0')}\0 `, FIELD.checksum[0], 'latin1');
  return header;
}

/** Whether ustar can hold the name: up to 100 bytes, and folders of up to 155 more. */
export function fitsTarHeader(name: string): boolean {
  return splitName(Buffer.from(name)) !== undefined;
}

/**
 * @returns undefined for a block of zeros
 * @throws ENVELOPE_MALFORMED when the block is no tar header
 */
export function parseTarHeader(block: Buffer): TarHeader | undefined {
  if (block.equals(ZEROS)) return undefined;
  if (!isTarHeader(block)) throw new GatewayError('ENVELOPE_MALFORMED', 'tar header has a wrong checksum');
  const name = textField(block, FIELD.name);
  // GNU headers have no prefix: their magic is "ustar  ", and other fields lie there.
  const isUstar = block.toString('latin1', FIELD.magic[0], FIELD.magic[0] + FIELD.magic[1]) === 'ustar\0';
  const prefix = isUstar ? textField(block, FIELD.prefix) : Buffer.alloc(0);
  const type = block.toString('latin1', FIELD.typeflag[0], FIELD.typeflag[0] + 1);
  return {
    name: prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name]),
    sizeBytes: parseSize(block.subarray(FIELD.size[0], FIELD.size[0] + FIELD.size[1])),
    // Before POSIX a file had NUL here, and a folder a name that ends in a slash.
    type: type === '\0' ? (name.at(-1) === 0x2f ? '5' : '0') : type,
  };
}

/** Whether the block's checksum is that of a tar header; a stray block passes once in some hundred thousand. */
export function isTarHeader(block: Buffer): boolean {
  if (block.length !== TAR_BLOCK_BYTES) return false;
  const text = textField(block, FIELD.checksum).toString('latin1').trim();
  return /^[0-7]+$/.test(text) && Number.parseInt(text, 8) === checksumOf(block);
}

/** The sum of all bytes, with the checksum field as blanks. */
function checksumOf(block: Buffer): number {
  const [start, length] = FIELD.checksum;
  let sum = 0;
  for (const byte of block) sum += byte;
  for (const byte of block.subarray(start, start + length)) sum += 0x20 - byte;
  return sum;
}

/** Octal with trailing blanks or NULs; all NULs is 0 (jmix-js writes that); GNU's base-256 when the first bit is set. */
function parseSize(field: Buffer): number {
  if (((field[0] ?? 0) & 0x80) !== 0) {
    const value = field.subarray(1).reduce((sum, byte) => sum * 256 + byte, (field[0] ?? 0) & 0x7f);
    if (Number.isSafeInteger(value)) return value;
    throw new GatewayError('ENVELOPE_MALFORMED', 'tar header has a size beyond 2^53');
  }
  const text = field
    .toString('latin1')
    .replace(/[\0 ]+$/, '')
    .replace(/^ +/, '');
  if (text === '') return 0;
  if (!/^[0-7]+$/.test(text))
    throw new GatewayError('ENVELOPE_MALFORMED', 'tar header has a size that is not octal');
  return Number.parseInt(text, 8);
}

function textField(block: Buffer, [start, length]: readonly [number, number]): Buffer {
  const field = block.subarray(start, start + length);
  const end = field.indexOf(0);
  return end < 0 ? field : field.subarray(0, end);
}

/** ustar holds 100 bytes of name and, in front of a slash, 155 bytes of prefix. */
function splitName(name: Buffer): readonly [prefix: Buffer, rest: Buffer] | undefined {
  const [maxName, maxPrefix] = [FIELD.name[1], FIELD.prefix[1]];
  if (name.length <= maxName) return [Buffer.alloc(0), name];
  for (let at = name.indexOf('/'); at >= 0 && at <= maxPrefix; at = name.indexOf('/', at + 1)) {
    const rest = name.subarray(at + 1);
    if (at > 0 && rest.length > 0 && rest.length <= maxName) return [name.subarray(0, at), rest];
  }
  return undefined;
}
