/**
 * Which of the recipient's keys, and which dialect's HKDF info, opens a sealed payload. Where the envelope is for several
 * receivers, content-key.ts says which key it must be. Otherwise nothing in the manifest says so. The first plaintext
 * block tells: under the right key it is a tar header. Where no key, or more than one, gives a header, a pass over the
 * whole payload asks the tag. The choice is a guess until the tag has verified in any case.
 */
import type { KeyObject } from 'node:crypto';
import { unwrapContentKey, type WrappedContentKey } from './content-key.js';
import { CANON, HKDF_INFOS } from './dialect.js';
import type { EncryptionParameters } from './encryption-parameters.js';
import type { SealedPayload } from './envelope-folder.js';
import { secretThumbprint } from './jwk-thumbprint.js';
import { derivePayloadKey, sharedSecret } from './key-agreement.js';
import { createDecryptor, decryptFailed, isAuthentic } from './payload-cipher.js';
import { x25519PublicKey } from './raw-keys.js';
import { isTarHeader, TAR_BLOCK_BYTES } from './tar-header.js';

export interface CandidateKey {
  readonly hkdfInfo: string;
  /** AES-256 key, 32 bytes. */
  readonly key: Buffer;
}

/**
 * @param recipientKeys X25519, private; the present one and any that are still honoured
 * @param wrapped the content key for several receivers: it names the one key that may be used, whichever way it is found
 * @throws PAYLOAD_DECRYPT_FAILED when none opens the payload; ENCRYPTION_PARAMETERS_INVALID on a low-order ephemeral key
 */
export async function findPayloadKey(
  payload: SealedPayload,
  parameters: EncryptionParameters,
  recipientKeys: readonly KeyObject[],
  wrapped?: WrappedContentKey,
): Promise<CandidateKey> {
  const ephemeral = x25519PublicKey(parameters.ephemeralPublicKey);
  // The same key given twice would fit twice, and cost the pass over the whole payload.
  const distinct = recipientKeys.filter(
    (key, at) => recipientKeys.findIndex((other) => other.equals(key)) === at,
  );
  const candidates = distinct.flatMap((recipientKey) => {
    const secret = sharedSecret(recipientKey, ephemeral);
    return HKDF_INFOS.map(
      (hkdfInfo): CandidateKey => ({ hkdfInfo, key: derivePayloadKey(secret, hkdfInfo) }),
    );
  });
  if (wrapped !== undefined) {
    const own = candidates.find(({ key }) => secretThumbprint(key) === wrapped.thumbprint);
    return own ?? { hkdfInfo: CANON.hkdfInfo, key: await unwrapContentKey(wrapped, distinct) };
  }
  const head = await firstBlock(payload);
  const [likely, ...others] = candidates.filter(({ key }) =>
    isTarHeader(createDecryptor(key, parameters).update(head)),
  );
  if (likely !== undefined && others.length === 0) return likely;
  return await findByTag(payload, parameters, candidates);
}

async function firstBlock(payload: SealedPayload): Promise<Buffer> {
  if (payload.sizeBytes === 0) return Buffer.alloc(0);
  const pieces: Buffer[] = [];
  for await (const piece of payload.open({ start: 0, end: TAR_BLOCK_BYTES - 1 }))
    pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

/** One pass for all candidates together; the plaintext is thrown away. */
async function findByTag(
  payload: SealedPayload,
  parameters: EncryptionParameters,
  candidates: readonly CandidateKey[],
): Promise<CandidateKey> {
  const trials = candidates.map((candidate) => ({
    candidate,
    decryptor: createDecryptor(candidate.key, parameters),
  }));
  for await (const chunk of payload.open()) {
    for (const { decryptor } of trials) decryptor.update(chunk);
  }
  const found = trials.find(({ decryptor }) => isAuthentic(decryptor));
  if (found === undefined) throw decryptFailed();
  return found.candidate;
}
