import { describe, expect, it } from 'vitest';
import {
  ed25519PrivateKey,
  ed25519PublicKey,
  keyFingerprint,
  rawPrivateKey,
  rawPublicKey,
  x25519PrivateKey,
  x25519PublicKey,
} from '../../../src/jmix/raw-keys.js';
import { codeOf } from './support/sealing.js';

describe('raw keys', () => {
  it.each([
    ['x25519PublicKey', x25519PublicKey],
    ['x25519PrivateKey', x25519PrivateKey],
    ['ed25519PublicKey', ed25519PublicKey],
    ['ed25519PrivateKey', ed25519PrivateKey],
  ])('of 31 or 64 bytes are refused by %s', async (_, parse) => {
    for (const sizeBytes of [0, 31, 33, 64]) {
      expect(await codeOf((async () => parse(Buffer.alloc(sizeBytes, 9)))())).toBe('KEY_UNREADABLE');
    }
  });

  it('of RFC 8032 §7.1, test 1, give the public key of the example', () => {
    const seed = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex');
    const key = ed25519PrivateKey(seed);
    expect(rawPublicKey(key).toString('hex')).toBe(
      'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    );
    expect(rawPrivateKey(key)).toEqual(seed);
    expect(keyFingerprint(key)).toBe(keyFingerprint(ed25519PublicKey(rawPublicKey(key))));
    expect(keyFingerprint(key)).toMatch(/^SHA256:[0-9a-f]{64}$/);
  });
});
