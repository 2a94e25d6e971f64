/**
 * Manifests and signatures that were tampered with, lifted from another envelope, or made to mean different things to
 * different readers: refused before a byte is decrypted.
 */
import { describe, expect, it } from 'vitest';
import type { EnvelopeSource } from '../../src/jmix/envelope-folder.js';
import { signCompactJws } from '../../src/jmix/manifest-jws.js';
import { openEnvelope } from '../../src/jmix/open.js';
import { ed25519PublicKey } from '../../src/jmix/raw-keys.js';
import {
  codeOf,
  ENVELOPE_ID,
  openRequest,
  SIGNER,
  STRANGER,
  sealInMemory,
} from '../unit/jmix/support/sealing.js';
import { memoryStaging, sealedSource } from '../unit/jmix/support/staging.js';
import { type ManifestJson, signedSource, unsignedManifest } from './support/hostile-envelopes.js';

const ONE = await sealInMemory();
const OTHER = await sealInMemory();
const UNSIGNED = { kind: 'allow-unsigned' } as const;

/** Opens it, and sees to it that a refusal has staged nothing. */
async function refusal(
  source: EnvelopeSource,
  more: Parameters<typeof openRequest>[1] = {},
): Promise<unknown> {
  const staging = memoryStaging();
  const code = await codeOf(openEnvelope(openRequest(source, { stage: staging.stage, ...more })));
  if (code !== undefined) expect([...staging.files.keys()]).toEqual([]);
  return code;
}

/** `ONE` with another manifest, and neither JWS nor a word of it. */
function withManifest(
  change: (manifest: ManifestJson & { sender: { assertion?: unknown } }) => void,
): EnvelopeSource {
  const document = JSON.parse(ONE.sealed.manifest.toString());
  delete document.security.jws;
  change(document);
  const { jws: _, ...source } = ONE.source;
  return { ...source, manifest: Buffer.from(JSON.stringify(document)) };
}

const blockOf = (manifest: Buffer) => JSON.parse(manifest.toString()).security.encryption;
const assertionOf = (manifest: Buffer) => JSON.parse(manifest.toString()).sender.assertion;

describe('what is swapped between two good envelopes of one sender is ASSERTION_INVALID', () => {
  it.each<[string, () => EnvelopeSource]>([
    ['manifest', () => ({ ...ONE.source, manifest: OTHER.sealed.manifest })],
    ['JWS', () => ({ ...ONE.source, jws: OTHER.sealed.jws })],
    [
      'assertion',
      () => withManifest((it) => Object.assign(it.sender, { assertion: assertionOf(OTHER.sealed.manifest) })),
    ],
    [
      'encryption block',
      () => withManifest((it) => Object.assign(it.security, { encryption: blockOf(OTHER.sealed.manifest) })),
    ],
    [
      'encryption block and payload',
      () =>
        sealedSource(
          withManifest((it) => Object.assign(it.security, { encryption: blockOf(OTHER.sealed.manifest) })),
          OTHER.payload,
        ),
    ],
    [
      'payload hash',
      () => withManifest((it) => Object.assign(it.security, { payload_hash: OTHER.sealed.payloadHash })),
    ],
    ['timestamp', () => withManifest((it) => Object.assign(it, { timestamp: '2027-01-01T00:00:00Z' }))],
    ['id', () => withManifest((it) => Object.assign(it, { id: '11111111-2222-4333-8444-555555555555' }))],
    ['sender', () => withManifest((it) => Object.assign(it.sender, { id: 'org:other' }))],
    [
      'receiver',
      () => withManifest((it) => Object.assign(it, { receiver: [{ id: 'org:other', name: 'x' }] })),
    ],
  ])('its %s', async (_, make) => {
    expect(await refusal(make())).toBe('ASSERTION_INVALID');
  });
});

describe('a signature', () => {
  const manifest = ONE.sealed.manifest;

  it('by a key that is not pinned is SIGNER_NOT_PINNED, though it is good', async () => {
    const stranger = await sealInMemory({ signingKey: STRANGER.privateKey });
    expect(await refusal(stranger.source)).toBe('SIGNER_NOT_PINNED');
  });

  it.each([
    ['alg none', 'eyJhbGciOiJub25lIn0'],
    ['alg HS256', Buffer.from('{"alg":"HS256"}').toString('base64url')],
    ['a critical extension', Buffer.from('{"alg":"EdDSA","crit":["b64"],"b64":false}').toString('base64url')],
    ['two algs', Buffer.from('{"alg":"EdDSA","alg":"none"}').toString('base64url')],
  ])('whose header has %s is ASSERTION_INVALID', async (_, header) => {
    const [, body, tail] = ONE.sealed.jws.toString().split('.');
    expect(await refusal({ ...ONE.source, jws: Buffer.from(`${header}.${body}.${tail}`) })).toBe(
      'ASSERTION_INVALID',
    );
  });

  it.each<[string, (jws: string) => string]>([
    ['with padding', (jws) => `${jws}==`],
    ['in the other alphabet', (jws) => jws.replaceAll('-', '+').replaceAll('_', '/')],
    ['with a blank in it', (jws) => jws.replace('.', '. ')],
    ['with bits to spare', (jws) => jws.slice(0, -1) + (jws.endsWith('A') ? 'B' : 'h')],
    ['of four parts', (jws) => `${jws}.`],
    ['of nothing', () => ''],
    ['cut short', (jws) => jws.slice(0, -4)],
  ])('%s is ASSERTION_INVALID', async (_, change) => {
    const jws = change(ONE.sealed.jws.toString());
    if (jws !== ONE.sealed.jws.toString())
      expect(await refusal({ ...ONE.source, jws: Buffer.from(jws) })).toBe('ASSERTION_INVALID');
  });

  it.each([
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000000',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  ])('under a pinned key of low order (%s) is ASSERTION_INVALID, though it fits everything', async (raw) => {
    const key = ed25519PublicKey(Buffer.from(raw, 'hex'));
    const header = Buffer.from('{"alg":"EdDSA"}').toString('base64url');
    const codes = new Set<unknown>();
    for (const point of ['01', raw.slice(0, 2)]) {
      const signature = Buffer.concat([Buffer.from(point.padEnd(64, '0'), 'hex'), Buffer.alloc(32)]);
      const unsigned = Buffer.from(JSON.stringify(unsignedManifest()));
      const jws = Buffer.from(
        `${header}.${unsigned.toString('base64url')}.${signature.toString('base64url')}`,
      );
      const source = { ...signedSource(unsigned, ONE.payload), jws };
      codes.add(await refusal(source, { trust: { kind: 'pinned', keys: [key] } }));
    }
    expect([...codes]).toEqual(['ASSERTION_INVALID']);
  });

  it('over a manifest of another name for its file is ASSERTION_INVALID', async () => {
    const document = { ...unsignedManifest() };
    document.security = { ...document.security, jws: { jws_file: '../../other.jws' } };
    expect(await refusal(signedSource(Buffer.from(JSON.stringify(document)), ONE.payload))).toBe(
      'ASSERTION_INVALID',
    );
  });

  it('of good bytes that are not the manifest is ASSERTION_INVALID', async () => {
    const jws = signCompactJws(Buffer.from('{"id":"x"}'), SIGNER.privateKey);
    expect(await refusal({ ...ONE.source, manifest, jws })).toBe('ASSERTION_INVALID');
  });
});

describe('an encryption block is ENCRYPTION_PARAMETERS_INVALID', () => {
  const block = blockOf(ONE.sealed.manifest) as Record<string, string>;
  const open = (change: Record<string, unknown>) =>
    refusal(
      withManifest((it) => {
        it.security.encryption = { ...block, ...change } as ManifestJson;
        delete it.sender.assertion;
      }),
      { trust: UNSIGNED },
    );
  const bytes = (count: number, byte = 0xfb) => Buffer.alloc(count, byte).toString('base64');

  it.each([
    ['ephemeral_public_key', [0, 1, 31, 33, 64]],
    ['iv', [0, 1, 8, 11, 13, 16]],
    ['auth_tag', [0, 1, 4, 8, 12, 15, 17, 32]],
  ] as const)('with %s of a wrong length', async (member, lengths) => {
    for (const length of lengths)
      expect(await open({ [member]: bytes(length) })).toBe('ENCRYPTION_PARAMETERS_INVALID');
  });

  it.each<[string, (text: string) => unknown]>([
    ['junk in it', (text) => `${text.slice(0, 4)}!${text.slice(4)}`],
    ['a blank in it', (text) => `${text.slice(0, 4)} ${text.slice(4)}`],
    ['a line end', (text) => `${text}\n`],
    ['the url-safe alphabet', (text) => text.replaceAll('+', '-').replaceAll('/', '_')],
    ['no padding', (text) => text.replaceAll('=', '')],
    ['too much padding', (text) => `${text}=`],
    [
      'bits to spare',
      (text) => text.replace(/([A-Za-z0-9+/])(=+)$/, (_all, last: string, pad: string) => next(last) + pad),
    ],
    ['a NUL behind it', (text) => `${text}\0`],
    ['no text', () => 7],
    ['null', () => null],
    ['a list', (text) => [text]],
  ])('with base64 that has %s', async (title, change) => {
    // All of them need padding, or the characters in which the alphabets differ, to be changed in this way.
    for (const [member, length] of [
      ['ephemeral_public_key', 32],
      ['auth_tag', 16],
      ['iv', 12],
    ] as const) {
      const text = bytes(length);
      if (change(text) === text) expect([title, member]).toContainEqual('iv');
      else expect(await open({ [member]: change(text) })).toBe('ENCRYPTION_PARAMETERS_INVALID');
    }
  });

  it.each([
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000000',
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  ])('with the low-order point %s, and its twin with the highest bit set', async (raw) => {
    const point = Buffer.from(raw, 'hex');
    for (const high of [0, 0x80]) {
      point[31] = (point[31] ?? 0) | high;
      expect(await open({ ephemeral_public_key: point.toString('base64') })).toBe(
        'ENCRYPTION_PARAMETERS_INVALID',
      );
    }
  });

  it.each(['AES-128-GCM', 'aes-256-gcm', 'none', '', null, 7, ['AES-256-GCM']])(
    'with the algorithm %j',
    async (algorithm) => {
      expect(await open({ algorithm })).toBe('ENCRYPTION_PARAMETERS_INVALID');
    },
  );

  it('that is missing, though the payload is sealed', async () => {
    const source = withManifest((it) => {
      Reflect.deleteProperty(it.security, 'encryption');
      delete it.sender.assertion;
    });
    expect(await refusal(source, { trust: UNSIGNED })).toBe('ENCRYPTION_PARAMETERS_INVALID');
  });
});

describe('a manifest is MANIFEST_INVALID', () => {
  const text = JSON.stringify(unsignedManifest());
  const depth = (count: number) => `${'['.repeat(count)}${']'.repeat(count)}`;
  const plus = (member: string) => text.replace('{', `{${member},`);

  it.each<[string, string | Buffer]>([
    ['with a member twice', plus(`"id":"${ENVELOPE_ID}"`)],
    ['with a member twice, once escaped', plus(`"i\\u0064":"${ENVELOPE_ID}"`)],
    [
      'with a member twice, deep inside',
      text.replace('"classification"', '"payload_hash":"x","classification"'),
    ],
    ['with __proto__', plus('"__proto__":{"id":"x"}')],
    ['with an escaped __proto__', plus('"\\u005f_proto__":{}')],
    ['with half a surrogate pair', plus('"x":"\\ud800"')],
    ['with a byte order mark', `\ufeff${text}`],
    ['in UTF-16', Buffer.from(text, 'utf16le')],
    ['that is not UTF-8', Buffer.concat([Buffer.from(text), Buffer.from([0xff])])],
    ['with a NUL behind it', `${text}\0`],
    ['with another document behind it', `${text}{}`],
    ['with a comment', `${text}//`],
    ['with a comma too much', text.replace(/}$/, ',}')],
    ['with a line break in a string', plus('"x":"\n"')],
    ['nested 65 deep', plus(`"extensions":{"x":${depth(64)}}`)],
    ['nested half a million deep', plus(`"x":${depth(500_000)}`)],
    ['with a number beyond every double', plus('"extensions":{"x":1e400}')],
    ['with an integer beyond 2^53', plus('"extensions":{"x":9007199254740993}')],
    ['with a number of a thousand digits', plus(`"extensions":{"x":${'9'.repeat(1000)}}`)],
    ['with NaN', plus('"x":NaN')],
    ['of a megabyte of blanks', text + ' '.repeat(1024 * 1024)],
    ['that is null', 'null'],
    ['that is a list', '[]'],
    ['that is empty', ''],
    ['whose id climbs', text.replace(ENVELOPE_ID, '../../../etc/passwd')],
    ['whose id is a number', text.replace(`"${ENVELOPE_ID}"`, '7')],
  ])('%s', async (_, manifest) => {
    expect(await refusal(signedSource(Buffer.from(manifest), ONE.payload))).toBe('MANIFEST_INVALID');
  });

  it.each(['constructor', 'toString', 'hasOwnProperty', 'prototype', ''])(
    'or taken as the unknown member that it is, for a member called "%s"',
    async (member) => {
      const manifest = Buffer.from(plus(`"${member}":{"id":"x"}`));
      expect([undefined, 'MANIFEST_INVALID', 'PAYLOAD_DECRYPT_FAILED']).toContain(
        await refusal(signedSource(manifest, ONE.payload)),
      );
    },
  );
});

/** The next letter of the base64 alphabet: another one with the same leading bits. */
function next(letter: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  return alphabet.charAt(alphabet.indexOf(letter) + 1);
}
