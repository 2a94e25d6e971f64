/**
 * `security.encryption` of the manifest (JMIX security §3.2): what the recipient needs besides the private key. Both
 * directions. Every length is checked before any of it is used: a tag cut to one byte would be forged once in 256.
 */
import { GatewayError } from '../errors/gateway-error.js';
import { parseBase64 } from './base64.js';
import { isLowOrderPoint } from './key-agreement.js';
import { isJsonObject, type JsonObject, type JsonValue } from './strict-json.js';

export const ENCRYPTION_ALGORITHM = 'AES-256-GCM';
export const EPHEMERAL_KEY_BYTES = 32;
export const IV_BYTES = 12;
export const AUTH_TAG_BYTES = 16;

export interface EncryptionParameters {
  /** Raw X25519 public key, 32 bytes, not of low order. */
  readonly ephemeralPublicKey: Buffer;
  /** 12 bytes. */
  readonly iv: Buffer;
  /** 16 bytes. */
  readonly authTag: Buffer;
}

/** @throws ENCRYPTION_PARAMETERS_INVALID when algorithm, base64, a length or the ephemeral key is not as it must be */
export function parseEncryptionParameters(block: JsonValue): EncryptionParameters {
  if (!isJsonObject(block)) refuse('security.encryption is not an object');
  if (block['algorithm'] !== ENCRYPTION_ALGORITHM) refuse(`algorithm must be ${ENCRYPTION_ALGORITHM}`);
  const ephemeralPublicKey = parseField(block, 'ephemeral_public_key', EPHEMERAL_KEY_BYTES);
  const iv = parseField(block, 'iv', IV_BYTES);
  const authTag = parseField(block, 'auth_tag', AUTH_TAG_BYTES);
  // RFC 7748 §6.1: with such a point the shared secret is zero for every recipient, so anyone could seal for anyone.
  if (isLowOrderPoint(ephemeralPublicKey)) refuse('ephemeral_public_key is a point of low order');
  return { ephemeralPublicKey, iv, authTag };
}

/** The block as it stands in manifest.json. */
export function formatEncryptionParameters(parameters: EncryptionParameters): JsonObject {
  return {
    algorithm: ENCRYPTION_ALGORITHM,
    ephemeral_public_key: parameters.ephemeralPublicKey.toString('base64'),
    iv: parameters.iv.toString('base64'),
    auth_tag: parameters.authTag.toString('base64'),
  };
}

function parseField(block: JsonObject, member: string, sizeBytes: number): Buffer {
  const text = block[member];
  const bytes = typeof text === 'string' ? parseBase64(text) : undefined;
  if (bytes === undefined) refuse(`${member} is not padded standard base64`);
  if (bytes.length !== sizeBytes) refuse(`${member} is ${bytes.length} bytes, must be ${sizeBytes} bytes`);
  return bytes;
}

function refuse(message: string): never {
  throw new GatewayError('ENCRYPTION_PARAMETERS_INVALID', message);
}
