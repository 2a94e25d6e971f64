/**
 * Hands a payload's files to the caller's staging as they come out, with hash, name check and limits, and keeps the two
 * documents that are read afterwards. Nothing staged may be believed before the whole envelope has been checked.
 */
import { createHash } from 'node:crypto';
import type { Writable } from 'node:stream';
import { GatewayError } from '../errors/gateway-error.js';
import { FILES_LIST, type FileEntry } from './files-list.js';
import { METADATA_FILE } from './metadata.js';
import { isPayloadFileName, isPayloadFolderName } from './payload-tar.js';
import { pipeInto } from './pipe-into.js';

export interface PayloadLimits {
  /** Files and folders together. */
  readonly maxEntries: number;
  /** Sum of all files, in bytes. */
  readonly maxBytes: number;
  /** metadata.json and files.json are read whole; 64 MiB each by default. */
  readonly maxDocumentBytes?: number;
}

/** Of each instance. */
const INSPECTED_BYTES = 8 * 1024;
const INSTANCES = 'dicom/';

/** What a sink for a staged file should take before it asks for patience: pieces come in some 256 KiB. */
export const STAGED_AHEAD_BYTES = 1024 * 1024;

const DEFAULT_MAX_DOCUMENT_BYTES = 64 * 1024 * 1024;

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
  /** Waits until every file is written and closed. @throws what the first sink that failed threw */
  settle(): Promise<void>;
}

export function createPayloadStaging(target: StagingTarget): PayloadStaging {
  const files: FileEntry[] = [];
  const folders: string[] = [];
  const documents = new Map<string, Buffer>();
  const maxDocumentBytes = target.limits.maxDocumentBytes ?? DEFAULT_MAX_DOCUMENT_BYTES;
  const unsettled = new Set<Promise<void>>();
  const failures: unknown[] = [];
  let problem: GatewayError | undefined;

  const settleDownTo = async (count: number): Promise<void> => {
    while (unsettled.size > count) await Promise.race(unsettled);
    if (failures.length > 0) throw failures[0];
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
      if (isDocument && sizeBytes > maxDocumentBytes) {
        throw new GatewayError(
          'ENVELOPE_TOO_LARGE',
          `a document of the payload is ${sizeBytes} bytes, at most ${maxDocumentBytes} bytes are read`,
        );
      }
      await settleDownTo(MAX_UNSETTLED_FILES - 1);
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
      const settled = written
        .catch((error: unknown) => {
          failures.push(error);
        })
        .finally(() => unsettled.delete(settled));
      unsettled.add(settled);
      await Promise.race([bodyRead, written]);
      files.push({ file: name, sha256: hash.digest('hex'), sizeBytes });
      if (isDocument) documents.set(name, Buffer.concat(kept));
    },
    addFolder(name) {
      if (!isPayloadFolderName(name)) unsafe('a folder lies where a payload must have none');
      folders.push(name);
    },
    settle: () => settleDownTo(0),
  };
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
