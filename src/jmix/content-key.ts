/**
 * One sealed payload for several receivers. The JMIX encryption block serves one, the first; all of them, the first
 * included, find the same AES key as a JWE in General JSON Serialization (RFC 7516 §7.2.1) at
 * `manifest.extensions.drawbridge.content_key`:
 *
 *   protected   {"alg":"ECDH-ES+A256KW","enc":"A256GCM","cty":"jwk+json"}
 *   recipients  one for each receiver of the manifest, in its order: `header` with `kid`, the RFC 7638 thumbprint of
 *               the receiver's X25519 key, and `epk`, an X25519 key (RFC 8037 §3.2); `encrypted_key`
 *   aad         RFC 8785 form of {"encryption": the manifest's `security.encryption`, "id": the envelope's id,
 *               "key_thumbprint": RFC 7638 thumbprint of the content key}
 *   ciphertext  the content key as a JWK (RFC 7517 §7): {"alg":"A256GCM","k":…,"kty":"oct"}
 *
 * The aad ties it to this very envelope. The thumbprint ties all receivers to one key: AES-GCM alone would let a sender
 * make a ciphertext that verifies under two keys and tells two receivers two things. It gives the key away to nobody,
 * since nobody can guess 256 random bits.
 */
import type { KeyObject } from 'node:crypto';
import type { GeneralJWE } from 'jose';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { GatewayError } from '../errors/gateway-error.js';
import { parseBase64Url } from './base64.js';
import { canonicalJson } from './canonical-json.js';
import {
  AUTH_TAG_BYTES,
  type EncryptionParameters,
  formatEncryptionParameters,
  IV_BYTES,
} from './encryption-parameters.js';
import { jwkThumbprint, secretThumbprint } from './jwk-thumbprint.js';
import { isLowOrderPoint, PAYLOAD_KEY_BYTES } from './key-agreement.js';
import { decryptFailed } from './payload-cipher.js';
import { RAW_KEY_BYTES } from './raw-keys.js';
import { isJsonObject, type JsonObject, type JsonValue, parseStrictObject } from './strict-json.js';

/** Each costs every receiver some reading, and the sender two X25519 agreements. */
export const MAX_RECIPIENTS = 64;

const CODE = 'ENCRYPTION_PARAMETERS_INVALID';

/** Most envelopes have one receiver, and need none of it. */
const jose = () => import('jose');

const ALG = 'ECDH-ES+A256KW';
const ENC = 'A256GCM';
const PROTECTED_HEADER = { alg: ALG, enc: ENC, cty: 'jwk+json' } as const;

/** RFC 3394: the wrapped key is one block of 8 bytes longer. */
const WRAPPED_KEY_BYTES = PAYLOAD_KEY_BYTES + 8;
/** The JWK of 32 bytes has 80 or so. */
const MAX_CIPHERTEXT_BYTES = 1024;

/** What the content key belongs to. */
export interface SealedUnder {
  readonly id: EnvelopeId;
  readonly encryption: EncryptionParameters;
}

/** Made by `parseWrappedContentKey` only. */
export interface WrappedContentKey {
  readonly jwe: GeneralJWE;
  /** Of the receivers' keys, in the order of `jwe.recipients`. */
  readonly kids: readonly string[];
  /** Of the content key. */
  readonly thumbprint: string;
}

/**
 * The JWE, as it stands in JSON.
 * @param contentKey 32 bytes
 * @param recipientKeys X25519, public, none of low order; 2 to MAX_RECIPIENTS
 */
export async function wrapContentKey(
  contentKey: Buffer,
  recipientKeys: readonly KeyObject[],
  under: SealedUnder,
): Promise<JsonObject> {
  const { GeneralEncrypt } = await jose();
  const jwk = { alg: ENC, k: contentKey.toString('base64url'), kty: 'oct' };
  const jwe = new GeneralEncrypt(Buffer.from(canonicalJson(jwk)))
    .setProtectedHeader(PROTECTED_HEADER)
    .setAdditionalAuthenticatedData(Buffer.from(boundText(under, secretThumbprint(contentKey))));
  for (const key of recipientKeys) jwe.addRecipient(key).setUnprotectedHeader({ kid: jwkThumbprint(key) });
  return JSON.parse(JSON.stringify(await jwe.encrypt())) as JsonObject;
}

/**
 * The JWE from a manifest, with everything checked that needs no key.
 * @param receivers how many the manifest names
 * @throws ENCRYPTION_PARAMETERS_INVALID when it is not as above, belongs to another envelope, or an `epk` is of low order
 */
export function parseWrappedContentKey(
  value: JsonValue,
  under: SealedUnder,
  receivers: number,
): WrappedContentKey {
  const members = objectOf(value, ['protected', 'recipients', 'aad', 'iv', 'ciphertext', 'tag']);
  const header = parseStrictObject(bytesOf(members['protected']), 'content_key header', CODE);
  if (canonicalJson(header) !== canonicalJson(PROTECTED_HEADER)) {
    refuse(`its protected header must be ${canonicalJson(PROTECTED_HEADER)}`);
  }
  bytesOf(members['iv'], IV_BYTES);
  bytesOf(members['tag'], AUTH_TAG_BYTES);
  if (bytesOf(members['ciphertext']).length > MAX_CIPHERTEXT_BYTES) {
    refuse(`its ciphertext is longer than ${MAX_CIPHERTEXT_BYTES} bytes`);
  }
  const entries = members['recipients'];
  const count = Array.isArray(entries) ? entries.length : 0;
  if (!Array.isArray(entries) || count !== receivers || count > MAX_RECIPIENTS) {
    refuse(`it is for ${count} recipients, the manifest names ${receivers}, at most ${MAX_RECIPIENTS}`);
  }
  return {
    kids: entries.map(kidOf),
    thumbprint: boundThumbprint(bytesOf(members['aad']), under),
    jwe: members as unknown as GeneralJWE,
  };
}

/**
 * The content key, by whichever of the keys is among the receivers'.
 * @param recipientKeys X25519, private
 * @throws PAYLOAD_DECRYPT_FAILED when none is, or the JWE does not open
 */
export async function unwrapContentKey(
  { jwe, kids, thumbprint }: WrappedContentKey,
  recipientKeys: readonly KeyObject[],
): Promise<Buffer> {
  for (const key of recipientKeys) {
    const kid = jwkThumbprint(key);
    // A name that stands there twice keeps nobody out: whichever entry is ours opens.
    for (const recipient of jwe.recipients.filter((_, index) => kids[index] === kid)) {
      const contentKey = await unwrapFor(key, { ...jwe, recipients: [recipient] });
      if (contentKey !== undefined && secretThumbprint(contentKey) === thumbprint) return contentKey;
    }
  }
  throw decryptFailed();
}

/** What the aad says. */
function boundText({ id, encryption }: SealedUnder, keyThumbprint: string): string {
  return canonicalJson({
    encryption: formatEncryptionParameters(encryption),
    id,
    key_thumbprint: keyThumbprint,
  });
}

/** The thumbprint in an aad that says nothing else than what it must. */
function boundThumbprint(aad: Buffer, under: SealedUnder): string {
  const thumbprint = parseStrictObject(aad, 'content_key aad', CODE)['key_thumbprint'];
  if (typeof thumbprint !== 'string' || aad.toString() !== boundText(under, thumbprint)) {
    refuse('its aad does not name this envelope and its encryption block');
  }
  return thumbprint;
}

function kidOf(entry: JsonValue): string {
  const { header, encrypted_key: wrapped } = objectOf(entry, ['encrypted_key', 'header']);
  bytesOf(wrapped, WRAPPED_KEY_BYTES);
  const { kid, epk } = objectOf(header, ['epk', 'kid']);
  const { crv, kty, x } = objectOf(epk, ['crv', 'kty', 'x']);
  if (typeof kid !== 'string') refuse('a kid is not a text');
  if (kty !== 'OKP' || crv !== 'X25519') refuse('an epk is not an X25519 key');
  // RFC 7748 §6.1: whatever is agreed with such a point, anyone knows.
  if (isLowOrderPoint(bytesOf(x, RAW_KEY_BYTES))) refuse('an epk is a point of low order');
  return kid;
}

/** Undefined when it does not open: a sealed thing that does not says no more than that. */
async function unwrapFor(key: KeyObject, jwe: GeneralJWE): Promise<Buffer | undefined> {
  const { generalDecrypt } = await jose();
  try {
    const { plaintext } = await generalDecrypt(jwe, key, {
      keyManagementAlgorithms: [ALG],
      contentEncryptionAlgorithms: [ENC],
    });
    const jwk = parseStrictObject(Buffer.from(plaintext), 'content key', CODE);
    const contentKey = bytesOf(jwk['k'], PAYLOAD_KEY_BYTES);
    return jwk['kty'] === 'oct' ? contentKey : undefined;
  } catch {
    return undefined;
  }
}

/** An object with these members, all of them and no others. */
function objectOf(value: JsonValue | undefined, members: readonly string[]): JsonObject {
  if (isJsonObject(value) && Object.keys(value).sort().join() === [...members].sort().join()) return value;
  refuse(`expected an object of ${members.join(', ')}`);
}

/** @param sizeBytes any when absent */
function bytesOf(value: JsonValue | undefined, sizeBytes?: number): Buffer {
  const bytes = typeof value === 'string' ? parseBase64Url(value) : undefined;
  if (bytes === undefined) refuse('a member is not unpadded base64url');
  if (sizeBytes !== undefined && bytes.length !== sizeBytes) {
    refuse(`a member is ${bytes.length} bytes, must be ${sizeBytes} bytes`);
  }
  return bytes;
}

function refuse(message: string): never {
  throw new GatewayError(CODE, `the content key for several receivers cannot be read: ${message}`);
}
