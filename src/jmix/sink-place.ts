/** Files staged through the caller's sinks: hashed here, and written by whatever the sinks are. */
import { createHash } from 'node:crypto';
import type { Writable } from 'node:stream';
import { sha256Hex } from './digest.js';
import { pipeInto, writeInto } from './pipe-into.js';

/** What a sink for a staged file should take before it asks for patience: pieces come in some 256 KiB. */
export const STAGED_AHEAD_BYTES = 1024 * 1024;

/** What costs less to be written at once than a stream does; payloads may be hundreds of thousands of such files. */
const SMALL_FILE_BYTES = 64 * 1024;

/** Files that may be on their way to the disk at once: closing and syncing one must not hold up the next. */
const MAX_UNSETTLED_FILES = 8;

/** Where staged files go. */
export interface StagingPlace {
  /** Whether pieces of a body may lie in memory that is used again when the next is asked for. */
  readonly copies: boolean;
  /**
   * Takes one file; returns when the body has been read, and perhaps not yet written.
   * @param noteHash called with the SHA-256, lower hex, before `settle` returns
   */
  put(
    name: string,
    sizeBytes: number,
    body: AsyncIterable<Buffer>,
    noteHash: (sha256: string) => void,
  ): Promise<void>;
  /** Waits until every file is written and closed. @throws what the first that failed threw */
  settle(): Promise<void>;
  /** Waits for what is on its way, and takes nothing more. */
  abandon(): Promise<void>;
}

export function createSinkPlace(
  stage: (name: string, sizeBytes: number) => Promise<Writable>,
  signal?: AbortSignal,
): StagingPlace {
  const unsettled = new Set<Promise<void>>();
  const failures: unknown[] = [];

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

  return {
    copies: false,
    async put(name, sizeBytes, body, noteHash) {
      await settleDownTo(MAX_UNSETTLED_FILES - 1);
      if (sizeBytes <= SMALL_FILE_BYTES) {
        const content = await contentOf(body);
        noteHash(sha256Hex(content));
        noteUnsettled(writeInto(content, await stage(name, sizeBytes), signal));
        return;
      }
      const hash = createHash('sha256');
      const { promise: bodyRead, resolve: noteBodyRead } = deferred();
      const hashed = async function* (): AsyncGenerator<Buffer, void, undefined> {
        for await (const chunk of body) {
          hash.update(chunk);
          yield chunk;
        }
        noteHash(hash.digest('hex'));
        noteBodyRead();
      };
      const written = pipeInto(hashed(), await stage(name, sizeBytes), signal);
      noteUnsettled(written);
      await Promise.race([bodyRead, written]);
    },
    settle: () => settleDownTo(0),
    abandon: () => settleDownTo(0).catch(() => undefined),
  };
}

async function contentOf(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  // Copied, because a source may use its buffer again.
  for await (const piece of body) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

function deferred(): { readonly promise: Promise<void>; resolve(): void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settled) => {
    resolve = settled;
  });
  return { promise, resolve };
}
