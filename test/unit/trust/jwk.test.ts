/** JWKs, key sets and announcements, against the RFCs' examples and another implementation (jose). */
import { generateKeyPairSync } from 'node:crypto';
import {
  calculateJwkThumbprint,
  compactVerify,
  createLocalJWKSet,
  importJWK,
  type JSONWebKeySet,
} from 'jose';
import { expect, it } from 'vitest';
import { jwkThumbprint } from '../../../src/jmix/jwk-thumbprint.js';
import { ed25519PublicKey, rawPublicKey } from '../../../src/jmix/raw-keys.js';
import { type AnnouncedKeys, readAnnouncement, signAnnouncement } from '../../../src/trust/announcement.js';
import { formatJwk, parseJwk } from '../../../src/trust/jwk.js';
import { formatJwks, parseJwks } from '../../../src/trust/jwks.js';

const signing = generateKeyPairSync('ed25519');
const encryption = generateKeyPairSync('x25519');
/** RFC 8037 Appendix A.2 and A.3. */
const RFC_JWK = { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' };
const RFC_THUMBPRINT = 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k';

const set = (announcements: readonly string[] = []) => formatJwks({ encryption, signing, announcements });
const parse = (document: unknown) => parseJwks(Buffer.from(JSON.stringify(document)));

const announced: AnnouncedKeys = {
  site: 'site-a',
  issuedAtMs: Date.parse('2026-11-21T12:00:00Z'),
  signing: [signing.publicKey],
  encryption: [encryption.publicKey],
  revoked: [RFC_THUMBPRINT],
};
const before = generateKeyPairSync('ed25519');

it.each([
  ['no key', {}],
  ['a key of another type', { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' }],
  ['another curve of the same type', { ...RFC_JWK, crv: 'Ed448' }],
  ['a private key', { ...RFC_JWK, d: 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A' }],
  ['a key for another use', { ...RFC_JWK, use: 'enc' }],
  ['31 bytes', { ...RFC_JWK, x: Buffer.alloc(31, 7).toString('base64url') }],
  ['another base64 text of the same bytes', { ...RFC_JWK, x: `${RFC_JWK.x}=` }],
  ['a point of low order', { kty: 'OKP', crv: 'X25519', x: Buffer.alloc(32).toString('base64url') }],
  ['no object', 'key'],
])('%s is not taken for a public key', (_what, jwk) => {
  expect(parseJwk(jwk)).toBeUndefined();
});

it('a thumbprint is that of RFC 8037 A.3, whatever kid the key came with', () => {
  const key = parseJwk({ ...RFC_JWK, kid: 'mine' });
  expect(key).toMatchObject({ kid: RFC_THUMBPRINT, purpose: 'signing' });
  expect(jwkThumbprint(ed25519PublicKey(Buffer.from(RFC_JWK.x, 'base64url')))).toBe(RFC_THUMBPRINT);
});

it('another implementation computes the same thumbprints, of private keys too', async () => {
  for (const [pair, purpose] of [
    [signing, 'signing'],
    [encryption, 'encryption'],
  ] as const) {
    const jwk = formatJwk(pair.privateKey, purpose);
    expect(Object.keys(jwk)).not.toContain('d');
    expect(await calculateJwkThumbprint({ kty: 'OKP', crv: String(jwk['crv']), x: String(jwk['x']) })).toBe(
      jwk['kid'],
    );
    expect(jwkThumbprint(pair.privateKey)).toBe(jwk['kid']);
  }
});

it.each([
  ['no JSON', '{'],
  ['no object', '[]'],
  ['no list of keys', '{"keys":{}}'],
  ['a member twice', '{"keys":[],"keys":[]}'],
  ['more keys than any site has', JSON.stringify({ keys: Array(101).fill(RFC_JWK) })],
])('a key set that is %s is refused', (_what, text) => {
  expect(() => parseJwks(Buffer.from(text))).toThrow(expect.objectContaining({ code: 'DIRECTORY_INVALID' }));
});

it('keys in a set that are not ours to use are left out, and each counts once', () => {
  const ec = { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' };
  expect(
    parse({ keys: [ec, RFC_JWK, { ...RFC_JWK, kid: 'again' }], drawbridge_announcements: 7 }),
  ).toMatchObject({
    keys: [{ kid: RFC_THUMBPRINT }],
    announcements: [],
  });
});

it('what we publish is read back, and by another implementation', async () => {
  const read = parseJwks(Buffer.from(set(['a.b.c'])));
  expect(read.announcements).toEqual(['a.b.c']);
  expect(read.keys.map(({ purpose, key }) => [purpose, rawPublicKey(key)])).toEqual([
    ['encryption', rawPublicKey(encryption.publicKey)],
    ['signing', rawPublicKey(signing.publicKey)],
  ]);
  const document = JSON.parse(set()) as JSONWebKeySet;
  for (const jwk of document.keys) await importJWK(jwk);
  const jws = signAnnouncement(announced, signing.privateKey);
  const { payload } = await compactVerify(jws, createLocalJWKSet(document));
  expect(JSON.parse(Buffer.from(payload).toString())).toMatchObject({ version: 1, site: 'site-a' });
});

it('an announcement by a key that is not known is refused, and one that was changed', () => {
  const jws = signAnnouncement(announced, before.privateKey);
  const [header, , signature] = jws.split('.');
  const other = signAnnouncement({ ...announced, site: 'site-x' }, before.privateKey).split('.')[1];
  for (const [text, key] of [
    [jws, signing.publicKey],
    [`${header}.${other}.${signature}`, before.publicKey],
    ['', before.publicKey],
    [`${jws}${'A'.repeat(10_000)}`, before.publicKey],
  ] as const) {
    expect(() => readAnnouncement(text, [key])).toThrow(
      expect.objectContaining({ code: 'ASSERTION_INVALID' }),
    );
  }
});

it('an announcement says who signed it, and what', () => {
  const jws = signAnnouncement(announced, before.privateKey);
  expect(readAnnouncement(jws, [signing.publicKey, before.publicKey])).toMatchObject({
    site: 'site-a',
    issuedAtMs: announced.issuedAtMs,
    signing: [{ kid: jwkThumbprint(signing.publicKey) }],
    encryption: [{ kid: jwkThumbprint(encryption.publicKey) }],
    revoked: [RFC_THUMBPRINT],
    signedBy: jwkThumbprint(before.publicKey),
  });
});
