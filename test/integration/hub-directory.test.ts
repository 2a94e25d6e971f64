/** A hub as directory: what it attests of its sites, and to whom. */
import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { rawPublicKey } from '../../src/jmix/raw-keys.js';
import { createDirectoryClient, type DirectoryClient } from '../../src/transport/https/directory.js';
import { readAttestation } from '../../src/trust/attestation.js';
import { codeOf } from '../unit/jmix/support/sealing.js';
import { fingerprintOf, type HubUnderTest, makeHub, type SiteId } from './hub-under-test.js';

const { signal } = new AbortController();
const encryptionKey = rawPublicKey(generateKeyPairSync('x25519').publicKey).toString('base64');
const signingKey = rawPublicKey(generateKeyPairSync('ed25519').publicKey).toString('base64');

let hub: HubUnderTest;
const clients: DirectoryClient[] = [];

const client = (site: SiteId, fingerprint = fingerprintOf(hub.keys.tls.certificate)) => {
  const made = createDirectoryClient(
    `https://127.0.0.1:${hub.port()}`,
    { certificateFingerprints: [fingerprint] },
    hub.identity(site),
  );
  clients.push(made);
  return made;
};

beforeAll(async () => {
  hub = await makeHub({
    peers: { 'site-b': { encryptionKey, signingKeys: [signingKey], url: 'https://b.example.org:8443' } },
    settings: { hub: { directory: true } },
  });
});
afterAll(async () => {
  for (const each of clients) each.close();
  await hub.close();
});

it('a directory whose certificate is not the pinned one is not asked', async () => {
  expect(await codeOf(client('site-a', 'ab'.repeat(32)).lookUp('site-b', signal))).toBe('PEER_UNTRUSTED');
});

it('a directory of which nothing is known is not asked, whoever vouches for its certificate', async () => {
  const asking = createDirectoryClient(
    `https://127.0.0.1:${hub.port()}`,
    { certificateFingerprints: [] },
    hub.identity('site-a'),
  );
  clients.push(asking);
  await expect(asking.lookUp('site-b', signal)).rejects.toMatchObject({
    code: 'PEER_UNTRUSTED',
    message: expect.stringContaining('neither a fingerprint nor a CA'),
  });
});

it('a stranger learns nothing of the sites', async () => {
  expect(await codeOf(client('stranger').lookUp('site-b', signal))).toBe('PEER_REFUSED');
});

it('a site that is not in the config, or no name at all, is not there', async () => {
  for (const name of ['site-x', '../inbox', '__proto__', '%2e%2e', 'x'.repeat(5_000)]) {
    expect(await client('site-a').lookUp(name, signal)).toBeUndefined();
  }
});

it('a hub that is no directory knows nobody', async () => {
  const plain = await makeHub();
  try {
    const asking = createDirectoryClient(
      `https://127.0.0.1:${plain.port()}`,
      { certificateFingerprints: [fingerprintOf(plain.keys.tls.certificate)] },
      plain.identity('site-a'),
    );
    expect(await asking.lookUp('site-b', signal)).toBeUndefined();
    asking.close();
  } finally {
    await plain.close();
  }
});

it('a member reads what the config of the hub says of another, signed by the hub', async () => {
  const jws = await client('site-a').lookUp('site-b', signal);
  const { site, provider } = readAttestation(jws ?? Buffer.alloc(0), {
    keys: [hub.keys.signing.publicKey],
    siteId: 'site-b',
    nowMs: hub.time.ms,
  });
  expect(provider).toBe('hub');
  expect(site).toMatchObject({
    id: 'site-b',
    url: 'https://b.example.org:8443',
    encryption_key: encryptionKey,
    signing_keys: [signingKey],
    certificate_fingerprints: [fingerprintOf(hub.identity('site-b').certificate)],
  });
});

it('an attestation is made anew before it grows old', async () => {
  const before = await client('site-a').lookUp('site-b', signal);
  expect(await client('site-a').lookUp('site-b', signal)).toEqual(before);
  hub.time.ms += 2 * 24 * 3_600_000;
  expect(await client('site-a').lookUp('site-b', signal)).not.toEqual(before);
});
