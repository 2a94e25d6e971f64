/**
 * From an X25519 agreement to the AES key of one envelope (JMIX security §3.2; RFC 7748, RFC 5869): IKM is the raw
 * shared secret, the salt is empty, the info is the dialect's. The public keys are not bound into the key; no dialect
 * does. One agreement serves one envelope to one recipient.
 */
import { diffieHellman, generateKeyPairSync, hkdfSync, type KeyObject } from 'node:crypto';
import { GatewayError } from '../errors/gateway-error.js';
import { rawPublicKey, x25519PublicKey } from './raw-keys.js';

export const PAYLOAD_KEY_BYTES = 32;

const NO_SALT = Buffer.alloc(0);

/** A key pair that is only ever used to test points; what is agreed with it is thrown away. */
const PROBE = generateKeyPairSync('x25519');

export interface SealingKey {
  /** Raw X25519, 32 bytes; goes into the manifest. */
  readonly ephemeralPublicKey: Buffer;
  /** AES-256 key, 32 bytes; never leaves memory. */
  readonly key: Buffer;
}

/**
 * A fresh ephemeral key pair, agreed with the recipient's public key.
 * @throws ENCRYPTION_PARAMETERS_INVALID when the recipient key is a point of low order
 */
export function agreeSealingKey(recipientKey: KeyObject, hkdfInfo: string): SealingKey {
  const ephemeral = generateKeyPairSync('x25519');
  const secret = sharedSecret(ephemeral.privateKey, recipientKey);
  return {
    ephemeralPublicKey: rawPublicKey(ephemeral.publicKey),
    key: derivePayloadKey(secret, hkdfInfo),
  };
}

/**
 * @returns the 32-byte shared secret of RFC 7748 §6.1
 * @throws ENCRYPTION_PARAMETERS_INVALID when it would be all zero
 */
export function sharedSecret(privateKey: KeyObject, publicKey: KeyObject): Buffer {
  let secret: Buffer | undefined;
  try {
    secret = diffieHellman({ privateKey, publicKey });
  } catch {
    // OpenSSL refuses an all-zero result; the check below stands for builds that do not.
  }
  if (secret === undefined || secret.every((byte) => byte === 0)) {
    throw new GatewayError('ENCRYPTION_PARAMETERS_INVALID', 'X25519 key is a point of low order');
  }
  return secret;
}

/** HKDF-SHA-256 over the shared secret; the salt is empty. */
export function derivePayloadKey(secret: Buffer, hkdfInfo: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, NO_SALT, hkdfInfo, PAYLOAD_KEY_BYTES));
}

/**
 * Whether the point gives zero whatever it is agreed with. Clamped private keys are multiples of the cofactor, so one
 * probe decides for all of them.
 */
export function isLowOrderPoint(raw: Buffer): boolean {
  try {
    sharedSecret(PROBE.privateKey, x25519PublicKey(raw));
    return false;
  } catch {
    return true;
  }
}
