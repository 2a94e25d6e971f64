/**
 * AES-256-GCM over the payload tar (JMIX security §3.2; NIST SP 800-38D): 12-byte IV, 16-byte tag kept in the manifest
 * and not in the file, no associated data, so the sealed file is exactly as long as the tar. Decryption gives out
 * plaintext before the tag has been checked; whoever consumes it must not believe it until the generator has ended
 * without an error.
 */
import { createCipheriv, createDecipheriv, type DecipherGCM } from 'node:crypto';
import { GatewayError } from '../errors/gateway-error.js';
import { AUTH_TAG_BYTES, type EncryptionParameters, IV_BYTES } from './encryption-parameters.js';

/** NIST SP 800-38D §5.2.1.1: at most 2^39 − 256 bits under one key and IV. */
export const GCM_MAX_BYTES = 2 ** 36 - 32;

const AES_BLOCK_BYTES = 16;
/** Counter blocks 0 and 1 belong to the hash key and the tag; the payload starts at 2 (SP 800-38D §7.1). */
const FIRST_PAYLOAD_COUNTER = 2;

export interface PayloadEncryptor {
  /** The same number of bytes, encrypted. */
  encrypt(chunk: Buffer): Buffer;
  /** To be called once, after the last chunk: the 16-byte tag. */
  finish(): Buffer;
}

/** One key and IV seal one payload, once. */
export function createEncryptor(key: Buffer, iv: Buffer): PayloadEncryptor {
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: AUTH_TAG_BYTES });
  return {
    encrypt: (chunk) => cipher.update(chunk),
    finish: () => {
      cipher.final();
      return cipher.getAuthTag();
    },
  };
}

/**
 * The plaintext of `ciphertext`, chunk by chunk; the tag is checked at the end.
 * @throws PAYLOAD_DECRYPT_FAILED at the end when the tag does not verify: wrong key and tampering look alike, and must
 */
export async function* decryptPayload(
  ciphertext: AsyncIterable<Buffer>,
  key: Buffer,
  parameters: EncryptionParameters,
): AsyncGenerator<Buffer, void, undefined> {
  const decipher = createDecryptor(key, parameters);
  for await (const chunk of ciphertext) yield decipher.update(chunk);
  if (!isAuthentic(decipher)) throw decryptFailed();
}

/** A decipher that has its tag; for those who need the plaintext's first block, or only the verdict. */
export function createDecryptor(key: Buffer, parameters: EncryptionParameters): DecipherGCM {
  const decipher = createDecipheriv('aes-256-gcm', key, parameters.iv, { authTagLength: AUTH_TAG_BYTES });
  decipher.setAuthTag(parameters.authTag);
  return decipher;
}

/** To be called once, after the last chunk: whether the tag verifies. */
export function isAuthentic(decipher: DecipherGCM): boolean {
  try {
    decipher.final();
    return true;
  } catch {
    return false;
  }
}

/** The one error for every failed decryption, whatever the cause. */
export function decryptFailed(): GatewayError {
  return new GatewayError(
    'PAYLOAD_DECRYPT_FAILED',
    'the payload does not decrypt: it is sealed to another key, or was changed',
  );
}

/**
 * Any stretch of a payload whose tag has verified before, without reading what stands in front of it: inside, GCM is
 * counter mode (SP 800-38D §6.5). Never to be used on bytes that nothing has authenticated.
 * @param openRange opens the sealed file from `start` to `end`, both inclusive
 */
export async function* decryptRange(
  openRange: (start: number, end: number) => AsyncIterable<Buffer>,
  key: Buffer,
  iv: Buffer,
  range: { readonly offset: number; readonly sizeBytes: number },
): AsyncGenerator<Buffer, void, undefined> {
  if (range.sizeBytes === 0) return;
  const block = Math.floor(range.offset / AES_BLOCK_BYTES);
  const counter = Buffer.alloc(AES_BLOCK_BYTES);
  iv.copy(counter);
  counter.writeUInt32BE(block + FIRST_PAYLOAD_COUNTER, IV_BYTES);
  const decipher = createDecipheriv('aes-256-ctr', key, counter);
  let skip = range.offset - block * AES_BLOCK_BYTES;
  for await (const chunk of openRange(block * AES_BLOCK_BYTES, range.offset + range.sizeBytes - 1)) {
    const plain = decipher.update(chunk);
    yield plain.subarray(skip);
    skip = Math.max(0, skip - plain.length);
  }
}
