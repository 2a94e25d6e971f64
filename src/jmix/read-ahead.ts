/**
 * A payload's stored files, read and hashed by the other thread ahead of their turn. They are opened in the order in
 * which they were given; what is not stored stands between them and is read by its owner.
 */
import { inWholeBlocks } from '../disk/uncached.mjs';
import { GatewayError } from '../errors/gateway-error.js';
import type { HashedFile, OpenPiece, PayloadFile, StoredFile } from './payload-files.js';
import { HAS_SECOND_PROCESSOR, type ReadPiece, startThreadJob, type ThreadJob } from './payload-thread.js';

type Stored = PayloadFile & { readonly stored: StoredFile };

export interface ReadAhead {
  /** The files in the same order; those that are stored come from the other thread. */
  readonly files: readonly (PayloadFile | HashedFile)[];
  /** Lets go of every file; to be called however it went. */
  end(): Promise<void>;
}

/**
 * @param files in the order in which they will be opened
 * The files' bytes lie in memory that is used again when the next are asked for. They fail with SPOOL_CORRUPT when a file
 * is not what its proof says, FAULT when the thread has died.
 */
export function readAhead(files: readonly PayloadFile[]): ReadAhead {
  const stored = files.filter(isStored);
  if (!HAS_SECOND_PROCESSOR || stored.length === 0) return { files, end: async () => undefined };
  let job: ThreadJob | undefined;
  const pieces = readPieces(() => {
    job = startReading(stored);
    return job;
  });
  return {
    files: files.map((file) => (isStored(file) ? hashedFile(file, pieces) : file)),
    end: async () => {
      await job?.end();
      job?.pool.giveBack();
    },
  };
}

function startReading(stored: readonly Stored[]): ThreadJob {
  const job = startThreadJob({
    kind: 'read',
    files: stored.map(({ sizeBytes, stored: { from, proof } }) => ({
      ...(typeof from === 'string' ? { path: from } : { pieces: from.map(plainPiece) }),
      sizeBytes,
      ...(proof === undefined || proof.offset === 0 ? {} : { tailOffset: proof.offset }),
    })),
  });
  job.pool.slabs.forEach((_, slab) => {
    job.post({ slab });
  });
  return job;
}

/** Nothing else crosses to a thread. */
function plainPiece({ file, at, bytes }: OpenPiece): OpenPiece {
  return { file, at, bytes };
}

function isStored(file: PayloadFile): file is Stored {
  return file.stored !== undefined;
}

function hashedFile(
  { name, sizeBytes, stored: { proof } }: Stored,
  pieces: AsyncGenerator<Piece, void, undefined>,
): HashedFile {
  let hash: string | undefined;
  return {
    name,
    sizeBytes,
    async *open() {
      while (hash === undefined) {
        const { value } = await pieces.next();
        if (value === undefined) throw new GatewayError('FAULT', 'files were not opened in their order');
        const { bytes, sha256, tailSha256 = sha256 } = value;
        yield bytes;
        if (sha256 !== undefined && proof?.holds(tailSha256 ?? '') === false) {
          throw new GatewayError(
            'SPOOL_CORRUPT',
            'a stored file no longer has the bytes that were acknowledged',
          );
        }
        hash = sha256;
      }
    },
    sha256() {
      if (hash === undefined) throw new GatewayError('FAULT', 'a file was asked for its hash too early');
      return hash;
    },
  };
}

interface Piece extends ReadPiece {
  readonly bytes: Buffer;
}

/** Piece by piece of all files; a slab goes back to be filled when its last piece is done with. */
async function* readPieces(start: () => ThreadJob): AsyncGenerator<Piece, void, undefined> {
  const job = start();
  for (;;) {
    const { slab = 0, pieces = [] } = await job.reply();
    const view = job.pool.slabs[slab];
    if (view === undefined || pieces.length === 0) return;
    let offset = 0;
    for (const piece of pieces) {
      yield { ...piece, bytes: view.subarray(offset, offset + piece.sizeBytes) };
      offset += inWholeBlocks(piece.sizeBytes);
    }
    job.post({ slab });
  }
}
