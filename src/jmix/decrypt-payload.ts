/**
 * The plaintext of a sealed payload, decrypted by another thread, which hashes the ciphertext as well. Nothing of it may
 * be believed before the generator has ended without an error.
 */
import { putBytes } from '../disk/put-bytes.mjs';
import type { EncryptionParameters } from './encryption-parameters.js';
import { decryptFailed } from './payload-cipher.js';
import { SLAB_BYTES, startThreadJob, type ThreadJob } from './payload-thread.js';

/**
 * Pieces lie in memory that is used again when the next is asked for.
 * @param open gives the ciphertext, as a sealed payload does
 * @param noteHash called at the end with the SHA-256 of the ciphertext, lower hex
 * @throws PAYLOAD_DECRYPT_FAILED at the end when the tag does not verify; FAULT when the thread has died; what the
 *   ciphertext throws
 */
export async function* decryptBeside(
  open: (take: () => Promise<Buffer>) => AsyncIterable<Buffer>,
  key: Buffer,
  { iv, authTag }: EncryptionParameters,
  noteHash: (sha256: string) => void,
): AsyncGenerator<Buffer, void, undefined> {
  const job = startThreadJob({ kind: 'decrypt', key, iv, authTag });
  const failures: unknown[] = [];
  const feeding = feed(open, job)
    .catch((error: unknown) => failures.push(error))
    // Also of what has failed: whoever waits for the end hears of it.
    .finally(() => job.post({}));
  try {
    for (;;) {
      const { slab, sizeBytes = 0, sha256, isAuthentic } = await job.reply();
      if (slab === undefined) {
        if (failures.length > 0) throw failures[0];
        if (isAuthentic !== true || sha256 === undefined) throw decryptFailed();
        noteHash(sha256);
        return;
      }
      const view = job.pool.slabs[slab];
      if (view !== undefined) yield view.subarray(0, sizeBytes);
      job.pool.give(slab);
    }
  } finally {
    job.pool.fail(new Error('nobody asks for more'));
    await feeding;
    await job.end();
    job.pool.giveBack();
  }
}

/** Sends the ciphertext to the thread: read into the slabs, or copied there. */
async function feed(
  open: (take: () => Promise<Buffer>) => AsyncIterable<Buffer>,
  { pool, post }: ThreadJob,
): Promise<void> {
  const { slabs } = pool;
  const numberOf = new Map(slabs.map((slab, index) => [slab.byteOffset, index]));
  const memory = slabs[0]?.buffer;
  const take = async (): Promise<Buffer> => slabs[await pool.take()] ?? Buffer.alloc(0);
  /** Of what is copied. */
  let slab: number | undefined;
  let filled = 0;
  for await (const piece of open(take)) {
    const own = piece.buffer === memory ? numberOf.get(piece.byteOffset) : undefined;
    if (own !== undefined) {
      post({ slab: own, sizeBytes: piece.length });
      continue;
    }
    for (let at = 0; at < piece.length; ) {
      slab ??= await pool.take();
      const copied = putBytes(slabs[slab] ?? piece, filled, piece, at);
      at += copied;
      filled += copied;
      if (filled < SLAB_BYTES.decrypt) continue;
      post({ slab, sizeBytes: filled });
      slab = undefined;
      filled = 0;
    }
  }
  if (slab !== undefined) post({ slab, sizeBytes: filled });
}
