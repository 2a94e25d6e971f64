/** Where the bytes of a staged file go: straight into a file, or into the reception log first. */
import { BLOCK_BYTES } from '../disk/uncached.mjs';
import type { NewFile } from './new-file.js';
import type { LateHash, LoggedInstance } from './reception-log.js';
import { completeFile, copyPieces, digestOf, placeFile, removeFile, writePiece } from './scribe.js';
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

/** All of it throws SPOOL_WRITE_FAILED. Calls take effect in their order, also when nobody waits in between. */
export interface StagingPlace {
  /** How large a piece from this position on is to be, in bytes; whole blocks. */
  pieceBytes(position: number): number;
  write(piece: SlabPiece): Promise<void>;
  /** The SHA-256, lower hex, of all that was written, with what is still to be written behind it. */
  digest(rest: SlabPiece): Promise<string>;
  /** With the last piece, which may be empty, it is whole. @returns the path by which it can be read */
  complete(last: SlabPiece, isDurable: boolean): Promise<string>;
  /**
   * With the last piece it is durable, and gets its name, never replacing what stands there. What it was called before is
   * gone, whatever happens. Resolves to false when the name is taken; otherwise `hashed` is told the SHA-256, now or when the
   * bytes are read again.
   */
  place(last: SlabPiece, to: string, folder: PlaceFolder, hashed: LateHash['done']): Promise<boolean>;
  /** Lets go of everything, unless it has been placed. */
  remove(): Promise<void>;
}

/** Each write beyond the end of a file has its price. */
const FILE_PIECE_BYTES = 512 * 1024;
/** Room in the log is there already: half of a CT slice is written while the other half comes. */
const FIRST_LOG_PIECE_BYTES = 256 * 1024;
const LOG_PIECE_BYTES = 384 * 1024;

/**
 * @param file new and empty
 * @param hashedFrom where that begins whose SHA-256 is wanted
 */
export function placeInFile(file: NewFile, hashedFrom: number): StagingPlace {
  const { descriptor, isUncached, path } = file;
  const piece = ({ slab, bytes, position }: SlabPiece) => ({
    file: descriptor,
    isUncached,
    at: slab.at + BLOCK_BYTES,
    bytes,
    position,
    hashedFrom,
    sizeBytes: position + bytes,
  });
  return {
    pieceBytes: () => FILE_PIECE_BYTES,
    write: (next) => writePiece(piece(next)),
    digest: (rest) => digestOf(piece(rest)),
    async complete(last, isDurable) {
      await completeFile(piece(last), isDurable);
      return path;
    },
    async place(last, to, { descriptor: folder, isOrdered }, hashed) {
      // What lies in the cache is not covered by another file's fsync.
      const ordered = isOrdered && isUncached;
      const placed = await placeFile({ ...piece(last), from: path, to, folder, isOrdered: ordered });
      if (placed !== undefined) await hashed(placed.sha256);
      return placed !== undefined;
    },
    remove: () => removeFile(descriptor, path),
  };
}

/**
 * @param hashedFrom where in the file that begins whose SHA-256 is wanted
 * @param create makes the file in which an instance goes on that the log has no room for
 */
export function placeInLog(
  logged: LoggedInstance,
  hashedFrom: number,
  create: () => Promise<NewFile>,
): StagingPlace {
  let file: Promise<StagingPlace> | undefined;

  const goOn = async (): Promise<StagingPlace> => {
    try {
      const pieces = await logged.written();
      const created = await create();
      const copied = copyPieces(created.descriptor, pieces, hashedFrom);
      copied.finally(() => logged.letGo()).catch(() => undefined);
      return placeInFile(created, hashedFrom);
    } catch (error) {
      logged.letGo();
      throw error;
    }
  };
  const inFile = (): Promise<StagingPlace> => {
    file ??= goOn();
    return file;
  };

  return {
    pieceBytes: (position) => (position === 0 ? FIRST_LOG_PIECE_BYTES : LOG_PIECE_BYTES),
    async write(next) {
      const appended = file === undefined ? logged.append(next) : undefined;
      await (appended ?? (await inFile()).write(next));
    },
    async digest(rest) {
      if (file !== undefined) return (await file).digest(rest);
      const { slab, bytes } = rest;
      return digestOf({ pieces: await logged.written(), at: slab.at + BLOCK_BYTES, bytes, hashedFrom });
    },
    complete: async (last, isDurable) => (await inFile()).complete(last, isDurable),
    async place(last, to, folder, hashed) {
      const hash = { from: hashedFrom, done: hashed };
      const committed = file === undefined ? logged.commit(last, to, hash) : undefined;
      if (committed === undefined) return (await inFile()).place(last, to, folder, hashed);
      return committed.finally(() => logged.letGo());
    },
    async remove() {
      if (file === undefined) logged.letGo();
      else await (await file).remove();
    },
  };
}
