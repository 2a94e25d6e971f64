/**
 * payload/files.json (JMIX files), both directions: name, SHA-256 and size of the payload's files. We list everything
 * but files.json itself. Reading takes bare and `sha256:` hashes in either case, and lists that leave out what they
 * may; but what a list says must be so.
 */
import { GatewayError } from '../errors/gateway-error.js';
import { CANON, type Dialect } from './dialect.js';
import { formatPayloadHash, parseSha256 } from './digest.js';
import { assertSchema, readBySchema } from './published-schemas.js';
import { isJsonObject, type JsonValue, parseStrictJson } from './strict-json.js';

export const FILES_LIST = 'files.json';

export interface FileEntry {
  /** Payload-relative name. */
  readonly file: string;
  /** Of the file's bytes, 64 digits of lower hex. */
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** What a list claims; a foreign one may claim less than we write. */
export interface ListedFile {
  readonly file: string;
  readonly sha256?: string;
  readonly sizeBytes?: number;
}

/** How a dialect writes files.json. */
export type FilesListForm = Pick<Dialect, 'filesListHash' | 'manifestIndent'>;

/** The bytes of files.json. Their number depends on form, names and sizes only. */
export function formatFilesList(entries: readonly FileEntry[], form: FilesListForm = CANON): Buffer {
  const document = entries.map((entry) => ({
    file: entry.file,
    hash: form.filesListHash === 'prefixed' ? formatPayloadHash(entry.sha256) : entry.sha256,
    size_bytes: entry.sizeBytes,
  }));
  assertSchema('files', document, 'FAULT');
  return Buffer.from(JSON.stringify(document, null, form.manifestIndent));
}

/** How long files.json will be, before any hash is known. */
export function filesListSize(
  entries: readonly { readonly file: string; readonly sizeBytes: number }[],
  form: FilesListForm = CANON,
): number {
  const sha256 = '0'.repeat(64);
  return formatFilesList(
    entries.map(({ file, sizeBytes }) => ({ file, sha256, sizeBytes })),
    form,
  ).length;
}

export interface ParsedFilesList {
  readonly files: readonly ListedFile[];
  /** As unknown-members.ts names them. */
  readonly unknownMembers: readonly string[];
}

/** @throws METADATA_INVALID when it is not strict JSON, does not conform to the published schema, or has an odd hash */
export function parseFilesList(bytes: Buffer): ParsedFilesList {
  const document = parseStrictJson(bytes, FILES_LIST, 'METADATA_INVALID');
  const unknownMembers = readBySchema('files', document, 'METADATA_INVALID');
  return { files: Array.isArray(document) ? document.map(parseEntry) : [], unknownMembers };
}

/**
 * Whether every claim of the list holds for the payload, and every file under files/ is listed (JMIX files: it must).
 * @throws PAYLOAD_INCONSISTENT
 */
export function assertFilesListHolds(listed: readonly ListedFile[], files: readonly FileEntry[]): void {
  const present = new Map(files.map((entry) => [entry.file, entry]));
  const names = new Set<string>();
  for (const claim of listed) {
    // Where two files became one on the way in, the list is what still tells.
    if (names.has(claim.file)) inconsistent('files.json lists a file twice');
    names.add(claim.file);
    // No list holds its own hash, so whoever made this one did not look.
    if (claim.file === FILES_LIST) inconsistent('files.json lists itself');
    const entry = present.get(claim.file);
    // jmix-rs lists a configured report that it never copies, without hash and size: nothing is claimed of it.
    if (entry === undefined && claim.sha256 === undefined && claim.sizeBytes === undefined) continue;
    if (entry === undefined) inconsistent('files.json lists a file that the payload does not hold');
    if (claim.sizeBytes !== undefined && claim.sizeBytes !== entry.sizeBytes) {
      inconsistent(`files.json says ${claim.sizeBytes} bytes, the file has ${entry.sizeBytes} bytes`);
    }
    if (claim.sha256 !== undefined && claim.sha256 !== entry.sha256) {
      inconsistent('files.json names another SHA-256 than the file has');
    }
  }
  if (files.some((entry) => entry.file.startsWith('files/') && !names.has(entry.file))) {
    inconsistent('the payload holds a file under files/ that files.json does not list');
  }
}

/**
 * Whether the payload has what it must: files.json where there is anything under files/ (JMIX files), and the report that
 * metadata.json names. Writers in the field leave out either, so a payload without is opened, and said not to conform.
 * @param report the name in metadata.json; jmix-php writes an empty one where there is none, and else the path on its
 *   own disk, which names nothing here and is not held against it
 */
export function isComplete(files: readonly FileEntry[], report = ''): boolean {
  const has = (name: string): boolean => files.some(({ file }) => file === name);
  if (report !== '' && !report.startsWith('/') && !has(report)) return false;
  return has(FILES_LIST) || !files.some(({ file }) => file.startsWith('files/'));
}

/** From a value that conforms to the schema. */
function parseEntry(value: JsonValue): ListedFile {
  const entry = isJsonObject(value) ? value : {};
  const hash = entry['hash'];
  const size = entry['size_bytes'];
  const sha256 = typeof hash === 'string' ? parseSha256(hash) : undefined;
  if (hash !== undefined && sha256 === undefined) {
    throw new GatewayError('METADATA_INVALID', 'files.json has a hash that is not SHA-256 in hexadecimal');
  }
  return {
    file: String(entry['file']),
    ...(sha256 === undefined ? {} : { sha256 }),
    ...(typeof size === 'number' ? { sizeBytes: size } : {}),
  };
}

function inconsistent(message: string): never {
  throw new GatewayError('PAYLOAD_INCONSISTENT', message);
}
