/**
 * Key files: base64 of the raw 32 bytes and a newline. Private ones have mode 0600 and are refused when others can
 * read them. Private keys leave this file as KeyObjects only.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { GatewayError } from '../errors/gateway-error.js';
import {
  ed25519PrivateKey,
  ed25519PublicKey,
  RAW_KEY_BYTES,
  x25519PrivateKey,
  x25519PublicKey,
} from '../jmix/raw-keys.js';

/** What a key is for: `encryption` is X25519, `signing` is Ed25519. */
export type KeyPurpose = 'encryption' | 'signing';

const RAW_KEY_PATTERN = /^[A-Za-z0-9+/]{43}=$/;

export function generatePrivateKey(purpose: KeyPurpose): KeyObject {
  return (purpose === 'encryption' ? generateKeyPairSync('x25519') : generateKeyPairSync('ed25519'))
    .privateKey;
}

/** What a key file holds. */
export function keyText(raw: Buffer): string {
  return `${raw.toString('base64')}\n`;
}

/**
 * @param exposed told when group or others can read the file; without it, such a file is refused
 * @throws KEY_UNREADABLE when it is missing or malformed, or readable by group or others
 */
export async function readPrivateKey(
  path: string,
  purpose: KeyPurpose,
  exposed?: (path: string) => void,
): Promise<KeyObject> {
  const mode = await stat(path).then(
    (found) => found.mode,
    (cause) => {
      throw new GatewayError('KEY_UNREADABLE', `the key file cannot be read: ${path}`, { cause });
    },
  );
  if ((mode & 0o077) !== 0) {
    if (exposed === undefined) throw exposedKey(path, mode);
    exposed(path);
  }
  const raw = await readRawKey(path);
  return purpose === 'encryption' ? x25519PrivateKey(raw) : ed25519PrivateKey(raw);
}

function exposedKey(path: string, mode: number): GatewayError {
  return new GatewayError(
    'KEY_UNREADABLE',
    `a private key must be readable by its owner alone: ${path} has mode ${(mode & 0o777).toString(8)}, expected 600`,
  );
}

/** @throws KEY_UNREADABLE */
export async function readPublicKey(path: string, purpose: KeyPurpose): Promise<KeyObject> {
  return toPublicKey(await readRawKey(path), purpose);
}

/** A public key from its base64 text, as it stands in a config. @throws KEY_UNREADABLE */
export function parsePublicKey(text: string, purpose: KeyPurpose): KeyObject {
  if (!RAW_KEY_PATTERN.test(text)) {
    throw new GatewayError('KEY_UNREADABLE', 'a public key must be 44 characters of base64 (32 bytes)');
  }
  return toPublicKey(Buffer.from(text, 'base64'), purpose);
}

function toPublicKey(raw: Buffer, purpose: KeyPurpose): KeyObject {
  return purpose === 'encryption' ? x25519PublicKey(raw) : ed25519PublicKey(raw);
}

/** Base64 as we write it, or the 32 bytes themselves, as other software has them. */
async function readRawKey(path: string): Promise<Buffer> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw new GatewayError('KEY_UNREADABLE', `the key file cannot be read: ${path}`, { cause });
  }
  if (bytes.length === RAW_KEY_BYTES) return bytes;
  const text = bytes.toString('latin1').trim();
  if (!RAW_KEY_PATTERN.test(text)) {
    throw new GatewayError('KEY_UNREADABLE', `expected 44 characters of base64 (32 bytes) in ${path}`);
  }
  return Buffer.from(text, 'base64');
}
