import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { expect, it } from 'vitest';
import { signCompactJws } from '../../../src/jmix/manifest-jws.js';
import { keyFingerprint, rawPublicKey } from '../../../src/jmix/raw-keys.js';
import {
  type Attestation,
  attestsSigner,
  readAttestation,
  signAttestation,
} from '../../../src/trust/attestation.js';
import { codeOf } from '../jmix/support/sealing.js';

const NOW_MS = Date.parse('2026-03-01T12:00:00Z');
const DAY_MS = 24 * 3_600_000;
const directory = generateKeyPairSync('ed25519');
const stranger = generateKeyPairSync('ed25519');
const site = generateKeyPairSync('ed25519');

const statement: Omit<Attestation, 'signedBy'> = {
  provider: 'region-hub',
  issuedAtMs: NOW_MS,
  expiresAtMs: NOW_MS + DAY_MS,
  site: {
    id: 'site-b',
    name: 'Hospital B',
    contact: 'pacs@b.example.org',
    url: 'https://bridge.b.example.org:8443',
    signing_keys: [rawPublicKey(site.publicKey).toString('base64')],
    certificate_fingerprints: ['ab'.repeat(32)],
  },
};

const read = (jws: Buffer, more: { keys?: readonly KeyObject[]; siteId?: string; nowMs?: number } = {}) =>
  readAttestation(jws, { keys: [directory.publicKey], siteId: 'site-b', nowMs: NOW_MS, ...more });
const refusal = (jws: Buffer, more = {}) => codeOf((async () => read(jws, more))());

it('a stranger’s attestation counts for nothing, however good it looks', async () => {
  expect(await refusal(signAttestation(statement, stranger.privateKey))).toBe('DIRECTORY_INVALID');
  expect(await refusal(signAttestation(statement, directory.privateKey), { keys: [] })).toBe(
    'DIRECTORY_INVALID',
  );
});

it('what is said of one site is not taken for another', async () => {
  const jws = signAttestation(statement, directory.privateKey);
  expect(await refusal(jws, { siteId: 'site-c' })).toBe('DIRECTORY_INVALID');
});

it('an attestation ends with its time', async () => {
  const jws = signAttestation(statement, directory.privateKey);
  expect(read(jws, { nowMs: NOW_MS + DAY_MS - 1 }).site.id).toBe('site-b');
  expect(await refusal(jws, { nowMs: NOW_MS + DAY_MS })).toBe('DIRECTORY_INVALID');
});

it('another thing that the directory signed is no attestation', async () => {
  const receipt = signCompactJws(Buffer.from('{"version":1}'), directory.privateKey, {
    alg: 'EdDSA',
    typ: 'drawbridge-receipt+jws',
  });
  expect(await refusal(receipt)).toBe('DIRECTORY_INVALID');
});

it('every changed byte is seen', async () => {
  const jws = signAttestation(statement, directory.privateKey);
  for (const at of [5, jws.indexOf('.') + 20, jws.length - 3]) {
    const changed = Buffer.from(jws);
    changed.writeUInt8(changed.readUInt8(at) === 0x41 ? 0x42 : 0x41, at);
    expect(await refusal(changed)).toBe('DIRECTORY_INVALID');
  }
});

it('a whole one is read back, with the key that signed it', () => {
  const attestation = read(signAttestation(statement, directory.privateKey), {
    keys: [stranger.publicKey, directory.publicKey],
  });
  expect(attestation).toEqual({ ...statement, signedBy: keyFingerprint(directory.publicKey) });
  expect(attestsSigner(attestation, keyFingerprint(site.publicKey))).toBe(true);
  expect(attestsSigner(attestation, keyFingerprint(stranger.publicKey))).toBe(false);
});
