import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createEncryptor, decryptPayload, decryptRange } from '../../../src/jmix/payload-cipher.js';
import { collected } from './support/folders.js';
import { codeOf } from './support/sealing.js';
import { inPieces } from './support/staging.js';

const key = randomBytes(32);
const iv = randomBytes(12);
const plain = randomBytes(5000);
const encryptor = createEncryptor(key, iv);
const ciphertext = encryptor.encrypt(plain);
const parameters = { iv, authTag: encryptor.finish(), ephemeralPublicKey: Buffer.alloc(32) };

describe('decryptPayload', () => {
  it.each([
    ['a truncated ciphertext', ciphertext.subarray(0, -1), key, parameters],
    ['a longer ciphertext', Buffer.concat([ciphertext, Buffer.alloc(1)]), key, parameters],
    ['nothing', Buffer.alloc(0), key, parameters],
    ['another key', ciphertext, randomBytes(32), parameters],
    ['another tag', ciphertext, key, { ...parameters, authTag: randomBytes(16) }],
  ])('fails at the end on %s', async (_, bytes, withKey, withParameters) => {
    const source = inPieces(bytes, [1000]) as AsyncIterable<Buffer>;
    expect(await codeOf(collected(decryptPayload(source, withKey, withParameters)))).toBe(
      'PAYLOAD_DECRYPT_FAILED',
    );
  });

  it('gives the plaintext from pieces of any size', async () => {
    const source = inPieces(ciphertext, [1, 17, 999]) as AsyncIterable<Buffer>;
    expect((await collected(decryptPayload(source, key, parameters))).equals(plain)).toBe(true);
  });
});

describe('decryptRange', () => {
  it('gives any stretch of the plaintext', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 4999 }), fc.nat({ max: 600 }), async (offset, wanted) => {
        const sizeBytes = Math.min(wanted, plain.length - offset);
        const open = (start: number, end: number) =>
          inPieces(ciphertext.subarray(start, end + 1), [7, 300]) as AsyncIterable<Buffer>;
        const stretch = await collected(decryptRange(open, key, iv, { offset, sizeBytes }));
        expect(stretch.equals(plain.subarray(offset, offset + sizeBytes))).toBe(true);
      }),
      { numRuns: 60 },
    );
  });
});
