/**
 * Reads an envelope folder that the caller names: the small files whole and bounded, the payload as streams. Follows no
 * link and waits at no pipe, also where one is put in place of a file after it was looked at: a file is the one that was
 * found, and not longer than it was then, or it is refused. Decides nothing but what is there; two payloads in one
 * folder are one too many, since readers would disagree about which is meant. Hard links are files like others: backups
 * are full of them.
 */
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, lstat, open, opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { GatewayError } from '../errors/gateway-error.js';
import { AUDIT_MAX_BYTES } from './audit-trail.js';
import { assertSafeName } from './entry-name.js';
import {
  AUDIT_FILE,
  MANIFEST_FILE,
  MANIFEST_JWS,
  OPENPGP_MESSAGE,
  PLAIN_PAYLOAD,
  SEALED_PAYLOAD,
  SEALED_PAYLOAD_RS,
  SEALED_PAYLOADS,
} from './envelope-names.js';
import { MANIFEST_MAX_BYTES } from './manifest.js';
import { JWS_MAX_BYTES } from './signatures.js';

/**
 * The payload passes through cipher, hash and TLS in pieces of this size: large enough that a call costs nothing, small
 * enough for the processor's cache. Pieces of 1 MiB made everything behind them about a third slower.
 */
export const READ_CHUNK_BYTES = 256 * 1024;

/** The documents that are read whole, and how large they may be, in bytes. */
const DOCUMENT_MAX_BYTES: ReadonlyMap<string, number> = new Map([
  [MANIFEST_FILE, MANIFEST_MAX_BYTES],
  [MANIFEST_JWS, JWS_MAX_BYTES],
  [AUDIT_FILE, AUDIT_MAX_BYTES],
]);

/** Without O_NONBLOCK a pipe would be waited at for ever. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Files of a payload that is not sealed; more is refused before any is read. */
const MAX_PLAIN_FILES = 200_000;
const FOLDER_ENTRIES_AT_ONCE = 1000;

export interface SealedPayload {
  readonly kind: 'sealed';
  readonly name: string;
  readonly sizeBytes: number;
  /**
   * The bytes, in pieces that are overwritten when the next is asked for: whoever keeps one must copy it. May be called
   * again.
   * @param range first and last byte, both inclusive
   */
  open(range?: { readonly start: number; readonly end: number }): AsyncIterable<Buffer>;
}

export interface PlainPayload {
  readonly kind: 'plain';
  readonly files: readonly PlainFile[];
  /** Payload-relative names of all folders: some payload hashes count them. */
  readonly folders: readonly string[];
}

export interface PlainFile {
  /** Payload-relative. */
  readonly name: string;
  readonly sizeBytes: number;
  open(): Readable;
}

export interface EnvelopeSource {
  readonly manifest: Buffer;
  readonly jws?: Buffer;
  readonly audit?: Buffer;
  readonly payload: SealedPayload | PlainPayload;
}

/**
 * @param path the envelope folder
 * @param options `inSpool`: the payload may also be an OpenPGP message; elsewhere such a file is none of ours
 * @throws ENVELOPE_MALFORMED when the manifest or the payload is missing, the payload is there twice, or a small file is
 *   too large; ARCHIVE_UNSAFE when something in it is neither file nor folder
 */
export async function openEnvelopeFolder(
  path: string,
  { inSpool = false }: { readonly inSpool?: boolean } = {},
): Promise<EnvelopeSource> {
  const manifest = await readDocument(path, MANIFEST_FILE);
  if (manifest === undefined) malformed(`${MANIFEST_FILE} is missing`);
  const jws = await readDocument(path, MANIFEST_JWS);
  const audit = await readDocument(path, AUDIT_FILE);
  return {
    manifest,
    ...(jws === undefined ? {} : { jws }),
    ...(audit === undefined ? {} : { audit }),
    payload: await findPayload(path, inSpool ? [...SEALED_PAYLOADS, OPENPGP_MESSAGE] : SEALED_PAYLOADS),
  };
}

/** @throws ENVELOPE_MALFORMED when `name` is that of a document, and it is too large to be read */
export function assertDocumentSize(name: string, sizeBytes: number): void {
  const maxBytes = DOCUMENT_MAX_BYTES.get(name) ?? Number.POSITIVE_INFINITY;
  if (sizeBytes > maxBytes) malformed(`a document is ${sizeBytes} bytes, at most ${maxBytes} bytes are read`);
}

async function findPayload(path: string, names: readonly string[]): Promise<SealedPayload | PlainPayload> {
  const found: (SealedPayload | PlainPayload)[] = [];
  for (const name of names) {
    const file = await findFile(join(path, name));
    if (file === undefined) continue;
    const { sizeBytes } = file;
    found.push({ kind: 'sealed', name, sizeBytes, open: (range) => sealedBytes(file, range) });
  }
  const plainPath = join(path, PLAIN_PAYLOAD);
  if (await isFolder(plainPath)) found.push(await plainPayload(plainPath));
  const [payload, ...more] = found;
  if (payload === undefined)
    malformed(`neither ${SEALED_PAYLOAD}, ${SEALED_PAYLOAD_RS} nor ${PLAIN_PAYLOAD}/ is there`);
  if (more.length > 0) malformed('the payload is there more than once');
  return payload;
}

async function plainPayload(root: string): Promise<PlainPayload> {
  const files: PlainFile[] = [];
  const folders: string[] = [];
  // The list grows while it is walked: breadth first, without recursion.
  const waiting = [''];
  for (const folder of waiting) {
    // Entry by entry: a list of all of them could be larger than memory.
    for await (const entry of await opendir(join(root, folder), { bufferSize: FOLDER_ENTRIES_AT_ONCE })) {
      const name = folder === '' ? entry.name : `${folder}/${entry.name}`;
      assertSafeName(name);
      if (files.length + folders.length >= MAX_PLAIN_FILES) {
        throw new GatewayError(
          'ENVELOPE_TOO_LARGE',
          `the payload has more than ${MAX_PLAIN_FILES} files and folders`,
        );
      }
      if (entry.isDirectory()) {
        folders.push(name);
        waiting.push(name);
        continue;
      }
      const file = entry.isFile() ? await findFile(join(root, name)) : undefined;
      if (file === undefined) unsafe();
      const { sizeBytes } = file;
      files.push({
        name,
        sizeBytes,
        open: () => Readable.from(bytesOf(file, 0, sizeBytes), { objectMode: false }),
      });
    }
  }
  return { kind: 'plain', files, folders };
}

/** A file as it was found. */
interface FoundFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** Device and number on it: what a name stands for may change. */
  readonly identity: string;
}

/** @returns undefined when there is no such file */
async function readDocument(folder: string, name: string): Promise<Buffer | undefined> {
  const file = await findFile(join(folder, name));
  if (file === undefined) return undefined;
  assertDocumentSize(name, file.sizeBytes);
  const pieces: Buffer[] = [];
  for await (const piece of bytesOf(file, 0, file.sizeBytes)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Two buffers in turn: while the piece in one is decrypted, the other is filled. */
async function* sealedBytes(
  file: FoundFile,
  range = { start: 0, end: file.sizeBytes - 1 },
): AsyncGenerator<Buffer, void, undefined> {
  const pair: [Buffer, Buffer] = [
    Buffer.allocUnsafeSlow(READ_CHUNK_BYTES),
    Buffer.allocUnsafeSlow(READ_CHUNK_BYTES),
  ];
  const pieces = bytesOf(file, range.start, range.end + 1, () => {
    pair.reverse();
    return pair[0];
  });
  try {
    let reading = pieces.next();
    for (;;) {
      const { done, value } = await reading;
      if (done === true) return;
      reading = pieces.next();
      // Whoever stops asking leaves it behind; its failure is nobody's then.
      reading.catch(() => undefined);
      yield value;
    }
  } finally {
    await pieces.return();
  }
}

/** From `start` to before `end`, or to the end of what was found; a file that has grown meanwhile is not read further. */
async function* bytesOf(
  file: FoundFile,
  start: number,
  end: number,
  bufferOf: (sizeBytes: number) => Buffer = Buffer.allocUnsafeSlow,
): AsyncGenerator<Buffer, void, undefined> {
  const handle = await openFound(file);
  try {
    const last = Math.min(end, file.sizeBytes);
    for (let position = start; position < last; ) {
      const wanted = Math.min(READ_CHUNK_BYTES, last - position);
      const buffer = bufferOf(wanted);
      const { bytesRead } = await handle.read(buffer, 0, wanted, position);
      if (bytesRead === 0) malformed('a file has become shorter while it was read');
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}

async function openFound({ path, identity }: FoundFile): Promise<FileHandle> {
  const handle = await open(path, OPEN_FLAGS).catch((error: unknown) => {
    // Linux and macOS say so of a link, BSD says EMLINK; a socket cannot be opened at all.
    if (isErrno(error, 'ELOOP', 'EMLINK', 'ENXIO')) unsafe();
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) malformed('a file has gone while it was read');
    throw error;
  });
  const found = await handle.stat({ bigint: true });
  if (found.isFile() && identityOf(found) === identity) return handle;
  await handle.close();
  return malformed('a file was replaced while it was read');
}

/** @returns undefined when nothing is there */
async function findFile(path: string): Promise<FoundFile | undefined> {
  const found = await statOf(path);
  if (found === undefined) return undefined;
  if (!found.isFile()) unsafe();
  return { path, sizeBytes: Number(found.size), identity: identityOf(found) };
}

function identityOf({ dev, ino }: BigIntStats): string {
  return `${dev}:${ino}`;
}

async function isFolder(path: string): Promise<boolean> {
  const found = await statOf(path);
  if (found !== undefined && !found.isDirectory()) unsafe();
  return found !== undefined;
}

async function statOf(path: string) {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}

function malformed(message: string): never {
  throw new GatewayError('ENVELOPE_MALFORMED', `the envelope cannot be read: ${message}`);
}

function unsafe(): never {
  throw new GatewayError('ARCHIVE_UNSAFE', 'the envelope holds a link, a device or another special entry');
}
