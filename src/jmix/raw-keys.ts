/**
 * Raw 32-byte keys and Node's KeyObjects (X25519 RFC 7748, Ed25519 RFC 8032), both ways, and fingerprints. Node takes
 * such keys only inside DER, whose wrapping for these four is a constant prefix (RFC 8410 §4 and §7). Reads no file.
 */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { GatewayError } from '../errors/gateway-error.js';
import { sha256Hex } from './digest.js';

export const RAW_KEY_BYTES = 32;

const PUBLIC_PREFIX = {
  x25519: Buffer.from('302a300506032b656e032100', 'hex'),
  ed25519: Buffer.from('302a300506032b6570032100', 'hex'),
} as const;
const PRIVATE_PREFIX = {
  x25519: Buffer.from('302e020100300506032b656e04220420', 'hex'),
  ed25519: Buffer.from('302e020100300506032b657004220420', 'hex'),
} as const;

type Curve = keyof typeof PUBLIC_PREFIX;

/** @throws KEY_UNREADABLE when `raw` is not 32 bytes */
export function x25519PublicKey(raw: Buffer): KeyObject {
  return publicKey('x25519', raw);
}

/** @throws KEY_UNREADABLE when `raw` is not 32 bytes */
export function x25519PrivateKey(raw: Buffer): KeyObject {
  return privateKey('x25519', raw);
}

/** @throws KEY_UNREADABLE when `raw` is not 32 bytes */
export function ed25519PublicKey(raw: Buffer): KeyObject {
  return publicKey('ed25519', raw);
}

/**
 * @param seed the 32-byte seed of RFC 8032 §5.1.5, without the public half that libsodium appends
 * @throws KEY_UNREADABLE when `seed` is not 32 bytes
 */
export function ed25519PrivateKey(seed: Buffer): KeyObject {
  return privateKey('ed25519', seed);
}

/** The 32 bytes of a public key; of a private key, those of its public half. */
export function rawPublicKey(key: KeyObject): Buffer {
  const half = key.type === 'private' ? createPublicKey(key) : key;
  return half.export({ format: 'der', type: 'spki' }).subarray(-RAW_KEY_BYTES);
}

/** The 32 bytes (Ed25519: the seed) of a private key. */
export function rawPrivateKey(key: KeyObject): Buffer {
  return key.export({ format: 'der', type: 'pkcs8' }).subarray(-RAW_KEY_BYTES);
}

/** `SHA256:<lower hex of SHA-256 over the raw 32 bytes>`, as JMIX writes it in `signing_key.fingerprint`. */
export function keyFingerprint(publicKey: KeyObject): string {
  return `SHA256:${sha256Hex(rawPublicKey(publicKey))}`;
}

function publicKey(curve: Curve, raw: Buffer): KeyObject {
  assertLength(raw, `${curve} public key`);
  return createPublicKey({
    key: Buffer.concat([PUBLIC_PREFIX[curve], raw]),
    format: 'der',
    type: 'spki',
  });
}

function privateKey(curve: Curve, raw: Buffer): KeyObject {
  assertLength(raw, `${curve} private key`);
  return createPrivateKey({
    key: Buffer.concat([PRIVATE_PREFIX[curve], raw]),
    format: 'der',
    type: 'pkcs8',
  });
}

function assertLength(raw: Buffer, what: string): void {
  if (raw.length === RAW_KEY_BYTES) return;
  throw new GatewayError('KEY_UNREADABLE', `${what} is ${raw.length} bytes, must be ${RAW_KEY_BYTES} bytes`);
}
