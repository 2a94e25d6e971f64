/** `drawbridge keys`, `keygen` and `init` with a passphrase; and keys that change under a bridge that runs. */
import { execFileSync } from 'node:child_process';
import { chown, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { loadSettings } from '../../src/config/load.js';
import { jwkThumbprint } from '../../src/jmix/jwk-thumbprint.js';
import type { SiteKeys } from '../../src/trust/site-keys.js';
import { readSiteKeys } from '../../src/trust/site-keys.js';
import { drawbridge, drawbridgeJson } from '../support/cli.js';
import { runProcess } from '../support/processes.js';
import { encryptionKey, signingKey } from '../unit/trust/support/peer-statements.js';

const LAUNCHER = fileURLToPath(new URL('../../dist/src/cli/launch.js', import.meta.url));

interface KeyRow {
  readonly kid: string;
  readonly purpose: string;
  readonly state: string;
  readonly fingerprint: string;
  readonly private_key: string | null;
}

let folder: string;
let config: string;
let passphraseFile: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-keys-'));
  config = join(folder, 'drawbridge.yaml');
  passphraseFile = join(folder, 'passphrase');
  await writeFile(passphraseFile, 'correct horse\n', { mode: 0o600 });
  await configure();
  await drawbridge('init', '--config', config);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function configure(more: Readonly<Record<string, unknown>> = {}): Promise<void> {
  const site = { id: 'site-a', name: 'Hospital A', contact: 'pacs@a.example' };
  return writeFile(config, JSON.stringify({ site, ...more }));
}

const at = (name: string) => join(folder, 'data', 'keys', name);
const keys = (...args: string[]) => drawbridge('keys', ...args, '--config', config);
const keysJson = (...args: string[]) => drawbridgeJson('keys', ...args, '--config', config);
const rows = async () => (await keysJson('list'))['keys'] as KeyRow[];
const find = (all: readonly KeyRow[], purpose: string, state: string) => {
  const found = all.find((each) => each.purpose === purpose && each.state === state);
  if (found === undefined) throw new Error(`no ${state} ${purpose} key`);
  return found;
};
const own = (): Promise<SiteKeys> => {
  const settings = loadSettings(config, {});
  return readSiteKeys(at(''), settings);
};

it('the keys of a folder that no rotation has touched are listed, by kid and fingerprint', async () => {
  const { encryption, signing } = await own();
  const all = await rows();
  expect(all).toHaveLength(2);
  expect(find(all, 'encryption', 'present').kid).toBe(jwkThumbprint(encryption.publicKey));
  expect(find(all, 'signing', 'present')).toMatchObject({
    kid: jwkThumbprint(signing.publicKey),
    fingerprint: expect.stringMatching(/^SHA256:[0-9a-f]{64}$/),
    private_key: 'clear',
  });
  expect(await readdir(at(''))).not.toContain('generations');
});

it('rotate makes both keys new, and only one where that is asked for', async () => {
  const before = await rows();
  await keys('rotate');
  const after = await rows();
  expect(find(after, 'encryption', 'honoured').kid).toBe(find(before, 'encryption', 'present').kid);
  expect(find(after, 'signing', 'retired')).toMatchObject({
    kid: find(before, 'signing', 'present').kid,
    private_key: null,
  });
  expect(await keysJson('rotate', '--signing')).toMatchObject({
    exit: 0,
    rotated: ['signing'],
    announcements: 2,
  });
  expect((await keys('rotate', '--encryption')).stdout).toContain('drawbridge init');
});

it('retire wants a yes while envelopes may still come, and takes a fingerprint for a name', async () => {
  await keys('rotate', '--encryption');
  const { fingerprint } = find(await rows(), 'encryption', 'honoured');
  expect(await keysJson('retire', fingerprint)).toMatchObject({ exit: 1, code: 'STATE_INVALID' });
  expect(await keysJson('retire', fingerprint, '--yes')).toMatchObject({ exit: 0 });
  expect(find(await rows(), 'encryption', 'retired').private_key).toBeNull();
  expect(await keysJson('retire', 'nonsense')).toMatchObject({ exit: 1, code: 'REQUEST_INVALID' });
});

it('revoke of the present signing key says who has to be called', async () => {
  const [k, e] = [signingKey(), encryptionKey()];
  const peer = {
    id: 'site-b',
    name: 'Hospital B',
    url: 'https://b.example:8443',
    encryptionKey: e.text,
    signingKeys: [k.text],
    certificateFingerprints: ['ab'.repeat(32)],
  };
  await configure({ peers: [peer] });
  const all = await rows();
  const encryption = find(all, 'encryption', 'present').fingerprint;
  expect((await keys('revoke', encryption)).stdout).not.toContain('site-b');
  const { stdout, code } = await keys('revoke', find(all, 'signing', 'present').fingerprint);
  expect(code).toBe(0);
  expect(stdout).toContain('pair again');
  expect(stdout).toContain('site-b');
  expect((await rows()).filter(({ state }) => state === 'revoked')).toHaveLength(2);
});

it('revoke names the older encryption keys that are left, and takes them along when both keys are gone', async () => {
  await keys('rotate', '--encryption');
  const all = await rows();
  const old = find(all, 'encryption', 'honoured');
  const { stdout } = await keys('revoke', find(all, 'encryption', 'present').fingerprint);
  expect(stdout).toContain(`drawbridge keys revoke ${old.fingerprint}`);
  const now = await rows();
  const both = [find(now, 'encryption', 'present'), find(now, 'signing', 'present')];
  const { revoked } = await keysJson('revoke', ...both.map(({ fingerprint }) => fingerprint));
  expect(revoked).toEqual(expect.arrayContaining([...both, old].map(({ kid }) => kid)));
  expect(revoked).toHaveLength(3);
});

it('encrypt wants a passphrase; without it, or with a wrong one, nothing starts and nothing has changed', async () => {
  expect(await keysJson('encrypt')).toMatchObject({ exit: 1, code: 'REQUEST_INVALID' });
  await configure({ keys: { passphraseFile: 'nowhere' } });
  expect(await keysJson('encrypt')).toMatchObject({ exit: 1, code: 'KEY_LOCKED' });
  await configure({ keys: { passphraseFile } });
  await keys('encrypt');
  await writeFile(passphraseFile, 'wrong');
  const before = await readFile(at('signing.key'), 'utf8');
  expect(await keysJson('encrypt')).toMatchObject({ exit: 1, code: 'KEY_LOCKED' });
  expect(await keysJson('rotate')).toMatchObject({ exit: 1, code: 'KEY_LOCKED' });
  await configure();
  expect(await drawbridgeJson('init', '--config', config)).toMatchObject({ exit: 1, code: 'KEY_LOCKED' });
  expect(await readFile(at('signing.key'), 'utf8')).toBe(before);
});

it('encrypt and decrypt leave the same keys, TLS included, and OpenSSL opens them', async () => {
  const before = await own();
  await configure({ keys: { passphraseFile } });
  const { changed } = await keysJson('encrypt');
  expect((changed as string[]).map((path) => path.split('/').at(-1))).toEqual([
    'encryption.key',
    'signing.key',
    'tls.key',
  ]);
  execFileSync('openssl', ['pkey', '-in', at('signing.key'), '-passin', `file:${passphraseFile}`, '-noout']);
  const locked = await own();
  expect(locked.tls).toEqual(before.tls);
  expect(locked.encryption.privateKey.equals(before.encryption.privateKey)).toBe(true);
  expect(await keysJson('decrypt')).toMatchObject({ exit: 0, changed });
  await configure();
  expect((await own()).signing.privateKey.equals(before.signing.privateKey)).toBe(true);
});

it('a new passphrase takes the place of the old one, in older generations and copies too', async () => {
  await keys('rotate', '--encryption');
  await configure({ keys: { passphraseFile } });
  const { changed } = await keysJson('encrypt');
  const oldFile = join(folder, 'old');
  await rename(passphraseFile, oldFile);
  await writeFile(passphraseFile, 'battery staple', { mode: 0o600 });
  expect(await keysJson('encrypt', '--old-passphrase-file', oldFile)).toMatchObject({ exit: 0, changed });
  expect((await own()).decryption).toHaveLength(2);
});

it('keys are encrypted from the start where a passphrase is set, and so are those of a rotation', async () => {
  await rm(join(folder, 'data'), { recursive: true });
  await configure({ keys: { passphraseFile } });
  await drawbridge('init', '--config', config);
  await keys('rotate');
  expect((await rows()).map((row) => row.private_key)).not.toContain('clear');
  for (const name of ['encryption.key', 'signing.key', 'tls.key']) {
    expect(await readFile(at(name), 'utf8')).toContain('-----BEGIN ENCRYPTED PRIVATE KEY-----');
  }
});

it.runIf(process.getuid?.() === 0)('the keys of another user are left alone, even by root', async () => {
  await chown(at(''), 12345, 12345);
  expect(await keysJson('rotate')).toMatchObject({ exit: 1, code: 'REQUEST_INVALID' });
  expect(await readdir(at(''))).not.toContain('generations');
});

it('keygen makes keys under a passphrase', async () => {
  const out = join(folder, 'out');
  expect(await drawbridgeJson('keygen', '--out', out, '--passphrase-file', passphraseFile)).toMatchObject({
    exit: 0,
  });
  execFileSync('openssl', [
    'pkey',
    '-in',
    join(out, 'signing.key'),
    '-passin',
    `file:${passphraseFile}`,
    '-noout',
  ]);
});

it('other processes that rotate at once do not mix, and a running bridge follows them', async () => {
  const running = await own();
  const rotate = () =>
    runProcess({
      command: process.execPath,
      args: [LAUNCHER, 'keys', 'rotate', '--config', config, '--json'],
    });
  const results = await Promise.all([rotate(), rotate()]);
  const done = results.filter(({ code }) => code === 0).length;
  expect(done).toBeGreaterThan(0);
  await running.refresh();
  const all = await rows();
  expect(all).toHaveLength(2 + 2 * done);
  expect(jwkThumbprint(running.signing.publicKey)).toBe(find(all, 'signing', 'present').kid);
  expect(running.decryption).toHaveLength(1 + done);
  expect(running.announcements).toHaveLength(done);
}, 60_000);
