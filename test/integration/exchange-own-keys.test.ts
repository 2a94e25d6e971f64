/** Two sites while one changes its keys by the command: what is on its way is opened, or refused in words. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { KEY_DISK } from '../../src/compose/key-disk.js';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import { jwkThumbprint } from '../../src/jmix/jwk-thumbprint.js';
import { type ChangeContext, retireKey, revokeKeys, rotateKeys } from '../../src/trust/key-change.js';
import { passphraseFrom } from '../../src/trust/key-encryption.js';
import { changeKeys, KEY_PURPOSES, type KeyChange, type LoadedKeys } from '../../src/trust/key-store.js';
import { makeSites, type TestSite, type TestSites } from '../support/site-parts.js';

let sites: TestSites;
let a: TestSite;
let b: TestSite;

beforeEach(async () => {
  sites = await makeSites(['site-a', 'site-b']);
  a = sites.site('site-a');
  b = sites.site('site-b');
});
afterEach(() => sites.close());

/** As the command does it, in a process of its own. */
function change(
  { context }: TestSite,
  plan: (loaded: LoadedKeys, change: ChangeContext) => KeyChange | undefined,
): Promise<unknown> {
  const { settings, layout } = context;
  const nowMs = Date.now();
  const folder = { path: layout.keys, passphrase: passphraseFrom(settings.keys) };
  const overlapMs = settings.keys.overlapDays * 86_400_000;
  return changeKeys(folder, KEY_DISK, nowMs, (loaded) =>
    plan(loaded, { siteId: settings.site.id, nowMs, overlapMs }),
  );
}

const rotate = (site: TestSite) => change(site, (loaded, how) => rotateKeys(loaded, KEY_PURPOSES, how));
const kidOfEncryption = ({ context }: TestSite) => jwkThumbprint(context.keys.encryption.publicKey);
const receptionOf = (id: EnvelopeId) => b.context.receptions.read(id);
const deliveryOf = (id: EnvelopeId) => a.context.deliveries.read(id);

it('an envelope that is sealed to a revoked key is refused by that word', async () => {
  const kid = kidOfEncryption(b);
  const id = await a.send('site-b');
  await change(b, (loaded, how) => revokeKeys(loaded, [kid], how));
  await b.poll();
  expect(await receptionOf(id)).toMatchObject({ quarantined: { code: 'KEY_REVOKED' } });
  await a.poll();
  expect(await deliveryOf(id)).toMatchObject({ receipt: 'refused' });
});

it('an envelope that is sealed to a retired key cannot be opened any more', async () => {
  const kid = kidOfEncryption(b);
  const id = await a.send('site-b');
  await rotate(b);
  await change(b, (loaded, how) => retireKey(loaded, kid, how));
  await b.poll();
  expect(await receptionOf(id)).toMatchObject({ quarantined: { code: 'PAYLOAD_DECRYPT_FAILED' } });
});

it('a study that was sealed before a rotation arrives after it, and its receipt brings the next key', async () => {
  const id = await a.send('site-b');
  await rotate(b);
  await b.poll();
  expect(await receptionOf(id)).toMatchObject({ progress: 'confirmed' });
  await a.poll();
  expect(await deliveryOf(id)).toMatchObject({ receipt: 'verified' });
  const { encryptionKey } = a.context.peers.get('site-b') ?? {};
  expect(encryptionKey === undefined ? undefined : jwkThumbprint(encryptionKey)).toBe(kidOfEncryption(b));
});

it('after two rotations that the partner missed, an envelope brings word of both', async () => {
  await rotate(a);
  await rotate(a);
  const id = await a.send('site-b');
  await b.poll();
  expect(await receptionOf(id)).toMatchObject({ progress: 'confirmed' });
  const signers = b.context.peers.get('site-a')?.signingKeys ?? [];
  expect(signers.map(jwkThumbprint)).toContain(jwkThumbprint(a.context.keys.signing.publicKey));
});

it('after the signing key was revoked, what the new one signs is refused until the partner has paired again', async () => {
  const kid = jwkThumbprint(a.context.keys.signing.publicKey);
  await change(a, (loaded, how) => revokeKeys(loaded, [kid], how));
  const id = await a.send('site-b');
  await b.poll();
  expect(await receptionOf(id)).toMatchObject({ quarantined: { code: 'SIGNER_NOT_PINNED' } });
  expect(b.logged).toContainEqual(expect.objectContaining({ event: 'peer.key_revoked', kid }));
});
