/**
 * Hands a payload's files to the caller's staging as they come out, with hash, name check and limits, and keeps the two
 * documents that are read afterwards. Nothing staged may be believed before the whole envelope has been checked.
 */
import { createHash } from 'node:crypto';
import type { Writable } from 'node:stream';
import { GatewayError } from '../errors/gateway-error.js';
import { sha256Hex } from './digest.js';
import { FILES_LIST, type FileEntry } from './files-list.js';
import { METADATA_FILE, METADATA_MAX_BYTES } from './metadata.js';
import { isPayloadFileName, isPayloadFolderName } from './payload-tar.js';
import { pipeInto, writeInto } from './pipe-into.js';

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

/** What a sink for a staged file should take before it asks for patience: pieces come in some 256 KiB. */
export const STAGED_AHEAD_BYTES = 1024 * 1024;

const DEFAULT_MAX_DOCUMENT_BYTES = 64 * 1024 * 1024;

/** What costs less to be written at once than a stream does; payloads may be hundreds of thousands of such files. */
const SMALL_FILE_BYTES = 64 * 1024;

const NOTHING = Buffer.alloc(0);

/** Files that may be on their way to the disk at once: closing and syncing one must not hold up the next. */
const MAX_UNSETTLED_FILES = 8;

export interface StagingTarget {
  readonly limits: PayloadLimits;
  /** The caller's place for one file; the name is payload-relative and safe. */
  stage(name: string, sizeBytes: number): Promise<Writable>;
  /**
   * What is wrong with an instance, by its name and its first bytes; may be asked of bytes that turn out not to be
   * authentic, so what it says is told only when everything else has verified.
   * @param head the first `INSPECTED_BYTES`, or the whole file
   */
  inspect?(name: string, head: Buffer): GatewayError | undefined;
  readonly signal?: AbortSignal;
}

export interface PayloadStaging {
  /** What has been staged so far, in order. */
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
  /** Waits for what is on its way, and stages nothing more. @throws as `settle` */
  abandon(): Promise<void>;
}

export function createPayloadStaging(target: StagingTarget): PayloadStaging {
  const files: FileEntry[] = [];
  const folders: string[] = [];
  const documents = new Map<string, Buffer>();
  const maxDocumentBytes = target.limits.maxDocumentBytes ?? DEFAULT_MAX_DOCUMENT_BYTES;
  const unsettled = new Set<Promise<void>>();
  /** Still to be staged. */
  const empty: string[] = [];
  const failures: unknown[] = [];
  let problem: GatewayError | undefined;

  const settleDownTo = async (count: number): Promise<void> => {
    while (unsettled.size > count) await Promise.race(unsettled);
    if (failures.length > 0) throw failures[0];
  };

  const noteUnsettled = (written: Promise<void>): void => {
    const settled = written
      .catch((error: unknown) => {
        failures.push(error);
      })
      .finally(() => unsettled.delete(settled));
    unsettled.add(settled);
  };

  const addSmallFile = async (
    name: string,
    sizeBytes: number,
    body: AsyncIterable<Buffer>,
  ): Promise<void> => {
    const pieces: Buffer[] = [];
    // Copied, because a source may use its buffer again.
    if (sizeBytes > 0) for await (const piece of body) pieces.push(Buffer.from(piece));
    const content = Buffer.concat(pieces);
    files.push({ file: name, sha256: sha256Hex(content), sizeBytes });
    if (name === METADATA_FILE || name === FILES_LIST) documents.set(name, content);
    if (name.startsWith(INSTANCES)) problem ??= target.inspect?.(name, content);
    if (sizeBytes === 0) empty.push(name);
    else noteUnsettled(writeInto(content, await target.stage(name, sizeBytes), target.signal));
  };

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
      await settleDownTo(MAX_UNSETTLED_FILES - 1);
      if (sizeBytes <= SMALL_FILE_BYTES) return addSmallFile(name, sizeBytes, body);
      const hash = createHash('sha256');
      const kept: Buffer[] = [];
      const inspect = name.startsWith(INSTANCES) && problem === undefined ? target.inspect : undefined;
      const head: Buffer[] = [];
      let headBytes = 0;
      const { promise: bodyRead, resolve: noteBodyRead } = deferred();
      const tee = async function* (): AsyncGenerator<Buffer, void, undefined> {
        for await (const chunk of body) {
          hash.update(chunk);
          if (isDocument) kept.push(chunk);
          if (inspect !== undefined && headBytes < INSPECTED_BYTES) {
            head.push(chunk.subarray(0, INSPECTED_BYTES - headBytes));
            headBytes += chunk.length;
          }
          yield chunk;
        }
        problem ??= inspect?.(name, Buffer.concat(head));
        noteBodyRead();
      };
      const sink = await target.stage(name, sizeBytes);
      const written = pipeInto(tee(), sink, target.signal);
      noteUnsettled(written);
      await Promise.race([bodyRead, written]);
      files.push({ file: name, sha256: hash.digest('hex'), sizeBytes });
      if (isDocument) documents.set(name, Buffer.concat(kept));
    },
    addFolder(name) {
      if (!isPayloadFolderName(name)) unsafe('a folder lies where a payload must have none');
      folders.push(name);
    },
    async settle() {
      for (const name of empty.splice(0)) {
        await settleDownTo(MAX_UNSETTLED_FILES - 1);
        noteUnsettled(writeInto(NOTHING, await target.stage(name, 0), target.signal));
      }
      await settleDownTo(0);
    },
    abandon: () => settleDownTo(0),
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

function deferred(): { readonly promise: Promise<void>; resolve(): void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settled) => {
    resolve = settled;
  });
  return { promise, resolve };
}

function unsafe(message: string): never {
  throw new GatewayError('ARCHIVE_UNSAFE', `the payload is not extracted: ${message}`);
}
