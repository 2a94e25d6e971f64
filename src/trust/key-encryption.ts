/**
 * A private key under a passphrase: PKCS #8 `EncryptedPrivateKeyInfo` (RFC 5958 §3) in PEM (RFC 7468 §11), by PBES2
 * (RFC 8018 §6.2) with scrypt (RFC 7914 §7) and AES-256-CBC. Any OpenSSL opens it without this bridge:
 * `openssl pkey -in encryption.key`. The DER is written here, because what Node's own export writes is PBKDF2 with 2048
 * rounds, which is no hindrance to whoever guesses. Read is every PBES2 that OpenSSL knows, whoever made it.
 *
 * Neither CBC nor the container is authenticated: that the right key came out, whoever reads it compares with its kid.
 */
import { createCipheriv, createPrivateKey, type KeyObject, randomBytes, scrypt } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { Settings } from '../config/settings.js';
import { GatewayError } from '../errors/gateway-error.js';

/**
 * 16 MiB and about a quarter of a second: OWASP's recommendation for the most memory that OpenSSL allows itself when it
 * reads such a file (32 MiB, EVP_PBE_scrypt(3)).
 */
const COST = { N: 16_384, r: 8, p: 5 } as const;
const SALT_BYTES = 16;
const IV_BYTES = 16;
const KEY_BYTES = 32;
/** OpenSSL's PEM reader takes no longer one. */
const MAX_PASSPHRASE_BYTES = 1024;

const LABEL = 'ENCRYPTED PRIVATE KEY';
const OID = {
  pbes2: '2a864886f70d01050d',
  scrypt: '2b06010401da47040b',
  aes256Cbc: '60864801650304012a',
} as const;
const TAG = { integer: 0x02, octets: 0x04, oid: 0x06, sequence: 0x30 } as const;

const deriveKey = promisify<Buffer, Buffer, number, typeof COST, Buffer>(scrypt);

/** Whether this is the text of a key under a passphrase. */
export function isEncryptedKey(text: string): boolean {
  return text.includes(`-----BEGIN ${LABEL}-----`);
}

/** @returns PEM */
export async function encryptPrivateKey(key: KeyObject, passphrase: Buffer): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-cbc', await deriveKey(passphrase, salt, KEY_BYTES, COST), iv);
  const encrypted = [cipher.update(key.export({ format: 'der', type: 'pkcs8' })), cipher.final()];

  const derivation = sequence(
    der(TAG.octets, salt),
    ...[COST.N, COST.r, COST.p, KEY_BYTES].map((each) => der(TAG.integer, unsigned(each))),
  );
  const scheme = sequence(
    sequence(oid(OID.scrypt), derivation),
    sequence(oid(OID.aes256Cbc), der(TAG.octets, iv)),
  );
  const info = sequence(sequence(oid(OID.pbes2), scheme), der(TAG.octets, ...encrypted));
  const lines = info.toString('base64').replace(/.{1,64}/g, '$&\n');
  return `-----BEGIN ${LABEL}-----\n${lines}-----END ${LABEL}-----\n`;
}

/**
 * @param what the file's name, for the message
 * @throws KEY_LOCKED without a passphrase, and when it is not the right one
 */
export function decryptPrivateKey(pem: string, passphrase: Buffer | undefined, what: string): KeyObject {
  if (passphrase === undefined) {
    throw new GatewayError(
      'KEY_LOCKED',
      `${what} is encrypted, and there is no passphrase: expected keys.passphraseFile, or --passphrase-file`,
    );
  }
  try {
    return createPrivateKey({ key: pem, format: 'pem', passphrase });
  } catch {
    // The cause is dropped: whether padding or structure was wrong tells a guesser more than us.
    throw new GatewayError(
      'KEY_LOCKED',
      `the passphrase does not open ${what}: expected the one it was encrypted with, in keys.passphraseFile or --passphrase-file`,
    );
  }
}

/** Gives the passphrase of our keys; undefined where none is set. @throws KEY_LOCKED, KEY_UNREADABLE */
export type Passphrase = () => Promise<Buffer | undefined>;

/**
 * The passphrase that `keys.passphraseFile` names. It is read anew each time, so that it can be changed while the bridge
 * runs; once it was read, the file may go, as secret stores have it that lend a file for the start alone. A group may read
 * it, since such stores often give it to one; it throws KEY_UNREADABLE when everybody can.
 */
export function passphraseFrom({ passphraseFile }: Settings['keys']): Passphrase {
  let last: Buffer | undefined;
  return async () => {
    if (passphraseFile === undefined) return undefined;
    await assertNotPublic(passphraseFile);
    try {
      last = await readPassphrase(passphraseFile, 'keys.passphraseFile');
    } catch (error) {
      if (last === undefined) throw error;
    }
    return last;
  };
}

async function assertNotPublic(path: string): Promise<void> {
  const mode = (await stat(path).catch(() => undefined))?.mode ?? 0;
  if ((mode & 0o007) === 0) return;
  throw new GatewayError(
    'KEY_UNREADABLE',
    `keys.passphraseFile must not be readable by everybody: ${path} has mode ${(mode & 0o777).toString(8)}, expected 600 or 640`,
  );
}

/**
 * A passphrase, without the line's end.
 * @param setting that names the file, for the message
 * @throws KEY_LOCKED when it cannot be read, is empty, or has more than 1024 bytes
 */
export async function readPassphrase(path: string, setting: string): Promise<Buffer> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw new GatewayError('KEY_LOCKED', `${setting} cannot be read: ${path}`, { cause });
  }
  const passphrase = Buffer.from(bytes.toString('latin1').replace(/\r?\n$/, ''), 'latin1');
  if (passphrase.length > 0 && passphrase.length <= MAX_PASSPHRASE_BYTES) return passphrase;
  throw new GatewayError(
    'KEY_LOCKED',
    `${setting} must hold 1 to ${MAX_PASSPHRASE_BYTES} bytes, has ${passphrase.length}: ${path}`,
  );
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(TAG.sequence, ...parts);
}

function oid(hex: string): Buffer {
  return der(TAG.oid, Buffer.from(hex, 'hex'));
}

/** One element of DER (X.690 §8.1.3), of at most 65,535 bytes. */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(lengthOctets(tag, body.length)), body]);
}

function lengthOctets(tag: number, length: number): readonly number[] {
  if (length < 0x80) return [tag, length];
  return length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
}

/** Big-endian without leading zeros, but one where the first bit would make it negative. */
function unsigned(value: number): Buffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  return (bytes[0] ?? 0) < 0x80 ? bytes : Buffer.concat([Buffer.from([0]), bytes]);
}
