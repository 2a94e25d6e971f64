/**
 * The payload's tar, encrypted into a sink, with the hash that its dialect takes. With a second processor, another thread
 * encrypts and hashes while this one puts the tar together and hands on what is done; otherwise this one does all.
 */
import { createHash } from 'node:crypto';
import { Readable, type Writable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
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
  const free = createFreeSlabs(job.slabs.length);
  const ended = finished(sink, { readable: false, ...(signal === undefined ? {} : { signal }) });
  // Of the sink or of an abort: whoever waits for a slab hears of it, also when nobody writes.
  ended.catch(free.fail);
  const composing = compose(encryption, job, free);
  const writing = writeEncrypted(encryption, job, free);
  // What fails second is only told to whoever listens.
  for (const work of [composing, writing]) work.catch(free.fail);
  try {
    const [, encrypted] = await Promise.race([Promise.all([composing, writing]), failureOf(ended)]);
    sink.end();
    await ended;
    return encrypted;
  } finally {
    await job.end();
  }
}

/** Puts the tar's pieces together in slabs, and sends them to be encrypted. */
async function compose({ tar }: Encryption, job: ThreadJob, free: FreeSlabs): Promise<void> {
  let slab: number | undefined;
  let filled = 0;
  const send = (sizeBytes: number): void => {
    if (slab !== undefined) job.post({ slab, sizeBytes });
    slab = undefined;
    filled = 0;
  };
  for await (const piece of tar) {
    for (let at = 0; at < piece.length; ) {
      slab ??= await free.take();
      const copied = piece.copy(job.slabs[slab] ?? piece, filled, at);
      at += copied;
      filled += copied;
      if (filled === SLAB_BYTES) send(filled);
    }
  }
  send(filled);
  job.post({});
}

/** Hands on what has been encrypted; a slab is free when the sink says that it was written. */
async function writeEncrypted(
  { sink, onProgress }: Encryption,
  job: ThreadJob,
  free: FreeSlabs,
): Promise<Encrypted> {
  for (let sealed = 0; ; ) {
    const { slab, sizeBytes = 0, authTag, sha256 } = await job.reply();
    if (authTag !== undefined && sha256 !== undefined) return { authTag: Buffer.from(authTag), sha256 };
    if (slab === undefined) continue;
    sink.write(job.slabs[slab]?.subarray(0, sizeBytes), (error) => {
      if (error == null) free.give(slab);
      else free.fail(error);
    });
    sealed += sizeBytes;
    onProgress?.(sealed);
  }
}

async function failureOf(work: Promise<void>): Promise<never> {
  await work;
  return new Promise(() => undefined);
}

interface FreeSlabs {
  /** @throws what `fail` was told first */
  take(): Promise<number>;
  give(slab: number): void;
  fail(error: unknown): void;
}

function createFreeSlabs(count: number): FreeSlabs {
  const slabs = Array.from({ length: count }, (_, slab) => slab);
  const failures: unknown[] = [];
  let wake = (): void => undefined;
  return {
    async take() {
      for (;;) {
        if (failures.length > 0) throw failures[0];
        const slab = slabs.shift();
        if (slab !== undefined) return slab;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    give(slab) {
      slabs.push(slab);
      wake();
    },
    fail(error) {
      failures.push(error);
      wake();
    },
  };
}
