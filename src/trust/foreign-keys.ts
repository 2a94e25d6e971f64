/**
 * Keys as other software writes them, for X25519 and Ed25519: PEM and DER (PKCS#8 and SPKI, RFC 8410), JWK (RFC 8037),
 * raw 32 bytes, base64 in either alphabet, hex, and the 64-byte secret key of libsodium (seed, then public half), as
 * jmix-php has it. Which form it is, its bytes tell. Reads no file, and lets nothing of a key out in an error.
 */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { GatewayError } from '../errors/gateway-error.js';
import {
  ed25519PrivateKey,
  ed25519PublicKey,
  RAW_KEY_BYTES,
  rawPublicKey,
  x25519PrivateKey,
  x25519PublicKey,
} from '../jmix/raw-keys.js';
import { isJsonObject } from '../jmix/strict-json.js';

export type Curve = 'x25519' | 'ed25519';
type Half = 'public' | 'private';

const SODIUM_SECRET_BYTES = 2 * RAW_KEY_BYTES;
/** The longest honest form is a PEM with comments around it. */
const KEY_FILE_MAX_BYTES = 16 * 1024;

/** @param what the file's name, for the message @throws KEY_UNREADABLE */
export function parseForeignPublicKey(bytes: Buffer, curve: Curve, what: string): KeyObject {
  return parse(bytes, curve, 'public', what);
}

/** @param what the file's name, for the message @throws KEY_UNREADABLE */
export function parseForeignPrivateKey(bytes: Buffer, curve: Curve, what: string): KeyObject {
  return parse(bytes, curve, 'private', what);
}

function parse(bytes: Buffer, curve: Curve, half: Half, what: string): KeyObject {
  const key = structured(bytes, half) ?? plain(bytes, curve, half);
  if (key === undefined || key.type !== half) {
    throw new GatewayError(
      'KEY_UNREADABLE',
      `expected a ${half} key in ${what}: 32 bytes raw, in base64 or hex, PEM, DER or JWK`,
    );
  }
  if (key.asymmetricKeyType !== curve) {
    throw new GatewayError(
      'KEY_UNREADABLE',
      `expected a key for ${curve} in ${what}, got one for ${key.asymmetricKeyType ?? 'something else'}`,
    );
  }
  return key;
}

/** The forms that say themselves what they hold. */
function structured(bytes: Buffer, half: Half): KeyObject | undefined {
  if (bytes.length === 0 || bytes.length > KEY_FILE_MAX_BYTES) return undefined;
  const text = bytes.toString('latin1').trim();
  if (text.includes('-----BEGIN ')) return fromPem(text, half);
  if (text.startsWith('{')) return fromJwk(text, half);
  return bytes[0] === 0x30 && bytes.length > RAW_KEY_BYTES ? fromDer(bytes, half) : undefined;
}

function fromPem(text: string, half: Half): KeyObject | undefined {
  // Node would make a public key of a private one, and hide that the wrong file was given.
  const isPrivate = text.includes('PRIVATE KEY-----');
  if (isPrivate !== (half === 'private')) return undefined;
  return attempt(() => (isPrivate ? createPrivateKey(text) : createPublicKey(text)));
}

function fromDer(bytes: Buffer, half: Half): KeyObject | undefined {
  return attempt(() =>
    half === 'private'
      ? createPrivateKey({ key: bytes, format: 'der', type: 'pkcs8' })
      : createPublicKey({ key: bytes, format: 'der', type: 'spki' }),
  );
}

function fromJwk(text: string, half: Half): KeyObject | undefined {
  return attempt(() => {
    const jwk: unknown = JSON.parse(text);
    if (!isJsonObject(jwk) || Object.hasOwn(jwk, 'd') !== (half === 'private')) return undefined;
    return half === 'private'
      ? createPrivateKey({ key: jwk, format: 'jwk' })
      : createPublicKey({ key: jwk, format: 'jwk' });
  });
}

/** The forms that are nothing but the key's bytes. */
function plain(bytes: Buffer, curve: Curve, half: Half): KeyObject | undefined {
  const raw =
    [RAW_KEY_BYTES, SODIUM_SECRET_BYTES].includes(bytes.length) && !isText(bytes)
      ? bytes
      : decoded(bytes.toString('latin1').trim());
  if (raw === undefined) return undefined;
  if (raw.length === SODIUM_SECRET_BYTES) return fromSodium(raw, curve, half);
  if (raw.length !== RAW_KEY_BYTES) return undefined;
  if (half === 'public') return curve === 'x25519' ? x25519PublicKey(raw) : ed25519PublicKey(raw);
  return curve === 'x25519' ? x25519PrivateKey(raw) : ed25519PrivateKey(raw);
}

/** Seed and public half must belong together, or it is something else that is 64 bytes long. */
function fromSodium(raw: Buffer, curve: Curve, half: Half): KeyObject | undefined {
  if (curve !== 'ed25519' || half !== 'private') return undefined;
  const key = ed25519PrivateKey(raw.subarray(0, RAW_KEY_BYTES));
  return rawPublicKey(key).equals(raw.subarray(RAW_KEY_BYTES)) ? key : undefined;
}

/** Hex before base64: 64 hex digits are base64 too, of 48 bytes. */
function decoded(text: string): Buffer | undefined {
  if (/^(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{128})$/.test(text)) return Buffer.from(text, 'hex');
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64');
  const canonical = bytes.toString('base64').replace(/=+$/, '');
  return canonical === text.replace(/-/g, '+').replace(/_/g, '/').replace(/=+$/, '') ? bytes : undefined;
}

/** Random bytes are no text; a hex or base64 key is. */
function isText(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0x0a || byte === 0x0d || (byte >= 0x20 && byte < 0x7f));
}

/** The cause is dropped: it may quote the key. */
function attempt(read: () => KeyObject | undefined): KeyObject | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
