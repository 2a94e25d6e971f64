/**
 * What sealing and opening do beside the first thread: read a payload's files and hash them, or write many small ones;
 * encrypt or decrypt, and hash the ciphertext. Bytes cross in slabs of shared memory, which come round again; messages say
 * what lies in them. The cipher is here also because each call of it gives out new memory, which costs next to nothing to
 * collect where there is little else. A thread waits for its disk and for nothing else, so calls are synchronous, but for the
 * reads of read-job.mjs.
 * payload-thread.ts starts it and names its messages. Plain JavaScript, because a thread is started from a file: this one
 * is the same in a build and under test.
 */
import { createCipheriv, createDecipheriv, createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { MessageChannel, parentPort } from 'node:worker_threads';
import { putBytes } from '../disk/put-bytes.mjs';
import { readJob } from './read-job.mjs';

/** Of this size, what the cipher gives out is soon used again. */
const CIPHER_BYTES = 64 * 1024;

const { port1: NOWHERE } = new MessageChannel();
NOWHERE.close();

parentPort?.on('message', ({ task, memory, slabBytes, port }) => {
  const views = Array.from({ length: memory.byteLength / slabBytes }, (_, slab) =>
    Buffer.from(memory, slab * slabBytes, slabBytes),
  );
  const job = JOBS[task.kind](task);
  let hasFailed = false;
  const tell = (reply) => port.postMessage(reply);
  const fail = (error) => {
    if (!hasFailed) tell({ error: plainError(error) });
    hasFailed = true;
  };
  port.on('message', async (message) => {
    // The end, whether all is done or not. Whoever hears the port close knows that nothing is open any more.
    if (message === 'end') {
      await job.close();
      port.close();
      return;
    }
    if (hasFailed) return;
    try {
      const reply = job.run(message, views[message.slab]);
      if (reply instanceof Promise) reply.then(tell, fail);
      else tell(reply);
    } catch (error) {
      fail(error);
    }
  });
});

const JOBS = { read: readJob, write: writeJob, encrypt: encryptJob, decrypt: decryptJob };

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
  putBytes(piece, 0, changed);
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
