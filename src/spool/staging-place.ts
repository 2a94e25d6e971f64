/** Where the bytes of a staged file go: straight into a file, or into the reception log first. */
import { BLOCK_BYTES } from '../disk/uncached.mjs';
import type { NewFile } from './new-file.js';
import type { LateHash, LoggedInstance } from './reception-log.js';
import { completeFile, copyPieces, placeFile, removeFile, writePiece } from './scribe.js';
import type { Slab } from './slabs.js';

/** Bytes in a slab, which stay there until they are written. */
export interface SlabPiece {
  readonly slab: Slab;
  readonly bytes: number;
  /** In the file. All pieces but the last are whole blocks. */
  readonly position: number;
}

/** The folder that a file gets its name in. */
export interface PlaceFolder {
  readonly descriptor: number;
  /** See `hasOrderedJournal`. */
  readonly isOrdered: boolean;
}

/** The SHA-256 of a file from some place on, for whoever wants to know it in the end. */
export interface Hashing extends LateHash {
  /** Some of it is made already, or all: the rest is not worth leaving to others. */
  readonly isBegun: boolean;
  /** Makes it. */
  now(): string;
}

/** All of it throws SPOOL_WRITE_FAILED. Calls take effect in their order, also when nobody waits in between. */
export interface StagingPlace {
  /** Pieces of about this size cost least. */
  readonly pieceBytes: number;
  write(piece: SlabPiece): Promise<void>;
  /** With the last piece, which may be empty, it is whole. @returns the path by which it can be read */
  complete(last: SlabPiece, isDurable: boolean): Promise<string>;
  /**
   * With the last piece it is durable, and gets its name, never replacing what stands there. What it was called before is
   * gone, whatever happens. Resolves to false when the name is taken; otherwise the hash is told, now or when the bytes are
   * read again.
   */
  place(last: SlabPiece, to: string, folder: PlaceFolder, hashing: Hashing): Promise<boolean>;
  /** Lets go of everything, unless it has been placed. */
  remove(): Promise<void>;
}

/** Each write beyond the end of a file has its price. */
const FILE_PIECE_BYTES = 512 * 1024;
/** Room in the log is there already; most of an instance is written while the rest of it comes. */
const LOG_PIECE_BYTES = 384 * 1024;

/** @param file new and empty */
export function placeInFile(file: NewFile): StagingPlace {
  const { descriptor, isUncached, path } = file;
  const piece = ({ slab, bytes, position }: SlabPiece) => ({
    file: descriptor,
    isUncached,
    at: slab.at + BLOCK_BYTES,
    bytes,
    position,
    sizeBytes: position + bytes,
  });
  return {
    pieceBytes: FILE_PIECE_BYTES,
    write: (next) => writePiece(piece(next)),
    async complete(last, isDurable) {
      await completeFile(piece(last), isDurable);
      return path;
    },
    place(last, to, { descriptor: folder, isOrdered }, hashing) {
      // What lies in the cache is not covered by another file's fsync.
      const ordered = isOrdered && isUncached;
      const placing = placeFile({ ...piece(last), from: path, to, folder, isOrdered: ordered });
      return whenPlaced(placing, hashing);
    },
    remove: () => removeFile(descriptor, path),
  };
}

/** @param create makes the file in which an instance goes on that the log has no room for */
export function placeInLog(logged: LoggedInstance, create: () => Promise<NewFile>): StagingPlace {
  let file: Promise<StagingPlace> | undefined;

  const goOn = async (): Promise<StagingPlace> => {
    const pieces = await logged.written();
    const created = await create();
    const place = placeInFile(created);
    const copied = copyPieces(created.descriptor, pieces);
    copied.finally(() => logged.letGo()).catch(() => undefined);
    return place;
  };
  const inFile = (): Promise<StagingPlace> => {
    file ??= goOn();
    return file;
  };

  return {
    pieceBytes: LOG_PIECE_BYTES,
    async write(next) {
      const appended = file === undefined ? logged.append(next) : undefined;
      await (appended ?? (await inFile()).write(next));
    },
    complete: async (last, isDurable) => (await inFile()).complete(last, isDurable),
    async place(last, to, folder, hashing) {
      const late = hashing.isBegun ? undefined : hashing;
      const committed = file === undefined ? logged.commit(last, to, late) : undefined;
      if (committed === undefined) return (await inFile()).place(last, to, folder, hashing);
      const placing = committed.finally(() => logged.letGo());
      return late === undefined ? whenPlaced(placing, hashing) : placing;
    },
    async remove() {
      if (file === undefined) logged.letGo();
      else await (await file).remove();
    },
  };
}

/** Makes the hash while another thread waits for the disk. */
async function whenPlaced(placing: Promise<boolean>, { now, done }: Hashing): Promise<boolean> {
  const sha256 = now();
  const isPlaced = await placing;
  if (isPlaced) await done(sha256);
  return isPlaced;
}
