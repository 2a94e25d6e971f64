/**
 * manifest.jws and receipts: a JWS in compact serialisation (RFC 7515 §3.1) with EdDSA (RFC 8037 §3.1), payload
 * attached. Both directions. Takes `Ed25519` (RFC 9864) as another name of the same algorithm; refuses `none`, `crit`,
 * and everything else.
 */
import { type KeyObject, sign } from 'node:crypto';
import { GatewayError } from '../errors/gateway-error.js';
import { parseBase64Url } from './base64.js';
import { CANON } from './dialect.js';
import { SIGNATURE_BYTES, verifyEd25519 } from './ed25519.js';
import { keyFingerprint } from './raw-keys.js';
import { type JsonObject, parseStrictObject } from './strict-json.js';

const ALGORITHMS: readonly unknown[] = ['EdDSA', 'Ed25519'];
const FINGERPRINT = /^SHA256:[0-9a-f]{64}$/i;

export interface CompactJws {
  readonly header: JsonObject;
  readonly payload: Buffer;
  readonly signature: Buffer;
  /** What the signature is made on: ASCII(header.payload). */
  readonly signingInput: Buffer;
}

export interface VerifiedJws {
  readonly header: JsonObject;
  readonly payload: Buffer;
  /** The one of the given keys that verified. */
  readonly key: KeyObject;
}

/**
 * @param header the members of the protected header; the canonical one by default
 * @returns ASCII, without a final newline
 */
export function signCompactJws(
  payload: Buffer,
  key: KeyObject,
  header: JsonObject = { ...CANON.jwsHeader },
): Buffer {
  const protectedHeader = Buffer.from(JSON.stringify(header)).toString('base64url');
  const signingInput = `${protectedHeader}.${payload.toString('base64url')}`;
  const signature = sign(null, Buffer.from(signingInput), key).toString('base64url');
  return Buffer.from(`${signingInput}.${signature}`);
}

/**
 * The parts, with the header checked; nothing is verified yet.
 * @throws ASSERTION_INVALID when it is not a compact JWS that we can verify
 */
export function parseCompactJws(jws: Buffer): CompactJws {
  const [head, body, tail, ...more] = jws.toString('latin1').trimEnd().split('.');
  if (head === undefined || body === undefined || tail === undefined || more.length > 0) {
    refuse('JWS does not have three parts');
  }
  const headerBytes = parseBase64Url(head);
  const payload = parseBase64Url(body);
  const signature = parseBase64Url(tail);
  if (headerBytes === undefined || payload === undefined) refuse('JWS is not unpadded base64url');
  if (signature?.length !== SIGNATURE_BYTES) refuse(`JWS signature is not ${SIGNATURE_BYTES} bytes`);
  const header = parseStrictObject(headerBytes, 'JWS header', 'ASSERTION_INVALID');
  if (!ALGORITHMS.includes(header['alg'])) refuse('JWS alg must be EdDSA');
  // RFC 7515 §4.1.11: an extension that is marked critical and not understood makes the JWS invalid; we know none.
  if (Object.hasOwn(header, 'crit')) refuse('JWS has critical extensions');
  return { header, payload, signature, signingInput: Buffer.from(`${head}.${body}`) };
}

/**
 * Verifies against each of `keys`.
 * @throws ASSERTION_INVALID when it is malformed or no key verifies; SIGNER_NOT_PINNED when its `kid` is the
 *   fingerprint of a key that is not among them
 */
export function verifyCompactJws(jws: Buffer, keys: readonly KeyObject[]): VerifiedJws {
  const { header, payload, signature, signingInput } = parseCompactJws(jws);
  const key = keys.find((candidate) => verifyEd25519(signingInput, candidate, signature));
  if (key !== undefined) return { header, payload, key };
  const kid = header['kid'];
  if (
    typeof kid === 'string' &&
    FINGERPRINT.test(kid) &&
    !keys.some((known) => isFingerprintOf(kid, known))
  ) {
    throw new GatewayError('SIGNER_NOT_PINNED', `JWS is signed by ${kid}, which is not pinned`, {
      facts: { kid },
    });
  }
  refuse('JWS signature does not verify with a pinned key');
}

function isFingerprintOf(kid: string, key: KeyObject): boolean {
  return kid.toLowerCase() === keyFingerprint(key).toLowerCase();
}

function refuse(message: string): never {
  throw new GatewayError('ASSERTION_INVALID', message);
}
