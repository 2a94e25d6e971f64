import { describe, expect, it } from 'vitest';
import { MANIFEST_MAX_BYTES, type Manifest, readManifest } from '../../../src/jmix/manifest.js';
import { codeOf, ENVELOPE_ID, sealInMemory } from './support/sealing.js';

const { source } = await sealInMemory();
const GOOD = source.manifest.toString();

const read = async (text: string | Buffer): Promise<Manifest> => readManifest(Buffer.from(text));
/** The good manifest after `change`; JSON.parse gives `any`, so that tests may break it as they like. */
const changed = (change: (document: ReturnType<typeof JSON.parse>) => void): string => {
  const document = JSON.parse(GOOD);
  change(document);
  return JSON.stringify(document);
};

describe('readManifest refuses with MANIFEST_INVALID', () => {
  it.each([
    ['what is not JSON', '{'],
    ['what is not an object', '[]'],
    ['bytes that are not UTF-8', Buffer.from([0x7b, 0xff, 0x7d])],
    ['a byte order mark', `\ufeff${GOOD}`],
    ['a member twice', GOOD.replace('"version"', '"version": "1.0", "version"')],
    ['a member twice, once escaped', GOOD.replace('"version"', '"versio\\u006e": "1.0", "version"')],
    ['a member twice, deep inside', GOOD.replace('"classification"', '"iv":1,"iv":2,"classification"')],
    ['__proto__', GOOD.replace('"version"', '"__proto__": {}, "version"')],
    ['an escaped __proto__', GOOD.replace('"version"', '"__\\u0070roto__": {}, "version"')],
    ['a lone surrogate', GOOD.replace('Site B', '\\ud800')],
    ['nesting without end', `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`],
    ['an id that is no UUID', GOOD.replace(ENVELOPE_ID, '../../etc')],
    ['a payload hash of too few digits', GOOD.replace(/sha256:[0-9a-f]{64}/, 'sha256:00')],
    ['a time that is none', GOOD.replace('2026-11-21T08:15:30Z', 'yesterday')],
    ['more than the limit', `${GOOD}${' '.repeat(MANIFEST_MAX_BYTES)}`],
  ])('%s', async (_, text) => {
    expect(await codeOf(read(text))).toBe('MANIFEST_INVALID');
  });

  it('without repeating what it holds', async () => {
    const text = GOOD.replace('"org:a"', 'Jane Brown');
    await expect(read(text)).rejects.toThrow(/^manifest\.json is not JSON in UTF-8$/);
  });
});

describe('readManifest refuses with ENCRYPTION_PARAMETERS_INVALID', () => {
  const block = (change: Record<string, unknown>): string => {
    return changed((document) => Object.assign(document.security.encryption, change));
  };
  const LOW_ORDER = [
    '00'.repeat(32),
    `01${'00'.repeat(31)}`,
    `ecff${'ff'.repeat(29)}7f`,
    `edff${'ff'.repeat(29)}7f`,
  ];

  it.each([
    ['another algorithm', block({ algorithm: 'AES-128-GCM' })],
    ['a tag of 12 bytes', block({ auth_tag: Buffer.alloc(12).toString('base64') })],
    ['a tag of 1 byte', block({ auth_tag: 'AA==' })],
    ['an IV of 16 bytes', block({ iv: Buffer.alloc(16).toString('base64') })],
    ['a key of 31 bytes', block({ ephemeral_public_key: Buffer.alloc(31).toString('base64') })],
    ['junk in base64', block({ iv: 'AAAAAAAAAAAA AAAA' })],
    ['url-safe base64', block({ iv: '-_-_-_-_-_-_-_-_' })],
    ['base64 without padding', block({ auth_tag: Buffer.alloc(16).toString('base64url') })],
    ['a number for the IV', block({ iv: 5 })],
  ])('%s', async (_, text) => {
    expect(await codeOf(read(text))).toBe('ENCRYPTION_PARAMETERS_INVALID');
  });

  it.each(LOW_ORDER)('the low-order point %s', async (hex) => {
    const text = block({ ephemeral_public_key: Buffer.from(hex, 'hex').toString('base64') });
    expect(await codeOf(read(text))).toBe('ENCRYPTION_PARAMETERS_INVALID');
  });
});

describe('readManifest takes', () => {
  it('what sealEnvelope writes', async () => {
    expect(await read(GOOD)).toMatchObject({
      id: ENVELOPE_ID,
      sender: { id: 'org:a', name: 'Clínica A', contact: 'a@example.org' },
      receivers: [{ id: 'org:b' }],
      classification: 'confidential',
      jwsFile: 'manifest.jws',
      keys: 'specification',
      indent: 2,
      deviations: [],
    });
  });

  it('an id in upper case, as the lower-case id', async () => {
    expect((await read(GOOD.replace(ENVELOPE_ID, ENVELOPE_ID.toUpperCase()))).id).toBe(ENVELOPE_ID);
  });

  it('members that the schema does not know, which it names and keeps', async () => {
    const manifest = await read(
      changed((document) => {
        document.mood = { calm: true };
        document.sender.contact = { system: 'email', value: 'a@example.org', preferred: true };
        document.receiver = [
          { id: 'org:b', nickname: 'B' },
          { id: 'org:c', nickname: 'C' },
        ];
        document.extensions = { ours: 1, consent: { status: 'granted', colour: 'blue' } };
      }),
    );
    expect(manifest.unknownMembers).toEqual([
      'sender.contact.preferred',
      'receiver[].nickname',
      'mood',
      'extensions.consent.colour',
    ]);
    expect(manifest.document['mood']).toEqual({ calm: true });
    expect(manifest.extensions['ours']).toBe(1);
  });

  it('ten thousand unknown members, of which it names fifty, none in full length', async () => {
    const many = Object.fromEntries(
      Array.from({ length: 10_000 }, (_, index) => [`${index}${'x'.repeat(80)}`, 0]),
    );
    const { unknownMembers } = await read(changed((document) => Object.assign(document, many)));
    expect(unknownMembers).toHaveLength(50);
    expect(Math.max(...unknownMembers.map((name) => name.length))).toBe(64);
  });

  it('a missing receiver, a skipped hash and a null key reference as deviations it names', async () => {
    const text = changed((document) => {
      document.receiver = [];
      document.security.payload_hash = 'sha256:skipped';
      document.sender.assertion.key_reference = null;
    });
    const manifest = await read(text);
    expect(manifest.receivers).toEqual([]);
    expect(manifest.payloadHash).toBeUndefined();
    expect(manifest.deviations).toEqual(['no receiver', 'payload_hash skipped', 'key_reference null']);
  });
});
