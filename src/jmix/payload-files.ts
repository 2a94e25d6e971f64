/**
 * A payload as it is written: the caller's files, metadata.json, and files.json where the dialect has one, in the order
 * of the tar. The hash of each file is taken while it passes, so every file is read once, and files.json comes behind
 * what it lists.
 */
import { createHash } from 'node:crypto';
import { GatewayError } from '../errors/gateway-error.js';
import type { Dialect } from './dialect.js';
import { sha256Hex } from './digest.js';
import { createNameRegister } from './entry-name.js';
import { FILES_LIST, type FileEntry, filesListSize, formatFilesList } from './files-list.js';
import { type JmixMetadata, METADATA_FILE } from './metadata.js';
import { assertSealableName, inPayloadOrder, type PayloadTarFile } from './payload-tar.js';

export interface PayloadFile {
  /** Payload-relative: `dicom/<SOPInstanceUID>.dcm`, `preview/<SeriesInstanceUID>.jpg`, `files/…` for all else. */
  readonly name: string;
  readonly sizeBytes: number;
  /** The bytes, from the start; called once. */
  open(): AsyncIterable<Buffer>;
  /** Where the same bytes lie on a disk; where it says so, they may be read from there instead, by another thread. */
  readonly stored?: StoredFile;
}

export interface StoredFile {
  /** Its path; or pieces of files that are open, one behind the other. */
  readonly from: string | readonly OpenPiece[];
  readonly proof?: Proof;
}

/** That a file's bytes are what they must be. */
export interface Proof {
  /** Where those begin that are meant. */
  readonly offset: number;
  /** Told their SHA-256, lower hex, once. */
  holds(sha256: string): boolean;
}

/** Bytes at the boundary of a block; in all pieces but a file's last, of whole blocks. */
export interface OpenPiece {
  /** Its descriptor. */
  readonly file: number;
  readonly at: number;
  readonly bytes: number;
}

/** A file whose hash somebody else takes while it passes. */
export interface HashedFile extends PayloadTarFile {
  /** SHA-256, lower hex; known when the file is through. */
  sha256(): string;
}

export interface PayloadContents {
  /** Everything in the payload, in its order; each to be opened in its turn, once. */
  readonly files: readonly PayloadTarFile[];
  /** What files.json lists, or would: everything but files.json. To be asked for when every file has passed. */
  listed(): readonly FileEntry[];
  /** The same, and files.json. */
  all(): readonly FileEntry[];
}

/**
 * Before a byte is read: names that are safe, fit into a tar, and differ; a report that is there.
 * @throws ARCHIVE_UNSAFE, METADATA_INVALID
 */
export function assertPayloadFiles(files: readonly PayloadFile[], metadata: JmixMetadata): void {
  const names = createNameRegister();
  for (const file of files) {
    assertSealableName(file.name);
    names.addFile(file.name);
  }
  const report = metadata.report?.file;
  if (report !== undefined && !files.some((file) => file.name === report)) {
    throw new GatewayError('METADATA_INVALID', 'metadata names a report that is not among the files');
  }
}

/** @param metadata the bytes of metadata.json */
export function payloadContents(
  given: readonly (PayloadFile | HashedFile)[],
  metadata: Buffer,
  dialect: Dialect,
): PayloadContents {
  const hashes = new Map<string, string>();
  const hashed = (file: PayloadTarFile | HashedFile): PayloadTarFile => {
    const { name, sizeBytes } = file;
    return { name, sizeBytes, open: () => hashing(file, hashes) };
  };
  const document = { name: METADATA_FILE, sizeBytes: metadata.length, open: () => [metadata] };
  // metadata.json comes behind files.json, but its bytes are here already.
  hashes.set(METADATA_FILE, sha256Hex(metadata));
  const others = inPayloadOrder([...given.map(hashed), document], dialect.pathOrder);
  const listed = (): readonly FileEntry[] => others.map((file) => entryOf(file, hashes));
  if (dialect.filesListHash === 'none') return { files: others, listed, all: listed };

  const list = hashed({
    name: FILES_LIST,
    sizeBytes: filesListSize(
      others.map(({ name, sizeBytes }) => ({ file: name, sizeBytes })),
      dialect,
    ),
    open: () => [formatFilesList(listed(), dialect)],
  });
  return {
    files: inPayloadOrder([...others, list], dialect.pathOrder),
    listed,
    all: () => [...listed(), entryOf(list, hashes)],
  };
}

function entryOf({ name, sizeBytes }: PayloadTarFile, hashes: ReadonlyMap<string, string>): FileEntry {
  const sha256 = hashes.get(name);
  if (sha256 === undefined)
    throw new GatewayError('FAULT', 'a payload was asked for the hash of a file too early');
  return { file: name, sha256, sizeBytes };
}

/** The file's bytes; its hash stands in `hashes` when they are through. */
async function* hashing(
  file: PayloadTarFile | HashedFile,
  hashes: Map<string, string>,
): AsyncGenerator<Buffer, void, undefined> {
  if ('sha256' in file) {
    yield* file.open();
    hashes.set(file.name, file.sha256());
    return;
  }
  const hash = createHash('sha256');
  for await (const chunk of file.open()) {
    hash.update(chunk);
    yield chunk;
  }
  hashes.set(file.name, hash.digest('hex'));
}
