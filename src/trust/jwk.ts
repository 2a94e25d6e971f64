/**
 * One public key as a JWK (RFC 7517 §4) of type OKP: X25519 to seal to, Ed25519 to verify with (RFC 8037 §2), and its
 * name, the SHA-256 thumbprint (RFC 7638). A `kid` that somebody else gave to a key is never believed: it is computed.
 */
import type { KeyObject } from 'node:crypto';
import { parseBase64Url } from '../jmix/base64.js';
import { jwkThumbprint } from '../jmix/jwk-thumbprint.js';
import { isLowOrderPoint } from '../jmix/key-agreement.js';
import { ed25519PublicKey, RAW_KEY_BYTES, rawPublicKey, x25519PublicKey } from '../jmix/raw-keys.js';
import { isJsonObject, type JsonObject } from '../jmix/strict-json.js';
import type { KeyPurpose } from './key-files.js';

/** A public key that somebody publishes or announces. */
export interface PublishedKey {
  /** RFC 7638 thumbprint. */
  readonly kid: string;
  readonly purpose: KeyPurpose;
  readonly key: KeyObject;
}

const CURVE = {
  encryption: { crv: 'X25519', use: 'enc', alg: 'ECDH-ES+A256KW' },
  // RFC 9864 prefers the name Ed25519, which readers of before 2025 do not know.
  signing: { crv: 'Ed25519', use: 'sig', alg: 'EdDSA' },
} as const;

/** The JWK of a public key; of a private one, that of its public half. */
export function formatJwk(key: KeyObject, purpose: KeyPurpose): JsonObject {
  const { crv, use, alg } = CURVE[purpose];
  return { kty: 'OKP', crv, x: rawPublicKey(key).toString('base64url'), kid: jwkThumbprint(key), use, alg };
}

/**
 * @returns undefined for what is no public X25519 or Ed25519 key, or meant for another use than ours, nor for a
 *   point of low order, to which nothing can be sealed. A key that comes
 *   with its private half is nobody's secret any more, and none either.
 */
export function parseJwk(jwk: unknown): PublishedKey | undefined {
  if (!isJsonObject(jwk) || jwk['kty'] !== 'OKP' || Object.hasOwn(jwk, 'd')) return undefined;
  const purpose = jwk['crv'] === CURVE.signing.crv ? 'signing' : 'encryption';
  const { crv, use } = CURVE[purpose];
  if (jwk['crv'] !== crv || (Object.hasOwn(jwk, 'use') && jwk['use'] !== use)) return undefined;
  const raw = typeof jwk['x'] === 'string' ? parseBase64Url(jwk['x']) : undefined;
  if (raw?.length !== RAW_KEY_BYTES || (purpose === 'encryption' && isLowOrderPoint(raw))) return undefined;
  const key = purpose === 'signing' ? ed25519PublicKey(raw) : x25519PublicKey(raw);
  return { kid: jwkThumbprint(key), purpose, key };
}
