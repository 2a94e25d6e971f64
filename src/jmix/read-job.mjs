/**
 * The part of payload-thread.mjs that reads a payload's files, and hashes them. What lies in memory is read in its turn;
 * where the disk is asked, for every slab that is free, so that it works while what has come is hashed.
 */
import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, read, readSync } from 'node:fs';
import { promisify } from 'node:util';
import { DIRECT, inWholeBlocks } from '../disk/uncached.mjs';

const readInBackground = promisify(read);

/** Without O_NONBLOCK a pipe that was put in a file's place would be waited at for ever. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK;
/** Up to here, the cache is cheaper than the disk. */
const SMALL_FILE_BYTES = 64 * 1024;

/** Fills one slab after the other with the files' bytes, as many files as fit. */
export function readJob({ files }) {
  let at = 0;
  /** Whether the disk was asked for what came before: then it is for what follows. */
  let isCold = false;
  /** The file whose bytes come next. */
  let current;
  const opened = new Set();
  /** Of all that was read in the background. */
  let settled = Promise.resolve();
  /** One answer after the other: so are the hashes taken. */
  let answered = Promise.resolve();

  const begin = ({ path, pieces, sizeBytes, tailOffset }) => {
    const file = { path, position: 0, end: 0, whole: createHash('sha256') };
    if (pieces === undefined) openFile(file, sizeBytes);
    else {
      file.pieces = inFile(pieces);
      file.end = sizeBytes;
    }
    if (tailOffset !== undefined) file.tail = { offset: tailOffset, hash: createHash('sha256') };
    return file;
  };

  const openFile = (file, sizeBytes) => {
    file.fd = openToRead(file.path, isCold && sizeBytes > SMALL_FILE_BYTES);
    opened.add(file);
    const found = fstatSync(file.fd);
    // One byte too many shows that it has grown as well as all of them.
    if (found.isFile()) file.end = Math.min(found.size, sizeBytes + 1);
  };

  /** As much of the file as fits. */
  const startPiece = (free) => {
    current ??= begin(files[at]);
    const file = current;
    const { position, end } = file;
    const wanted = Math.min(free.length, endOfPiece(file) - position, end - position);
    file.position += wanted;
    const isLast = file.position === end;
    if (isLast) {
      current = undefined;
      at += 1;
    }
    return { file, position, wanted, isLast, bytes: readPiece(file, free, wanted, position) };
  };

  const readPiece = (file, free, wanted, position) => {
    if (wanted === 0) return free.subarray(0, 0);
    if (isCold || file.pieces !== undefined) {
      const reading = readBlocks(file, free, wanted, position);
      settled = Promise.allSettled([settled, reading]).then(() => undefined);
      return reading;
    }
    const askedBefore = process.resourceUsage().fsRead;
    const bytesRead = readSync(file.fd, free, 0, wanted, position);
    isCold = process.resourceUsage().fsRead > askedBefore;
    return free.subarray(0, bytesRead);
  };

  /** Whole blocks, as a file that passes by the cache wants it; some file systems say only here that they know none of it. */
  const readBlocks = async (file, free, wanted, position) => {
    const { fd, at } = placeOf(file, position);
    try {
      const { bytesRead } = await readInBackground(fd, free, 0, inWholeBlocks(wanted), at);
      return free.subarray(0, Math.min(bytesRead, wanted));
    } catch (error) {
      if (error.code !== 'EINVAL' || file.path === undefined) throw error;
      file.plain ??= openSync(file.path, READ_FLAGS);
      return free.subarray(0, readSync(file.plain, free, 0, wanted, position));
    }
  };

  /** Of a file that is shorter than a moment ago, there are fewer bytes: whoever counts them finds out. */
  const finishPiece = ({ file, position, isLast }, bytes) => {
    const { whole, tail } = file;
    whole.update(bytes);
    if (tail !== undefined) tail.hash.update(bytes.subarray(Math.max(0, tail.offset - position)));
    if (!isLast) return { sizeBytes: bytes.length };
    closeFile(file);
    return {
      sizeBytes: bytes.length,
      sha256: whole.digest('hex'),
      ...(tail === undefined ? {} : { tailSha256: tail.hash.digest('hex') }),
    };
  };

  const closeFile = (file) => {
    // What was open before stays so.
    if (!opened.delete(file)) return;
    closeSync(file.fd);
    if (file.plain !== undefined) closeSync(file.plain);
  };

  const answer = async (slab, started) => {
    const pieces = [];
    for (const piece of started) pieces.push(finishPiece(piece, await piece.bytes));
    return { slab, pieces };
  };

  return {
    run({ slab }, view) {
      const started = [];
      for (let filled = 0; at < files.length && filled < view.length; ) {
        const piece = startPiece(view.subarray(filled));
        filled += inWholeBlocks(piece.wanted);
        started.push(piece);
      }
      answered = answered.then(() => answer(slab, started));
      return answered;
    },
    async close() {
      await Promise.allSettled([settled, answered]);
      for (const file of opened) closeFile(file);
    },
  };
}

/** The pieces, each with where it begins in the file that they make. */
function inFile(pieces) {
  let begin = 0;
  return pieces.map((piece) => {
    begin += piece.bytes;
    return { ...piece, begin: begin - piece.bytes };
  });
}

function pieceAt({ pieces }, position) {
  return pieces.find(({ begin, bytes }) => position < begin + bytes);
}

/** In a file of pieces, one read ends with its piece. */
function endOfPiece(file) {
  if (file.pieces === undefined) return file.end;
  const { begin, bytes } = pieceAt(file, file.position) ?? { begin: file.end, bytes: 0 };
  return begin + bytes;
}

function placeOf(file, position) {
  if (file.pieces === undefined) return { fd: file.fd, at: position };
  const { file: fd, at, begin } = pieceAt(file, position);
  return { fd, at: at + position - begin };
}

/** Past the cache where it would not be found there: a study is read once, long after it came. */
function openToRead(path, isUncached) {
  if (!isUncached) return openSync(path, READ_FLAGS);
  try {
    return openSync(path, READ_FLAGS | DIRECT);
  } catch (error) {
    if (error.code !== 'EINVAL') throw error;
    return openSync(path, READ_FLAGS);
  }
}
