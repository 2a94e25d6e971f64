import { sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { signAssertion, verifyAssertion } from '../../../src/jmix/assertion.js';
import { signCompactJws, verifyCompactJws } from '../../../src/jmix/manifest-jws.js';
import { keyFingerprint } from '../../../src/jmix/raw-keys.js';
import type { JsonObject } from '../../../src/jmix/strict-json.js';
import { codeOf, SIGNER, STRANGER } from './support/sealing.js';

const PAYLOAD = Buffer.from('{"a":1}');
const verifyJws = async (text: string | Buffer, key = SIGNER.publicKey) =>
  verifyCompactJws(Buffer.from(text), [key]);

/** A JWS with any header, validly signed. */
function jwsWith(header: string): string {
  const input = `${Buffer.from(header).toString('base64url')}.${PAYLOAD.toString('base64url')}`;
  return `${input}.${sign(null, Buffer.from(input), SIGNER.privateKey).toString('base64url')}`;
}

describe('verifyCompactJws refuses with ASSERTION_INVALID', () => {
  const good = signCompactJws(PAYLOAD, SIGNER.privateKey).toString();
  it.each([
    ['alg none', jwsWith('{"alg":"none"}')],
    ['alg HS256', jwsWith('{"alg":"HS256"}')],
    ['no alg', jwsWith('{}')],
    ['two algs', jwsWith('{"alg":"none","alg":"EdDSA"}')],
    ['critical extensions', jwsWith('{"alg":"EdDSA","crit":["b64"],"b64":false}')],
    ['an empty signature', `${good.slice(0, good.lastIndexOf('.'))}.`],
    ['a fourth part', `${good}.AA`],
    ['padded parts', good.replace('.', '=.')],
    ['the JSON form', '{"payload":"","signatures":[]}'],
    ['nothing', ''],
  ])('%s', async (_, jws) => {
    expect(await codeOf(verifyJws(jws))).toBe('ASSERTION_INVALID');
  });

  it('another key, when the header does not name it', async () => {
    expect(await codeOf(verifyJws(good, STRANGER.publicKey))).toBe('ASSERTION_INVALID');
  });
});

describe('verifyCompactJws', () => {
  it('says SIGNER_NOT_PINNED when the kid names a key that is not given', async () => {
    const kid = keyFingerprint(SIGNER.publicKey);
    const jws = signCompactJws(PAYLOAD, SIGNER.privateKey, { alg: 'EdDSA', kid });
    expect(await codeOf(verifyJws(jws, STRANGER.publicKey))).toBe('SIGNER_NOT_PINNED');
    expect((await verifyJws(jws)).header['kid']).toBe(kid);
  });

  it('takes Ed25519 as the name of the algorithm, and a final newline', async () => {
    expect((await verifyJws(`${jwsWith('{"alg":"Ed25519"}')}\n`)).payload).toEqual(PAYLOAD);
  });
});

describe('verifyAssertion', () => {
  const document: JsonObject = {
    id: 'x',
    sender: { id: 'a' },
    receiver: [{ id: 'b' }],
    object: { b: 1, a: 2 },
  };
  const signed = signAssertion(document, ['id', 'sender.id', 'receiver.0.id'], SIGNER.privateKey);
  const verified = async (assertion: JsonObject, over = document) =>
    verifyAssertion(assertion, over, { nowMs: 0 });

  it.each([
    ['a changed value', signed, { ...document, id: 'y' }],
    ['a value that is gone', signed, { ...document, receiver: [] }],
    ['a dropped field', { ...signed, signed_fields: ['id', 'sender.id'] }, document],
    ['no fields at all', { ...signed, signed_fields: [] }, document],
    ['a signature that is no base64', { ...signed, signature: '!' }, document],
    ['a path into the prototype', { ...signed, signed_fields: ['constructor.name'] }, document],
  ])('refuses %s', async (_, assertion, over) => {
    expect(await codeOf(verified(assertion, over as JsonObject))).toBe('ASSERTION_INVALID');
  });

  it('takes the fingerprint in either case, and refuses another', async () => {
    const key = signed['signing_key'] as JsonObject;
    const upper = String(key['fingerprint']).toUpperCase();
    const withFingerprint = (fingerprint: string) => ({ ...signed, signing_key: { ...key, fingerprint } });
    expect((await verified(withFingerprint(upper))).form).toBe('valid');
    const other = keyFingerprint(STRANGER.publicKey);
    expect(await codeOf(verified(withFingerprint(other)))).toBe('ASSERTION_INVALID');
  });

  it('calls an assertion over nothing but nulls non-binding', async () => {
    const input = Buffer.from('{"id":null,"sender.id":null}');
    const nulls = {
      ...signed,
      signed_fields: ['sender.id', 'id'],
      signature: sign(null, input, SIGNER.privateKey).toString('base64'),
    };
    const result = await verified(nulls);
    expect(result.form).toBe('non-binding');
    expect(result.covered.size).toBe(0);
  });

  it('refuses to sign a path that leads nowhere', async () => {
    expect(await codeOf((async () => signAssertion(document, ['nope'], SIGNER.privateKey))())).toBe('FAULT');
  });
});
