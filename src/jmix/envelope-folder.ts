/**
 * Reads an envelope folder that the caller names: the small files whole and bounded, the payload as streams. Follows no
 * link, and decides nothing but what is there; two payloads in one folder are one too many, since readers would
 * disagree about which is meant.
 */
import { constants, createReadStream } from 'node:fs';
import { lstat, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { GatewayError } from '../errors/gateway-error.js';
import { AUDIT_MAX_BYTES } from './audit-trail.js';
import { assertSafeName } from './entry-name.js';
import {
  AUDIT_FILE,
  MANIFEST_FILE,
  MANIFEST_JWS,
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

/** Files of a payload that is not sealed; more is refused before any is read. */
const MAX_PLAIN_FILES = 200_000;

export interface SealedPayload {
  readonly kind: 'sealed';
  readonly name: string;
  readonly sizeBytes: number;
  /** May be called again. @param range first and last byte, both inclusive */
  open(range?: { readonly start: number; readonly end: number }): Readable;
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
 * @throws ENVELOPE_MALFORMED when the manifest or the payload is missing, the payload is there twice, or a small file is
 *   too large; ARCHIVE_UNSAFE when something in it is neither file nor folder
 */
export async function openEnvelopeFolder(path: string): Promise<EnvelopeSource> {
  const manifest = await readSmall(join(path, MANIFEST_FILE), MANIFEST_MAX_BYTES);
  if (manifest === undefined) malformed(`${MANIFEST_FILE} is missing`);
  const jws = await readSmall(join(path, MANIFEST_JWS), JWS_MAX_BYTES);
  const audit = await readSmall(join(path, AUDIT_FILE), AUDIT_MAX_BYTES);
  return {
    manifest,
    ...(jws === undefined ? {} : { jws }),
    ...(audit === undefined ? {} : { audit }),
    payload: await findPayload(path),
  };
}

async function findPayload(path: string): Promise<SealedPayload | PlainPayload> {
  const found: (SealedPayload | PlainPayload)[] = [];
  for (const name of SEALED_PAYLOADS) {
    const sizeBytes = await sizeOf(join(path, name));
    if (sizeBytes !== undefined) found.push(sealedPayload(join(path, name), name, sizeBytes));
  }
  const plainPath = join(path, PLAIN_PAYLOAD);
  if (await isFolder(plainPath)) found.push(await plainPayload(plainPath));
  const [payload, ...more] = found;
  if (payload === undefined)
    malformed(`neither ${SEALED_PAYLOAD}, ${SEALED_PAYLOAD_RS} nor ${PLAIN_PAYLOAD}/ is there`);
  if (more.length > 0) malformed('the payload is there more than once');
  return payload;
}

function sealedPayload(path: string, name: string, sizeBytes: number): SealedPayload {
  return {
    kind: 'sealed',
    name,
    sizeBytes,
    open: (range) => createReadStream(path, { highWaterMark: READ_CHUNK_BYTES, ...range }),
  };
}

async function plainPayload(root: string): Promise<PlainPayload> {
  const files: PlainFile[] = [];
  const folders: string[] = [];
  // The list grows while it is walked: breadth first, without recursion.
  const waiting = [''];
  for (const folder of waiting) {
    for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
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
      const path = join(root, name);
      const sizeBytes = entry.isFile() ? await sizeOf(path) : undefined;
      if (sizeBytes === undefined) unsafe();
      files.push({
        name,
        sizeBytes,
        open: () => createReadStream(path, { highWaterMark: READ_CHUNK_BYTES }),
      });
    }
  }
  return { kind: 'plain', files, folders };
}

/** @returns undefined when there is no such file */
async function readSmall(path: string, maxBytes: number): Promise<Buffer | undefined> {
  const sizeBytes = await sizeOf(path);
  if (sizeBytes === undefined) return undefined;
  if (sizeBytes > maxBytes) malformed(`a document is ${sizeBytes} bytes, at most ${maxBytes} bytes are read`);
  // O_NOFOLLOW: a link put there after sizeOf has looked.
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const bytes = Buffer.alloc(sizeBytes);
    const { bytesRead } = await handle.read(bytes, 0, sizeBytes, 0);
    return bytes.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** @returns undefined when nothing is there */
async function sizeOf(path: string): Promise<number | undefined> {
  const found = await statOf(path);
  if (found === undefined) return undefined;
  if (!found.isFile()) unsafe();
  return found.size;
}

async function isFolder(path: string): Promise<boolean> {
  const found = await statOf(path);
  if (found !== undefined && !found.isDirectory()) unsafe();
  return found !== undefined;
}

async function statOf(path: string) {
  try {
    return await lstat(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function malformed(message: string): never {
  throw new GatewayError('ENVELOPE_MALFORMED', `the envelope cannot be read: ${message}`);
}

function unsafe(): never {
  throw new GatewayError('ARCHIVE_UNSAFE', 'the envelope holds a link, a device or another special entry');
}
