import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { rawPrivateKey, rawPublicKey } from '../../../src/jmix/raw-keys.js';
import { parseForeignPrivateKey, parseForeignPublicKey } from '../../../src/trust/foreign-keys.js';
import { codeOf } from '../jmix/support/sealing.js';

const PAIRS = { x25519: generateKeyPairSync('x25519'), ed25519: generateKeyPairSync('ed25519') } as const;

describe.each(['x25519', 'ed25519'] as const)('a key for %s', (curve) => {
  const other = curve === 'x25519' ? PAIRS.ed25519 : PAIRS.x25519;
  const { publicKey, privateKey } = PAIRS[curve];
  const [raw, secret] = [rawPublicKey(publicKey), rawPrivateKey(privateKey)];
  const open = async (bytes: Buffer | string) => parseForeignPublicKey(Buffer.from(bytes), curve, 'key.pub');
  const openSecret = async (bytes: Buffer | string) =>
    parseForeignPrivateKey(Buffer.from(bytes), curve, 'key');

  it.each<[string, Buffer | string]>([
    ['nothing', ''],
    ['words', 'this is no key at all, but it is quite long'],
    ['31 bytes', raw.subarray(1)],
    ['33 bytes', Buffer.concat([raw, Buffer.alloc(1, 0x80)])],
    ['base64 of 31 bytes', raw.subarray(1).toString('base64')],
    ['base64 with junk in it', raw.toString('base64').replace(/^./, '!')],
    ['another curve as PEM', other.publicKey.export({ type: 'spki', format: 'pem' })],
    ['another curve as JWK', JSON.stringify(other.publicKey.export({ format: 'jwk' }))],
    ['a private PEM', privateKey.export({ type: 'pkcs8', format: 'pem' })],
    ['a private JWK', JSON.stringify(privateKey.export({ format: 'jwk' }))],
    ['broken JSON', '{"kty":'],
    [
      'RSA',
      generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'pem' }),
    ],
    ['64 random bytes', randomBytes(64)],
    ['a megabyte', randomBytes(1 << 20)],
  ])('is KEY_UNREADABLE when the file holds %s', async (_, bytes) => {
    expect(await codeOf(open(bytes))).toBe('KEY_UNREADABLE');
    if (!String(_).includes('private')) expect(await codeOf(openSecret(bytes))).not.toBe('FAULT');
  });

  it.each<[string, Buffer | string]>([
    ['raw bytes', raw],
    ['base64', `${raw.toString('base64')}\n`],
    ['base64url without padding', raw.toString('base64url')],
    ['hex', `${raw.toString('hex').toUpperCase()}\n`],
    ['PEM', publicKey.export({ type: 'spki', format: 'pem' })],
    [
      'PEM with a comment and CRLF',
      `a key\r\n${publicKey.export({ type: 'spki', format: 'pem' })}`.replace(/\n/g, '\r\n'),
    ],
    ['DER', publicKey.export({ type: 'spki', format: 'der' })],
    ['JWK', JSON.stringify({ ...publicKey.export({ format: 'jwk' }), kid: 'x', use: 'sig' })],
  ])('is read from %s', async (_, bytes) => {
    expect(rawPublicKey(await open(bytes))).toEqual(raw);
  });

  it.each<[string, Buffer | string]>([
    ['raw bytes', secret],
    ['base64', secret.toString('base64')],
    ['PEM', privateKey.export({ type: 'pkcs8', format: 'pem' })],
    ['DER', privateKey.export({ type: 'pkcs8', format: 'der' })],
    ['JWK', JSON.stringify(privateKey.export({ format: 'jwk' }))],
    [
      'openssl',
      execFileSync('openssl', ['genpkey', '-algorithm', curve], { stdio: ['ignore', 'pipe', 'ignore'] }),
    ],
  ])('is read, private, from %s', async (form, bytes) => {
    const key = await openSecret(bytes);
    if (form !== 'openssl') expect(rawPrivateKey(key)).toEqual(secret);
    expect(key.asymmetricKeyType).toBe(curve);
  });
});

describe('the 64-byte secret key of libsodium', () => {
  const { publicKey, privateKey } = PAIRS.ed25519;
  const sodium = Buffer.concat([rawPrivateKey(privateKey), rawPublicKey(publicKey)]);

  it.each([
    ['raw', sodium],
    ['base64', Buffer.from(sodium.toString('base64'))],
    ['hex', Buffer.from(sodium.toString('hex'))],
  ])('is read, %s', (_, bytes) => {
    expect(rawPrivateKey(parseForeignPrivateKey(bytes, 'ed25519', 'key'))).toEqual(rawPrivateKey(privateKey));
  });

  it('whose halves do not belong together is KEY_UNREADABLE', async () => {
    const wrong = Buffer.concat([rawPrivateKey(privateKey), randomBytes(32)]);
    expect(await codeOf((async () => parseForeignPrivateKey(wrong, 'ed25519', 'key'))())).toBe(
      'KEY_UNREADABLE',
    );
  });
});
