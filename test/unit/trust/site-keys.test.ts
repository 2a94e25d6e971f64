/** Our keys in a process that runs while others change them. */
import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import type { GatewayError } from '../../../src/errors/gateway-error.js';
import { unprotectedKeys } from '../../../src/trust/key-protection.js';
import { readSiteKeys } from '../../../src/trust/site-keys.js';
import { makeKeys, NOW, type TestKeys } from './support/own-keys.js';

const made: TestKeys[] = [];
const make = async (passphrase?: string) => {
  const own = await makeKeys(passphrase);
  made.push(own);
  return own;
};
afterEach(async () => {
  for (const { folder, settings } of made.splice(0)) {
    await rm(folder.path, { recursive: true, force: true });
    if (settings.keys.passphraseFile !== undefined) await rm(settings.keys.passphraseFile, { force: true });
  }
});

it('a TLS key that others can read is refused', async () => {
  const own = await make();
  await chmod(join(own.folder.path, 'tls.key'), 0o644);
  await expect(own.read()).rejects.toMatchObject({ code: 'KEY_UNREADABLE' });
});

it('changed keys that cannot be unlocked are told, and those before stay in use', async () => {
  const own = await make('word');
  const { passphraseFile = '' } = own.settings.keys;
  const told: GatewayError[] = [];
  const keys = await readSiteKeys(own.folder.path, own.settings, { unreadable: (error) => told.push(error) });
  const strict = await own.read();
  const before = keys.signing.privateKey;
  await own.rotate(['signing']);
  await writeFile(passphraseFile, 'another');
  await keys.refresh();
  expect(told).toMatchObject([{ code: 'KEY_LOCKED' }]);
  expect(keys.signing.privateKey).toBe(before);
  await expect(strict.refresh()).rejects.toMatchObject({ code: 'KEY_LOCKED' });
});

it('a rotation comes in by a refresh, and nothing changes without one', async () => {
  const own = await make();
  const keys = await own.read();
  const before = keys.signing.privateKey;
  await keys.refresh();
  await own.rotate();
  expect(keys.signing.privateKey).toBe(before);
  await keys.refresh();
  expect(keys.signing.privateKey.equals((await own.read()).signing.privateKey)).toBe(true);
  expect(keys.decryption).toHaveLength(2);
});

it('keys in the clear are known by name, and under a passphrase there are none', async () => {
  const [clear, locked] = [await make(), await make('word')];
  const names = await unprotectedKeys(clear.folder.path, NOW);
  expect(names.map((path) => path.split('/').at(-1))).toEqual(['encryption.key', 'signing.key', 'tls.key']);
  expect(await unprotectedKeys(locked.folder.path, NOW)).toEqual([]);
});
