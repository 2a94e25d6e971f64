/**
 * Key files, as we write them: base64 of the raw 32 bytes and a newline; private ones also as PEM under a passphrase
 * (key-encryption.ts). Those of other software are read too (foreign-keys.ts). Private ones have mode 0600 and are refused when others can read them, encrypted or not: a passphrase can be guessed.
 * Private keys leave this file as KeyObjects only.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { GatewayError } from '../errors/gateway-error.js';
import { ed25519PublicKey, rawPrivateKey, x25519PublicKey } from '../jmix/raw-keys.js';
import { parseForeignPrivateKey, parseForeignPublicKey } from './foreign-keys.js';
import { decryptPrivateKey, encryptPrivateKey, isEncryptedKey } from './key-encryption.js';

/** What a key is for: `encryption` is X25519, `signing` is Ed25519. */
export type KeyPurpose = 'encryption' | 'signing';

const CURVE = { encryption: 'x25519', signing: 'ed25519' } as const;
const RAW_KEY_PATTERN = /^[A-Za-z0-9+/]{43}=$/;

export function generatePrivateKey(purpose: KeyPurpose): KeyObject {
  return (purpose === 'encryption' ? generateKeyPairSync('x25519') : generateKeyPairSync('ed25519'))
    .privateKey;
}

/** What a key file holds. */
export function keyText(raw: Buffer): string {
  return `${raw.toString('base64')}\n`;
}

/** What a private key's file holds: under the passphrase, if there is one. */
export async function privateKeyText(key: KeyObject, passphrase: Buffer | undefined): Promise<string> {
  return passphrase === undefined ? keyText(rawPrivateKey(key)) : encryptPrivateKey(key, passphrase);
}

/**
 * @param exposed told when group or others can read the file; without it, such a file is refused
 * @throws KEY_UNREADABLE when it is missing or malformed, or readable by group or others; KEY_LOCKED when it is
 *   encrypted, and the passphrase is missing or wrong
 */
export async function readPrivateKey(
  path: string,
  purpose: KeyPurpose,
  exposed?: (path: string) => void,
  passphrase?: Buffer,
): Promise<KeyObject> {
  await checkExposure(path, exposed);
  const bytes = await readKeyFile(path);
  const text = bytes.toString('latin1');
  if (!isEncryptedKey(text)) return parseForeignPrivateKey(bytes, CURVE[purpose], path);
  const key = decryptPrivateKey(text, passphrase, path);
  if (key.asymmetricKeyType === CURVE[purpose]) return key;
  throw new GatewayError(
    'KEY_UNREADABLE',
    `expected a key for ${CURVE[purpose]} in ${path}, got one for ${key.asymmetricKeyType ?? 'something else'}`,
  );
}

/**
 * @param exposed as for `readPrivateKey`
 * @throws KEY_UNREADABLE when the file is missing, or readable by group or others
 */
export async function checkExposure(path: string, exposed?: (path: string) => void): Promise<void> {
  const mode = await stat(path).then(
    (found) => found.mode,
    (cause) => {
      throw new GatewayError('KEY_UNREADABLE', `the key file cannot be read: ${path}`, { cause });
    },
  );
  if ((mode & 0o077) === 0) return;
  if (exposed !== undefined) return exposed(path);
  throw new GatewayError(
    'KEY_UNREADABLE',
    `a private key must be readable by its owner alone: ${path} has mode ${(mode & 0o777).toString(8)}, expected 600`,
  );
}

/** @throws KEY_UNREADABLE */
export async function readPublicKey(path: string, purpose: KeyPurpose): Promise<KeyObject> {
  return parseForeignPublicKey(await readKeyFile(path), CURVE[purpose], path);
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

async function readKeyFile(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new GatewayError('KEY_UNREADABLE', `the key file cannot be read: ${path}`, { cause });
  }
}
