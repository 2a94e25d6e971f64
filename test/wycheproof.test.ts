/** Wycheproof's cases through our own functions: what each must give, and what each must refuse. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { verifyEd25519 } from '../src/jmix/ed25519.js';
import { parseEncryptionParameters } from '../src/jmix/encryption-parameters.js';
import { isLowOrderPoint, sharedSecret } from '../src/jmix/key-agreement.js';
import { createEncryptor, decryptPayload } from '../src/jmix/payload-cipher.js';
import { ed25519PublicKey, x25519PrivateKey, x25519PublicKey } from '../src/jmix/raw-keys.js';
import { collected } from './unit/jmix/support/folders.js';
import { codeOf, streamOf } from './unit/jmix/support/sealing.js';

interface Case {
  readonly id: number;
  readonly comment: string;
  readonly flags: readonly string[];
  readonly result: 'valid' | 'invalid' | 'acceptable';
}
type Hex<Member extends string> = Readonly<Record<Member, string>>;

function read<Member extends string>(name: string): readonly (Case & Hex<Member>)[] {
  return JSON.parse(readFileSync(new URL(`./vectors/wycheproof/${name}.json`, import.meta.url), 'utf8'));
}

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const titleOf = ({ id, comment, flags, result }: Case): string => {
  return `${id} (${[...flags, comment].filter((text) => text !== '').join(', ')}): ${result}`;
};

describe('X25519', () => {
  const cases = read<'public' | 'private' | 'shared'>('x25519');

  it('has all its cases', () => {
    expect(cases).toHaveLength(518);
    expect(cases.filter(({ result }) => result === 'invalid')).toEqual([]);
  });

  it.each(cases.map((vector) => [titleOf(vector), vector] as const))('%s', (_, vector) => {
    const agree = () =>
      sharedSecret(x25519PrivateKey(hex(vector.private)), x25519PublicKey(hex(vector.public)));
    const isZero = vector.flags.includes('ZeroSharedSecret');
    expect(isLowOrderPoint(hex(vector.public))).toBe(isZero);
    if (isZero)
      expect(agree).toThrowError(expect.objectContaining({ code: 'ENCRYPTION_PARAMETERS_INVALID' }));
    else expect(agree().toString('hex')).toBe(vector.shared);
  });
});

describe('Ed25519', () => {
  const cases = read<'public' | 'msg' | 'sig'>('ed25519');

  it('has all its cases', () => {
    expect(cases).toHaveLength(151);
    expect(cases.filter(({ result }) => result === 'acceptable')).toEqual([]);
  });

  it.each(cases.map((vector) => [titleOf(vector), vector] as const))('%s', (_, vector) => {
    const key = ed25519PublicKey(hex(vector.public));
    expect(verifyEd25519(hex(vector.msg), key, hex(vector.sig))).toBe(vector.result === 'valid');
  });
});

describe('AES-256-GCM', () => {
  const cases = read<'key' | 'iv' | 'aad' | 'msg' | 'ct' | 'tag'>('aes-gcm');
  const ours = cases.filter(({ iv }) => hex(iv).length === 12);
  const others = cases.filter(({ iv }) => hex(iv).length !== 12);
  const EPHEMERAL = Buffer.alloc(32, 9).toString('base64');
  const parametersOf = ({ iv, tag }: Hex<'iv' | 'tag'>) =>
    parseEncryptionParameters({
      algorithm: 'AES-256-GCM',
      ephemeral_public_key: EPHEMERAL,
      iv: hex(iv).toString('base64'),
      auth_tag: hex(tag).toString('base64'),
    });

  it('has all its cases', () => {
    expect([ours.length, others.length]).toEqual([66, 39]);
  });

  it.each(ours.map((vector) => [titleOf(vector), vector] as const))('%s', async (_, vector) => {
    const { key, msg, ct, aad } = vector;
    const decrypted = collected(decryptPayload(streamOf(hex(ct)), hex(key), parametersOf(vector)));
    // An envelope has no associated data: a tag that covers some is a wrong one.
    if (vector.result === 'invalid' || aad !== '') {
      expect(await codeOf(decrypted)).toBe('PAYLOAD_DECRYPT_FAILED');
      return;
    }
    expect((await decrypted).toString('hex')).toBe(msg);
    const encryptor = createEncryptor(hex(key), hex(vector.iv));
    expect(encryptor.encrypt(hex(msg)).toString('hex')).toBe(ct);
    expect(encryptor.finish().toString('hex')).toBe(vector.tag);
  });

  it.each(
    others.map((vector) => [`${titleOf(vector)}, IV of ${hex(vector.iv).length} bytes`, vector] as const),
  )('%s is refused before it is used', (_, vector) => {
    expect(() => parametersOf(vector)).toThrowError(
      expect.objectContaining({ code: 'ENCRYPTION_PARAMETERS_INVALID' }),
    );
  });

  it.each([0, 1, 4, 8, 12, 15, 17, 32])('a tag of %i bytes is refused before it is used', (length) => {
    const [vector] = ours;
    const tag = hex(vector?.tag.repeat(2) ?? '')
      .subarray(0, length)
      .toString('hex');
    expect(() => parametersOf({ iv: vector?.iv ?? '', tag })).toThrowError(
      expect.objectContaining({ code: 'ENCRYPTION_PARAMETERS_INVALID' }),
    );
  });
});
