/**
 * The SHA-256 thumbprint of a key (RFC 7638): its name wherever keys go as JWK. The members that count are those that RFC
 * 7638 §3.2 requires, and RFC 8037 §2 for X25519 and Ed25519, in lexicographic order and without a blank.
 */
import { createHash, type KeyObject } from 'node:crypto';
import { canonicalJson } from './canonical-json.js';
import { rawPublicKey } from './raw-keys.js';
import type { JsonObject } from './strict-json.js';

/**
 * @param key X25519 or Ed25519; of a private one, its public half
 * @returns 43 characters of base64url
 */
export function jwkThumbprint(key: KeyObject): string {
  const crv = key.asymmetricKeyType === 'ed25519' ? 'Ed25519' : 'X25519';
  return thumbprint({ crv, kty: 'OKP', x: rawPublicKey(key).toString('base64url') });
}

/** Of a symmetric key (RFC 7518 §6.4). */
export function secretThumbprint(key: Buffer): string {
  return thumbprint({ k: key.toString('base64url'), kty: 'oct' });
}

function thumbprint(required: JsonObject): string {
  return createHash('sha256').update(canonicalJson(required)).digest('base64url');
}
