/** Files of the spool that are not made yet, read where their bytes lie: in the reception log. */
import { read } from 'node:fs';
import { promisify } from 'node:util';
import { BLOCK_BYTES, inWholeBlocks, ownAlignedMemory } from '../disk/uncached.mjs';
import type { LogPiece } from './log-piece.js';

const readDescriptor = promisify(read);

const READ_BYTES = 512 * 1024;

/** What a file would hold. */
export interface LoggedFile {
  /** One behind the other; all but the last of whole blocks. */
  readonly pieces: readonly LogPiece[];
  readonly sizeBytes: number;
}

/** Instances that can be read in the log until they are let go, whether they get their files meanwhile or not. */
export interface Unfiled {
  /** By the name that the file will have, or has by now. */
  readonly files: ReadonlyMap<string, LoggedFile>;
  /** May be called again. */
  letGo(): void;
}

/** Bytes that can be read from any position on. */
export interface ByteSource {
  readonly sizeBytes: number;
  /** Fewer at the end. @throws the errno of the file system */
  read(position: number, length: number): Promise<Buffer>;
}

/** One call at a time. */
export function openLogged({ pieces, sizeBytes }: LoggedFile): ByteSource {
  const memory = Buffer.from(ownAlignedMemory(READ_BYTES));

  /** As many bytes as one read gives; they are gone with the next. */
  const readSome = async (position: number, length: number): Promise<Buffer> => {
    let from = position;
    for (const { file, at, bytes } of pieces) {
      if (from < bytes) {
        const skipped = from % BLOCK_BYTES;
        const wanted = Math.min(length, bytes - from, memory.length - skipped);
        const blocks = inWholeBlocks(skipped + wanted);
        const { bytesRead } = await readDescriptor(file, memory, 0, blocks, at + from - skipped);
        return memory.subarray(skipped, Math.max(skipped, Math.min(bytesRead, skipped + wanted)));
      }
      from -= bytes;
    }
    return Buffer.alloc(0);
  };

  return {
    sizeBytes,
    async read(position, length) {
      const bytes = Buffer.allocUnsafe(Math.max(0, Math.min(length, sizeBytes - position)));
      let filled = 0;
      while (filled < bytes.length) {
        const some = await readSome(position + filled, bytes.length - filled);
        if (some.length === 0) break;
        filled += some.copy(bytes, filled);
      }
      return bytes.subarray(0, filled);
    },
  };
}

/** All of its bytes. */
export async function* loggedBytes(file: LoggedFile): AsyncGenerator<Buffer, void, void> {
  const source = openLogged(file);
  for (let position = 0; position < file.sizeBytes; ) {
    const bytes = await source.read(position, READ_BYTES);
    if (bytes.length === 0) return;
    position += bytes.length;
    yield bytes;
  }
}
