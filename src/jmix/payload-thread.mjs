/**
 * What sealing and opening do beside the first thread: read a payload's files and hash them, or write many small ones;
 * encrypt or decrypt, and hash the ciphertext. Bytes cross in slabs of shared memory, which come round again; messages say
 * what lies in them. The cipher is here also because each call of it gives out new memory, which costs next to nothing to
 * collect where there is little else. A thread waits for its disk and for nothing else, so every call is synchronous.
 * payload-thread.ts starts it and names its messages. Plain JavaScript, because a thread is started from a file: this one
 * is the same in a build and under test.
 */
import { createCipheriv, createDecipheriv, createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, mkdirSync, openSync, readSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { MessageChannel, parentPort } from 'node:worker_threads';
import { DIRECT, inWholeBlocks } from '../disk/uncached.mjs';

/** Of this size, what the cipher gives out is soon used again. */
const CIPHER_BYTES = 64 * 1024;
/** Without O_NONBLOCK a pipe that was put in a file's place would be waited at for ever. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK;

/** Up to here, the cache is cheaper than the disk. */
const SMALL_FILE_BYTES = 64 * 1024;

const { port1: NOWHERE } = new MessageChannel();
NOWHERE.close();

parentPort?.on('message', ({ task, memory, slabBytes, port }) => {
  const views = Array.from({ length: memory.byteLength / slabBytes }, (_, slab) =>
    Buffer.from(memory, slab * slabBytes, slabBytes),
  );
  const job = JOBS[task.kind](task);
  let hasFailed = false;
  port.on('message', (message) => {
    // The end, whether all is done or not. Whoever hears the port close knows that nothing is open any more.
    if (message === 'end') {
      job.close();
      port.close();
      return;
    }
    if (hasFailed) return;
    try {
      port.postMessage(job.run(message, views[message.slab]));
    } catch (error) {
      hasFailed = true;
      port.postMessage({ error: plainError(error) });
    }
  });
});

const JOBS = { read: readJob, write: writeJob, encrypt: encryptJob, decrypt: decryptJob };

/** Fills one slab after the other with the files' bytes, as many files as fit. */
function readJob({ files }) {
  let at = 0;
  /** Whether the disk was asked for what came before: then it is for what follows. */
  let isCold = false;
  /** The file that is open. */
  let current;

  const begin = ({ path, sizeBytes, tailOffset }) => {
    const fd = openToRead(path, isCold && sizeBytes > SMALL_FILE_BYTES);
    current = { fd, path, position: 0, end: 0, whole: createHash('sha256') };
    const found = fstatSync(fd);
    // One byte too many shows that it has grown as well as all of them.
    if (found.isFile()) current.end = Math.min(found.size, sizeBytes + 1);
    if (tailOffset !== undefined) current.tail = { offset: tailOffset, hash: createHash('sha256') };
  };

  const readInto = (free) => {
    const { fd, position, end, whole, tail } = current;
    const wanted = Math.min(free.length, end - position);
    const askedBefore = process.resourceUsage().fsRead;
    const bytesRead = wanted === 0 ? 0 : Math.min(wanted, readBlocks(fd, free, wanted, position));
    isCold ||= process.resourceUsage().fsRead > askedBefore;
    const bytes = free.subarray(0, bytesRead);
    whole.update(bytes);
    if (tail !== undefined) tail.hash.update(bytes.subarray(Math.max(0, tail.offset - position)));
    current.position += bytesRead;
    // Shorter than a moment ago; whoever counts the bytes finds out.
    const isLast = bytesRead === 0 || current.position === end;
    return { sizeBytes: bytesRead, ...(isLast ? finish() : {}) };
  };

  /** Whole blocks, as a file that passes by the cache wants it; some file systems say only here that they know none of it. */
  const readBlocks = (fd, free, wanted, position) => {
    try {
      return readSync(fd, free, 0, inWholeBlocks(wanted), position);
    } catch (error) {
      if (error.code !== 'EINVAL') throw error;
      closeSync(fd);
      current.fd = openSync(current.path, READ_FLAGS);
      return readSync(current.fd, free, 0, wanted, position);
    }
  };

  const finish = () => {
    const { fd, whole, tail } = current;
    current = undefined;
    closeSync(fd);
    at += 1;
    return {
      sha256: whole.digest('hex'),
      ...(tail === undefined ? {} : { tailSha256: tail.hash.digest('hex') }),
    };
  };

  return {
    run({ slab }, view) {
      const pieces = [];
      for (let filled = 0; at < files.length && filled < view.length; ) {
        if (current === undefined) begin(files[at]);
        const piece = readInto(view.subarray(filled));
        filled += inWholeBlocks(piece.sizeBytes);
        pieces.push(piece);
      }
      return { slab, pieces };
    },
    close() {
      if (current !== undefined) closeSync(current.fd);
      current = undefined;
    },
  };
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

/** Writes what the slabs hold into new files in `folder`. */
function writeJob({ folder }) {
  const made = new Set();

  const write = (name, bytes) => {
    const path = join(folder, name);
    const parent = dirname(path);
    if (!made.has(parent)) {
      mkdirSync(parent, { recursive: true, mode: 0o700 });
      made.add(parent);
    }
    writeFileSync(path, bytes, { flag: 'wx', mode: 0o600 });
  };

  return {
    run({ slab, files }, view) {
      let offset = 0;
      for (const { name, sizeBytes } of files) {
        write(name, view.subarray(offset, offset + sizeBytes));
        offset += sizeBytes;
      }
      return { slab };
    },
    close() {},
  };
}

/** In place. The tag, and the hash of what `hashed` names, are the answer to the message without a slab. */
function encryptJob({ key, iv, hashed }) {
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: 16 });
  const hash = createHash('sha256');
  return {
    run({ slab, sizeBytes }, view) {
      if (slab === undefined) {
        cipher.final();
        return { authTag: cipher.getAuthTag(), sha256: hash.digest('hex') };
      }
      for (const piece of inPieces(view.subarray(0, sizeBytes))) {
        if (hashed === 'tar') hash.update(piece);
        cipherInPlace(cipher, piece);
        if (hashed === 'ciphertext') hash.update(piece);
      }
      return { slab, sizeBytes };
    },
    close() {},
  };
}

/** In place. Whether the tag verifies, and the ciphertext's hash, are the answer to the message without a slab. */
function decryptJob({ key, iv, authTag }) {
  const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: 16 });
  decipher.setAuthTag(authTag);
  const hash = createHash('sha256');
  return {
    run({ slab, sizeBytes }, view) {
      if (slab === undefined) return { isAuthentic: isAuthentic(decipher), sha256: hash.digest('hex') };
      for (const piece of inPieces(view.subarray(0, sizeBytes))) {
        hash.update(piece);
        cipherInPlace(decipher, piece);
      }
      return { slab, sizeBytes };
    },
    close() {},
  };
}

/** Small enough for the processor's cache. */
function* inPieces(bytes) {
  for (let at = 0; at < bytes.length; at += CIPHER_BYTES) yield bytes.subarray(at, at + CIPHER_BYTES);
}

function cipherInPlace(cipher, piece) {
  const changed = cipher.update(piece);
  changed.copy(piece);
  giveBack(changed);
}

/** What goes to a closed port is gone at once; a collector would let tens of megabytes come together first. */
function giveBack({ buffer }) {
  NOWHERE.postMessage(undefined, [buffer]);
}

function isAuthentic(decipher) {
  try {
    decipher.final();
    return true;
  } catch {
    return false;
  }
}

/** Between threads an error loses all but its text. */
function plainError({ message, code, errno, syscall }) {
  return { message, code, errno, syscall };
}
