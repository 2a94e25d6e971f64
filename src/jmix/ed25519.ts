/**
 * Whether an Ed25519 signature (RFC 8032, pure) is good: the one place where JMIX's signatures are verified. OpenSSL
 * refuses the second form of a signature (S ≥ L, §5.1.7); what it takes and we do not are keys of low order, under
 * which one signature fits many messages, so that it proves nothing about any of them. Whose key it is, and whether to
 * trust it, is not asked here.
 */
import { type KeyObject, verify } from 'node:crypto';
import { rawPublicKey } from './raw-keys.js';

export const SIGNATURE_BYTES = 64;

/**
 * The y coordinates of the eight points of low order, and the two that a field element's second encoding adds, as
 * little-endian hex; the highest bit, which is the sign of x, is left out.
 */
const LOW_ORDER_Y: ReadonlySet<string> = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
]);

/** Whether `signature` is one of `key` over `message`; false for any length but 64 bytes, and for keys of low order. */
export function verifyEd25519(message: Buffer, key: KeyObject, signature: Buffer): boolean {
  if (signature.length !== SIGNATURE_BYTES || key.asymmetricKeyType !== 'ed25519') return false;
  return !isLowOrder(rawPublicKey(key)) && verify(null, message, key, signature);
}

function isLowOrder(raw: Buffer): boolean {
  const y = Buffer.from(raw);
  y[31] = (y[31] ?? 0) & 0x7f;
  return LOW_ORDER_Y.has(y.toString('hex'));
}
