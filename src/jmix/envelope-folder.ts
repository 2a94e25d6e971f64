/**
 * Reads an envelope folder that the caller names: the small files whole and bounded, the payload as streams. Follows no
 * link and waits at no pipe, also where one is put in place of a file after it was looked at: a file is the one that was
 * found, and not longer than it was then, or it is refused. Decides nothing but what is there; two payloads in one
 * folder are one too many, since readers would disagree about which is meant. Hard links are files like others: backups
 * are full of them.
 */
import { opendir } from 'node:fs/promises';
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
import { type ByteRange, bytesOf, findFile, malformed, sealedBytes, statOf, unsafe } from './found-file.js';
import { MANIFEST_MAX_BYTES } from './manifest.js';
import { JWS_MAX_BYTES } from './signatures.js';

/** The documents that are read whole, and how large they may be, in bytes. */
const DOCUMENT_MAX_BYTES: ReadonlyMap<string, number> = new Map([
  [MANIFEST_FILE, MANIFEST_MAX_BYTES],
  [MANIFEST_JWS, JWS_MAX_BYTES],
  [AUDIT_FILE, AUDIT_MAX_BYTES],
]);

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
   * @param take gives memory for the next piece, whole blocks that begin at one's boundary; pieces that lie in it are not
   *   overwritten. It is asked for several pieces ahead. Bytes that are in memory anyway may come from there all the same.
   */
  open(range?: ByteRange, take?: () => Promise<Buffer>): AsyncIterable<Buffer>;
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
    found.push({ kind: 'sealed', name, sizeBytes, open: (range, take) => sealedBytes(file, range, take) });
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

/** @returns undefined when there is no such file */
async function readDocument(folder: string, name: string): Promise<Buffer | undefined> {
  const file = await findFile(join(folder, name));
  if (file === undefined) return undefined;
  assertDocumentSize(name, file.sizeBytes);
  const pieces: Buffer[] = [];
  for await (const piece of bytesOf(file, 0, file.sizeBytes)) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function isFolder(path: string): Promise<boolean> {
  const found = await statOf(path);
  if (found !== undefined && !found.isDirectory()) unsafe();
  return found !== undefined;
}
