/**
 * The plaintext of a sealed payload, decrypted by another thread, which hashes the ciphertext as well. Nothing of it may
 * be believed before the generator has ended without an error.
 */
import type { EncryptionParameters } from './encryption-parameters.js';
import { decryptFailed } from './payload-cipher.js';
import { SLAB_BYTES, startThreadJob } from './payload-thread.js';

/**
 * Pieces lie in memory that is used again when the next is asked for.
 * @param noteHash called at the end with the SHA-256 of the ciphertext, lower hex
 * @throws PAYLOAD_DECRYPT_FAILED at the end when the tag does not verify; FAULT when the thread has died
 */
export async function* decryptBeside(
  ciphertext: AsyncIterable<Buffer>,
  key: Buffer,
  { iv, authTag }: EncryptionParameters,
  noteHash: (sha256: string) => void,
): AsyncGenerator<Buffer, void, undefined> {
  const job = startThreadJob({ kind: 'decrypt', key, iv, authTag });
  const filling = filledSlabs(ciphertext, job.slabs);
  try {
    let sent = 0;
    for (let isOver = false; ; ) {
      while (!isOver && sent < job.slabs.length) {
        const { value } = await filling.next();
        isOver = value === undefined;
        job.post(value ?? {});
        sent += 1;
      }
      const { slab, sizeBytes = 0, sha256, isAuthentic } = await job.reply();
      if (slab === undefined) {
        if (isAuthentic !== true || sha256 === undefined) throw decryptFailed();
        noteHash(sha256);
        return;
      }
      const view = job.slabs[slab];
      if (view !== undefined) yield view.subarray(0, sizeBytes);
      sent -= 1;
    }
  } finally {
    await job.end();
  }
}

/** The same bytes in one slab after the other, from the first on again; all but the last are full. */
async function* filledSlabs(
  source: AsyncIterable<Buffer>,
  slabs: readonly Buffer[],
): AsyncGenerator<{ readonly slab: number; readonly sizeBytes: number }, void, undefined> {
  let slab = 0;
  let filled = 0;
  for await (const piece of source) {
    for (let at = 0; at < piece.length; ) {
      const copied = piece.copy(slabs[slab] ?? piece, filled, at);
      at += copied;
      filled += copied;
      if (filled < SLAB_BYTES) continue;
      yield { slab, sizeBytes: filled };
      slab = (slab + 1) % slabs.length;
      filled = 0;
    }
  }
  if (filled > 0) yield { slab, sizeBytes: filled };
}
