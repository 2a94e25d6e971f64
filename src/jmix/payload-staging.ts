/**
 * Hands a payload's files to the caller's staging as they come out, with hash, name check and limits, and keeps the two
 * documents that are read afterwards. Nothing staged may be believed before the whole envelope has been checked.
 */
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable, type Writable } from 'node:stream';
import { GatewayError } from '../errors/gateway-error.js';
import { FILES_LIST, type FileEntry } from './files-list.js';
import { createFolderPlace } from './folder-place.js';
import { METADATA_FILE, METADATA_MAX_BYTES } from './metadata.js';
import { isPayloadFileName, isPayloadFolderName } from './payload-tar.js';
import { createSinkPlace, STAGED_AHEAD_BYTES, type StagingPlace } from './sink-place.js';

export interface PayloadLimits {
  /** Files and folders together. */
  readonly maxEntries: number;
  /** Sum of all files, in bytes. */
  readonly maxBytes: number;
  /** metadata.json and files.json are read whole; 64 MiB by default, and 8 MiB for metadata.json in any case. */
  readonly maxDocumentBytes?: number;
}

/** Of each instance. */
const INSPECTED_BYTES = 64 * 1024;
const INSTANCES = 'dicom/';
const NOTHING = Buffer.alloc(0);

const DEFAULT_MAX_DOCUMENT_BYTES = 64 * 1024 * 1024;

export interface StagingTarget {
  readonly limits: PayloadLimits;
  /** The caller's place for one file; the name is payload-relative and safe. */
  stage(name: string, sizeBytes: number): Promise<Writable>;
  /** Where `stage` puts every file, below its name: another thread may put it there instead. See `stagedIn`. */
  readonly folder?: string;
  /**
   * What is wrong with an instance, by its name and its first bytes; may be asked of bytes that turn out not to be
   * authentic, so what it says is told only when everything else has verified.
   * @param head the first `INSPECTED_BYTES`, or the whole file, in memory that is used again
   * @param sizeBytes of the file
   */
  inspect?(name: string, head: Buffer, sizeBytes: number): GatewayError | undefined;
  readonly signal?: AbortSignal;
}

export interface PayloadStaging {
  /** What has been staged so far, in order; their hashes are there when it has settled. */
  readonly files: readonly FileEntry[];
  readonly folders: readonly string[];
  /** metadata.json and files.json, by name, when they were among the files. */
  readonly documents: ReadonlyMap<string, Buffer>;
  /** The first that `inspect` found. */
  readonly problem: GatewayError | undefined;
  /**
   * Stages one file from `body`; returns when the body has been read, and perhaps not yet written.
   * @throws ARCHIVE_UNSAFE when a payload must not hold the name; ENVELOPE_TOO_LARGE for a document above its limit
   */
  addFile(name: string, sizeBytes: number, body: AsyncIterable<Buffer>): Promise<void>;
  /** Notes a folder; none is made. @throws ARCHIVE_UNSAFE when a payload must not hold it */
  addFolder(name: string): void;
  /**
   * Stages the empty files, which wait for the end: an archive of nothing else costs its sender next to nothing, and is
   * refused before one of them is made. Then waits until every file is written and closed.
   * @throws what the first sink that failed threw
   */
  settle(): Promise<void>;
  /** Waits for what is on its way, and stages nothing more. */
  abandon(): Promise<void>;
}

/** Whether pieces of a body may lie in memory that is used again when the next is asked for. */
export function copiesBodies({ folder }: StagingTarget): boolean {
  return folder !== undefined;
}

/** Staging as files with mode 0600 in a folder that is there; folders in it, 0700, are made as needed. */
export function stagedIn(folder: string): Required<Pick<StagingTarget, 'folder' | 'stage'>> {
  const made = new Set<string>();
  return {
    folder,
    async stage(name) {
      // The name has passed the payload's rules: relative, plain, no dots.
      const path = join(folder, name);
      const parent = dirname(path);
      if (!made.has(parent)) {
        await mkdir(parent, { recursive: true, mode: 0o700 });
        made.add(parent);
      }
      return createWriteStream(path, { flags: 'wx', mode: 0o600, highWaterMark: STAGED_AHEAD_BYTES });
    },
  };
}

export function createPayloadStaging(target: StagingTarget): PayloadStaging {
  const files: StagedEntry[] = [];
  const folders: string[] = [];
  const documents = new Map<string, Buffer>();
  const maxDocumentBytes = target.limits.maxDocumentBytes ?? DEFAULT_MAX_DOCUMENT_BYTES;
  const place = placeFor(target);
  /** Still to be staged. */
  const empty: StagedEntry[] = [];
  let problem: GatewayError | undefined;
  /** Of one instance after the other. */
  let inspected: Buffer | undefined;

  const put = (entry: StagedEntry, body: AsyncIterable<Buffer>): Promise<void> =>
    place.put(entry.file, entry.sizeBytes, body, (sha256) => {
      entry.sha256 = sha256;
    });

  return {
    files,
    folders,
    documents,
    get problem() {
      return problem;
    },
    async addFile(name, sizeBytes, body) {
      if (!isPayloadFileName(name)) unsafe('a file lies where a payload must have none');
      const isDocument = name === METADATA_FILE || name === FILES_LIST;
      if (isDocument) assertDocumentFits(name, sizeBytes, maxDocumentBytes);
      const entry: StagedEntry = { file: name, sha256: '', sizeBytes };
      files.push(entry);
      const inspect = name.startsWith(INSTANCES) && problem === undefined ? target.inspect : undefined;
      if (inspect !== undefined) inspected ??= Buffer.allocUnsafeSlow(INSPECTED_BYTES);
      const memory = inspect === undefined ? NOTHING : inspected;
      const head = createHead(isDocument ? Buffer.alloc(sizeBytes) : (memory ?? NOTHING));
      if (sizeBytes === 0) empty.push(entry);
      else await put(entry, head.of(body));
      if (isDocument) documents.set(name, head.bytes());
      problem ??= inspect?.(name, head.bytes(), sizeBytes);
    },
    addFolder(name) {
      if (!isPayloadFolderName(name)) unsafe('a folder lies where a payload must have none');
      folders.push(name);
    },
    async settle() {
      for (const entry of empty.splice(0)) await put(entry, Readable.from([]));
      await place.settle();
    },
    abandon: () => place.abandon(),
  };
}

/** Its hash is there when the staging has settled. */
interface StagedEntry extends FileEntry {
  sha256: string;
}

function placeFor(target: StagingTarget): StagingPlace {
  return target.folder === undefined
    ? createSinkPlace((name, sizeBytes) => target.stage(name, sizeBytes), target.signal)
    : createFolderPlace(target.folder);
}

/** Keeps as much from the front of a body that passes as there is memory for. */
function createHead(memory: Buffer) {
  let kept = 0;
  return {
    bytes: () => memory.subarray(0, kept),
    of(body: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
      return memory.length === 0 ? body : this.keeping(body);
    },
    async *keeping(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
      for await (const chunk of body) {
        kept += chunk.copy(memory, kept);
        yield chunk;
      }
    },
  };
}

function assertDocumentFits(name: string, sizeBytes: number, maxDocumentBytes: number): void {
  const maxBytes = name === METADATA_FILE ? Math.min(METADATA_MAX_BYTES, maxDocumentBytes) : maxDocumentBytes;
  if (sizeBytes <= maxBytes) return;
  throw new GatewayError(
    'ENVELOPE_TOO_LARGE',
    `a document of the payload is ${sizeBytes} bytes, at most ${maxBytes} bytes are read`,
  );
}

function unsafe(message: string): never {
  throw new GatewayError('ARCHIVE_UNSAFE', `the payload is not extracted: ${message}`);
}
