/** One envelope for several receivers: who opens it, by what, and what is refused. */
import { createDecipheriv, diffieHellman, generateKeyPairSync, hkdfSync, type KeyObject } from 'node:crypto';
import { generalDecrypt } from 'jose';
import { describe, expect, it } from 'vitest';
import type { EnvelopeSource } from '../../../src/jmix/envelope-folder.js';
import { readManifest } from '../../../src/jmix/manifest.js';
import { openEnvelope } from '../../../src/jmix/open.js';
import { x25519PublicKey } from '../../../src/jmix/raw-keys.js';
import { type Recipient, sealEnvelope } from '../../../src/jmix/seal.js';
import { isTarHeader } from '../../../src/jmix/tar-header.js';
import { codeOf, openRequest, RECEIVER, SIGNER, sealInMemory, sealRequest } from './support/sealing.js';
import { type AnyDocument, asserted, resigned } from './support/signing.js';
import { memoryStaging } from './support/staging.js';

const KEYS = [0, 1, 2].map(() => generateKeyPairSync('x25519'));
const [FIRST, SECOND, THIRD] = KEYS as [(typeof KEYS)[0], (typeof KEYS)[0], (typeof KEYS)[0]];
const STRANGER_KEY = generateKeyPairSync('x25519').privateKey;
const recipientsOf = (keys: readonly KeyObject[]): readonly Recipient[] =>
  keys.map((key, index) => ({ entity: { ...RECEIVER, id: `org:${index}` }, key }));
const RECIPIENTS = recipientsOf(KEYS.map(({ publicKey }) => publicKey));

const { source, payload } = await sealInMemory({ recipients: RECIPIENTS });
const other = await sealInMemory({ recipients: RECIPIENTS });

/** The manifest as JSON; tests break it as they like. */
const document = () => JSON.parse(source.manifest.toString());
const contentKeyIn = (manifest: AnyDocument) => manifest.extensions.drawbridge.content_key;

const openWith = (key: KeyObject, from: EnvelopeSource = source) =>
  openEnvelope(openRequest(from, { recipientKeys: [key] }));

/** The envelope after `change` of its JWE, signed again by its sender. */
function changed(change: (jwe: AnyDocument, manifest: AnyDocument) => void) {
  const manifest = document();
  change(contentKeyIn(manifest), manifest);
  return resigned(source, manifest);
}

/** The same base64url with another last bit. */
function flipped(text: string): string {
  const bytes = Buffer.from(text, 'base64url');
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  return bytes.toString('base64url');
}

describe('an envelope is not sealed', () => {
  it('to nobody', async () => {
    expect(await codeOf(sealEnvelope(sealRequest({ recipients: [] })))).toBe('MANIFEST_INVALID');
  });

  it.each(['js', 'rs', 'php'] as const)('to two, when their software is jmix-%s', async (dialect) => {
    const request = sealRequest({ dialect, recipients: RECIPIENTS.slice(1) });
    expect(await codeOf(sealEnvelope(request))).toBe('MANIFEST_INVALID');
  });

  it('to sixty-five', async () => {
    const recipients = recipientsOf(Array.from({ length: 65 }, () => FIRST.publicKey));
    expect(await codeOf(sealEnvelope(sealRequest({ recipients })))).toBe('MANIFEST_INVALID');
  });

  it.each([0, 1])('when the key of receiver %i is a point of low order, or to sign with', async (at) => {
    for (const key of [x25519PublicKey(Buffer.alloc(32)), SIGNER.publicKey]) {
      const keys = KEYS.map(({ publicKey }, index) => (index === at ? key : publicKey));
      const request = sealRequest({ recipients: recipientsOf(keys) });
      expect(await codeOf(sealEnvelope(request))).toBe('ENCRYPTION_PARAMETERS_INVALID');
      expect(request.payloadSink.destroyed).toBe(true);
    }
  });
});

describe('a content key for several receivers is ENCRYPTION_PARAMETERS_INVALID', () => {
  const low = Buffer.alloc(32).toString('base64url');
  it.each<[string, Parameters<typeof changed>[0]]>([
    [
      'when it is no object',
      (_jwe, { extensions }) => Object.assign(extensions.drawbridge, { content_key: 'x' }),
    ],
    ['without recipients', (jwe) => delete jwe.recipients],
    ['with a recipient too few', (jwe) => jwe.recipients.pop()],
    ['with a recipient too many', (jwe) => jwe.recipients.push(jwe.recipients[0])],
    ['with a member that a JWE may have and ours has not', (jwe) => Object.assign(jwe, { unprotected: {} })],
    ['with another algorithm', (jwe) => Object.assign(jwe, { protected: header({ alg: 'dir' }) })],
    ['that is compressed', (jwe) => Object.assign(jwe, { protected: header({ zip: 'DEF' }) })],
    ['with critical extensions', (jwe) => Object.assign(jwe, { protected: header({ crit: ['x'] }) })],
    ['in padded base64', (jwe) => Object.assign(jwe, { tag: `${jwe.tag}==` })],
    ['with a short tag', (jwe) => Object.assign(jwe, { tag: 'AAAA' })],
    ['with a short IV', (jwe) => Object.assign(jwe, { iv: 'AAAA' })],
    ['with a short wrapped key', (jwe) => Object.assign(jwe.recipients[1], { encrypted_key: 'AAAA' })],
    ['with a long ciphertext', (jwe) => Object.assign(jwe, { ciphertext: 'A'.repeat(4096) })],
    ['without a kid', (jwe) => delete jwe.recipients[1].header.kid],
    ['with an ephemeral key of low order', (jwe) => Object.assign(jwe.recipients[1].header.epk, { x: low })],
    ['with a key of another curve', (jwe) => Object.assign(jwe.recipients[1].header.epk, { crv: 'X448' })],
    ['with the aad of another envelope', (jwe) => Object.assign(jwe, contentKeyIn(otherDocument()))],
    ['without an encryption block', (_jwe, { security }) => delete security.encryption],
    [
      'under another tag',
      (_jwe, { security }) => (security.encryption.auth_tag = Buffer.alloc(16).toString('base64')),
    ],
  ])('%s', async (_, change) => {
    for (const { privateKey } of [FIRST, SECOND]) {
      expect(await codeOf(openWith(privateKey, changed(change)))).toBe('ENCRYPTION_PARAMETERS_INVALID');
    }
  });
});

describe('a content key that does not open is PAYLOAD_DECRYPT_FAILED', () => {
  it.each<[string, Parameters<typeof changed>[0]]>([
    ['with another ciphertext', (jwe) => Object.assign(jwe, { ciphertext: flipped(jwe.ciphertext) })],
    ['with another tag', (jwe) => Object.assign(jwe, { tag: flipped(jwe.tag) })],
    [
      'with another wrapped key',
      (jwe) => {
        jwe.recipients[1].encrypted_key = flipped(jwe.recipients[1].encrypted_key);
      },
    ],
    [
      'with the recipients in each other’s place',
      (jwe) => {
        const [, second, third] = jwe.recipients;
        [second.encrypted_key, third.encrypted_key] = [third.encrypted_key, second.encrypted_key];
      },
    ],
  ])('%s', async (_, change) => {
    const staging = memoryStaging();
    const request = openRequest(changed(change), {
      recipientKeys: [SECOND.privateKey],
      stage: staging.stage,
    });
    expect(await codeOf(openEnvelope(request))).toBe('PAYLOAD_DECRYPT_FAILED');
    expect(staging.files.size).toBe(0);
  });

  it('by a stranger’s key, or none', async () => {
    expect(await codeOf(openWith(STRANGER_KEY))).toBe('PAYLOAD_DECRYPT_FAILED');
    const request = openRequest(source, { recipientKeys: [] });
    expect(await codeOf(openEnvelope(request))).toBe('PAYLOAD_DECRYPT_FAILED');
  });

  it('when it names another key than the block gives, for the first receiver too', async () => {
    const thumbprint = /"key_thumbprint":"[^"]*"/;
    const lying = changed((jwe) => {
      const aad = Buffer.from(jwe.aad, 'base64url').toString();
      jwe.aad = Buffer.from(aad.replace(thumbprint, `"key_thumbprint":"${'A'.repeat(43)}"`)).toString(
        'base64url',
      );
    });
    for (const { privateKey } of KEYS) {
      expect(await codeOf(openWith(privateKey, lying))).toBe('PAYLOAD_DECRYPT_FAILED');
    }
  });
});

describe('an envelope for three', () => {
  it.each([0, 1, 2])('is opened by receiver %i, with the same files, checks and dialect', async (at) => {
    const staging = memoryStaging();
    const key = KEYS[at]?.privateKey ?? STRANGER_KEY;
    const opened = await openEnvelope(
      openRequest(source, { recipientKeys: [STRANGER_KEY, key], stage: staging.stage }),
    );
    expect(opened).toMatchObject({
      dialect: 'canon',
      payloadCovered: true,
      manifestCovered: true,
      unknownMembers: [],
      checks: {
        assertion: 'valid',
        jws: 'valid:exact-bytes',
        payloadHash: 'ok:sha256-ciphertext',
        schema: 'ok',
      },
    });
    expect(opened.manifest.receivers.map(({ id }) => id)).toEqual(['org:0', 'org:1', 'org:2']);
    expect(staging.files.get('dicom/1.2.3.dcm')?.toString()).toBe('not really DICOM');
  });

  it('is opened by the second through the assertion alone, which binds every receiver', async () => {
    const manifest = document();
    const paths: readonly string[] = manifest.sender.assertion.signed_fields;
    expect(paths.filter((path) => path.startsWith('receiver'))).toEqual(
      [0, 1, 2].map((at) => `receiver.${at}.id`),
    );
    const { checks } = await openWith(SECOND.privateKey, asserted(source, manifest, paths));
    expect(checks).toMatchObject({ jws: 'absent', assertion: 'valid' });
    const without = paths.filter((path) => path !== 'receiver.2.id');
    expect(await codeOf(openWith(SECOND.privateKey, asserted(source, manifest, without)))).toBe(
      'SIGNER_NOT_PINNED',
    );
  });

  it('is opened by the first with nothing but the specification’s own formulas', () => {
    const block = document().security.encryption;
    const secret = diffieHellman({
      privateKey: FIRST.privateKey,
      publicKey: x25519PublicKey(Buffer.from(block.ephemeral_public_key, 'base64')),
    });
    const key = Buffer.from(hkdfSync('sha256', secret, '', 'JMIX-payload-encryption', 32));
    const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(block.iv, 'base64'), {
      authTagLength: 16,
    });
    decipher.setAuthTag(Buffer.from(block.auth_tag, 'base64'));
    const tar = Buffer.concat([decipher.update(payload), decipher.final()]);
    expect(isTarHeader(tar.subarray(0, 512))).toBe(true);
  });

  it('gives each the same AES key as a JWE that any JOSE library opens', async () => {
    const jwe = contentKeyIn(document());
    const keys = await Promise.all(
      KEYS.map(async ({ privateKey }) => {
        const { plaintext, additionalAuthenticatedData: aad } = await generalDecrypt(jwe, privateKey);
        const { id, encryption } = JSON.parse(Buffer.from(aad ?? []).toString());
        expect({ id, encryption }).toEqual({ id: document().id, encryption: document().security.encryption });
        return JSON.parse(Buffer.from(plaintext).toString());
      }),
    );
    expect(keys[0]).toMatchObject({ kty: 'oct', alg: 'A256GCM' });
    expect([keys[1], keys[2]]).toEqual([keys[0], keys[0]]);
    expect(jwe.recipients).toHaveLength(3);
  });

  it('keeps the payload of another under its content key shut', async () => {
    const swapped = { ...source, payload: other.source.payload };
    expect(await codeOf(openWith(THIRD.privateKey, swapped))).toBe('PAYLOAD_DECRYPT_FAILED');
  });
});

it('for one receiver there is no content key, and nothing else in the extensions', async () => {
  const { sealed } = await sealInMemory();
  expect(readManifest(sealed.manifest)).toMatchObject({ extensions: {} });
  expect(readManifest(sealed.manifest).contentKey).toBeUndefined();
});

function header(more: object): string {
  const whole = { alg: 'ECDH-ES+A256KW', enc: 'A256GCM', cty: 'jwk+json', ...more };
  return Buffer.from(JSON.stringify(whole)).toString('base64url');
}

function otherDocument() {
  return JSON.parse(other.sealed.manifest.toString());
}
