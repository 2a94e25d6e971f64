/**
 * The payload's tar, encrypted into a sink, with the hash that its dialect takes. With a second processor, another thread
 * encrypts and hashes while this one puts the tar together and hands on what is done; otherwise this one does all.
 */
import { createHash } from 'node:crypto';
import { Readable, type Writable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { putBytes } from '../disk/put-bytes.mjs';
import { inBlocks } from './blocks.js';
import { createEncryptor } from './payload-cipher.js';
import { HAS_SECOND_PROCESSOR, SLAB_BYTES, startThreadJob, type ThreadJob } from './payload-thread.js';

export type Hashed = 'tar' | 'ciphertext' | 'nothing';

export interface Encryption {
  readonly tar: AsyncGenerator<Buffer, void, undefined>;
  readonly key: Buffer;
  readonly iv: Buffer;
  /** What `sha256` is of. */
  readonly hashed: Hashed;
  /** Done with a piece, and free of it, when it calls back that it was written. */
  readonly sink: Writable;
  readonly signal?: AbortSignal;
  readonly onProgress?: (bytes: number) => void;
}

export interface Encrypted {
  readonly authTag: Buffer;
  /** 64 digits of lower hex; says nothing when nothing was hashed. */
  readonly sha256: string;
}

/** Blocks that wait to be encrypted; one more is being read, and one encrypted. */
const READ_AHEAD_PIECES = 8;

/** Ends the sink; whoever called destroys it when this throws. */
export function encryptPayload(encryption: Encryption): Promise<Encrypted> {
  return HAS_SECOND_PROCESSOR ? encryptBeside(encryption) : encryptHere(encryption);
}

async function encryptHere({
  tar,
  key,
  iv,
  hashed,
  sink,
  signal,
  onProgress,
}: Encryption): Promise<Encrypted> {
  const hash = createHash('sha256');
  const encryptor = createEncryptor(key, iv);
  let sealed = 0;
  const encrypt = async function* (blocks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
    for await (const plain of blocks) {
      if (hashed === 'tar') hash.update(plain);
      const chunk = encryptor.encrypt(plain);
      if (hashed === 'ciphertext') hash.update(chunk);
      sealed += chunk.length;
      yield chunk;
      onProgress?.(sealed);
    }
  };
  // The stream in front reads ahead, so that the next files are opened while these bytes are encrypted.
  const blocks = Readable.from(inBlocks(tar, READ_AHEAD_PIECES + 2), { highWaterMark: READ_AHEAD_PIECES });
  await pipeline(blocks, encrypt, sink, signal === undefined ? {} : { signal });
  return { authTag: encryptor.finish(), sha256: hash.digest('hex') };
}

async function encryptBeside(encryption: Encryption): Promise<Encrypted> {
  const { key, iv, hashed, sink, signal } = encryption;
  const job = startThreadJob({ kind: 'encrypt', key, iv, hashed });
  const { pool } = job;
  const ended = finished(sink, { readable: false, ...(signal === undefined ? {} : { signal }) });
  // Of the sink or of an abort: whoever waits for a slab hears of it, also when nobody writes.
  ended.catch(pool.fail);
  const composing = compose(encryption, job);
  const writing = writeEncrypted(encryption, job);
  // What fails second is only told to whoever listens.
  for (const work of [composing, writing]) work.catch(pool.fail);
  try {
    const [, encrypted] = await Promise.race([Promise.all([composing, writing]), failureOf(ended)]);
    sink.end();
    await ended;
    await job.end();
    pool.giveBack();
    return encrypted;
  } catch (error) {
    // The sink may still be about to write what lies in there, so the memory is not given back.
    await job.end();
    throw error;
  }
}

/** Puts the tar's pieces together in slabs, and sends them to be encrypted. */
async function compose({ tar }: Encryption, { pool, post }: ThreadJob): Promise<void> {
  let slab: number | undefined;
  let filled = 0;
  const send = (sizeBytes: number): void => {
    if (slab !== undefined) post({ slab, sizeBytes });
    slab = undefined;
    filled = 0;
  };
  for await (const piece of tar) {
    for (let at = 0; at < piece.length; ) {
      slab ??= await pool.take();
      const copied = putBytes(pool.slabs[slab] ?? piece, filled, piece, at);
      at += copied;
      filled += copied;
      if (filled === SLAB_BYTES.encrypt) send(filled);
    }
  }
  send(filled);
  post({});
}

/** Hands on what has been encrypted; a slab is free when the sink says that it was written. */
async function writeEncrypted(
  { sink, onProgress }: Encryption,
  { pool, reply }: ThreadJob,
): Promise<Encrypted> {
  for (let sealed = 0; ; ) {
    const { slab, sizeBytes = 0, authTag, sha256 } = await reply();
    if (authTag !== undefined && sha256 !== undefined) return { authTag: Buffer.from(authTag), sha256 };
    if (slab === undefined) continue;
    sink.write(pool.slabs[slab]?.subarray(0, sizeBytes), (error) => {
      if (error == null) pool.give(slab);
      else pool.fail(error);
    });
    sealed += sizeBytes;
    onProgress?.(sealed);
  }
}

async function failureOf(work: Promise<void>): Promise<never> {
  await work;
  return new Promise(() => undefined);
}
