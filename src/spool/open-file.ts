/**
 * Files by descriptor: the few calls that an instance costs on its way to the disk, each one trip to the thread pool.
 * (`FileHandle` of Node does the same with several times the work around it.)
 */
import { close, fdatasync, open, writev, writevSync } from 'node:fs';
import { promisify } from 'node:util';

const openPath = promisify(open);
const closeDescriptor = promisify(close);
const datasyncDescriptor = promisify(fdatasync);

export interface OpenFile {
  readonly path: string;
  readonly descriptor: number;
  /** Appends all of the bytes. Not to be called again before it has resolved. */
  write(pieces: readonly Buffer[]): Promise<void>;
  /**
   * The same at once, without a trip to the thread pool: for a little, which goes no further than the kernel's memory.
   * Not while a `write` is under way.
   */
  writeNow(pieces: readonly Buffer[]): void;
  /** Makes the contents durable, and what is needed to find them. */
  datasync(): Promise<void>;
  close(): Promise<void>;
}

/** @param flags as of open(2), e.g. `wx` for a file that must not exist */
export async function openFile(path: string, flags: string | number): Promise<OpenFile> {
  const descriptor = await openPath(path, flags, 0o600);
  return {
    path,
    descriptor,
    write: (pieces) => writeAll(descriptor, pieces),
    writeNow(pieces) {
      let rest = pieces.filter(({ length }) => length > 0);
      while (rest.length > 0) rest = without(rest, some(writevSync(descriptor, rest)));
    },
    datasync: () => datasyncDescriptor(descriptor),
    close: () => closeDescriptor(descriptor),
  };
}

async function writeAll(descriptor: number, pieces: readonly Buffer[]): Promise<void> {
  let rest = pieces.filter(({ length }) => length > 0);
  while (rest.length > 0) {
    rest = without(rest, some(await writePieces(descriptor, rest)));
  }
}

function writePieces(descriptor: number, pieces: readonly Buffer[]): Promise<number> {
  return new Promise((resolve, reject) => {
    writev(descriptor, pieces, (error, bytesWritten) => {
      if (error === null) resolve(bytesWritten);
      else reject(error);
    });
  });
}

/** What is left to be written: a disk may take less than it is given. */
function without(pieces: readonly Buffer[], bytes: number): Buffer[] {
  let done = bytes;
  return pieces.flatMap((piece) => {
    const taken = Math.min(done, piece.length);
    done -= taken;
    return taken === piece.length ? [] : [piece.subarray(taken)];
  });
}

/** A disk that takes nothing, and says nothing, would be asked for ever. */
function some(bytesWritten: number): number {
  if (bytesWritten === 0) throw Object.assign(new Error('short write'), { code: 'EIO' });
  return bytesWritten;
}
