/** `drawbridge verify --directory-key`: what a directory attests of the signer is shown, and stands in for no signature. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { rawPublicKey } from '../../src/jmix/raw-keys.js';
import { signAttestation } from '../../src/trust/attestation.js';
import { drawbridgeJson } from '../support/cli.js';
import { SIGNER, STRANGER, sealInMemory } from '../unit/jmix/support/sealing.js';

const DAY_MS = 86_400_000;
const NOW_MS = Date.now();
const SITE = { id: 'site-a', name: 'Hospital A', contact: 'pacs@a.example.org' };
const directory = generateKeyPairSync('ed25519');

let root: string;
let signer: string;
let directoryKey: string;

const text = (key: KeyObject) => rawPublicKey(key).toString('base64');

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'drawbridge-attested-'));
  signer = join(root, 'signer.pub');
  directoryKey = join(root, 'directory.pub');
  await writeFile(signer, text(SIGNER.publicKey));
  await writeFile(directoryKey, text(directory.publicKey));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** An envelope whose assertion carries what `by` attests of the key `of`. */
async function envelope(more: { of?: KeyObject; by?: KeyObject; id?: string; issuedAtMs?: number } = {}) {
  const { of = SIGNER.publicKey, by = directory.privateKey, id = SITE.id, issuedAtMs = NOW_MS } = more;
  const site = {
    id,
    name: 'Hospital A',
    contact: 'x',
    signing_keys: [text(of)],
    certificate_fingerprints: [],
  };
  const jws = signAttestation(
    { provider: 'town', issuedAtMs, expiresAtMs: issuedAtMs + DAY_MS, site },
    by,
  ).toString('latin1');
  const { sealed, payload } = await sealInMemory({
    createdAtMs: NOW_MS,
    sender: SITE,
    attestation: { provider: 'town', jws, issuedAtMs, key: directory.publicKey },
  });
  const folder = join(await mkdtemp(join(root, 'envelope-')), 'envelope.JMIX');
  await mkdir(folder);
  await writeFile(join(folder, 'manifest.json'), sealed.manifest);
  await writeFile(join(folder, 'manifest.jws'), sealed.jws);
  await writeFile(join(folder, 'payload.encrypted'), payload);
  await writeFile(join(folder, 'audit.json'), sealed.audit);
  return folder;
}

const verify = (folder: string, ...more: string[]) =>
  drawbridgeJson('verify', folder, '--signer', signer, ...more);
const results = async (folder: string, ...more: string[]) =>
  (await verify(folder, ...more))['results'] as Record<string, { result: string; code?: string }>;

it.each([
  ['by another key than the directory’s', { by: STRANGER.privateKey }],
  ['of another key than the one that signed', { of: STRANGER.publicKey }],
  ['of another site', { id: 'site-x' }],
  ['that had ended when the envelope was made', { issuedAtMs: NOW_MS - 2 * DAY_MS }],
])('an attestation %s is refused', async (_what, more) => {
  const { attestation, signature } = await results(await envelope(more), '--directory-key', directoryKey);
  expect(attestation).toMatchObject({ result: 'failed', code: 'DIRECTORY_INVALID' });
  expect(signature?.result).toBe('ok');
});

it('without a directory’s key the attestation is nothing but carried', async () => {
  const folder = await envelope({ by: STRANGER.privateKey });
  expect((await verify(folder))['ok']).toBe(true);
  expect((await results(folder))['attestation']).toEqual({ result: 'not_checked' });
});

it('a directory’s word does not make a signature good that is not', async () => {
  const stranger = join(root, 'stranger.pub');
  await writeFile(stranger, text(STRANGER.publicKey));
  const folder = await envelope();
  const report = await drawbridgeJson(
    'verify',
    folder,
    '--signer',
    stranger,
    '--directory-key',
    directoryKey,
  );
  expect(report).toMatchObject({ ok: false, code: 'SIGNER_NOT_PINNED' });
});

it('a good one names who attests the signer', async () => {
  const report = await verify(await envelope(), '--directory-key', directoryKey);
  expect(report).toMatchObject({ ok: true, attestation: { provider: 'town' } });
  expect(report['results']).toMatchObject({ attestation: { result: 'ok' } });
});
