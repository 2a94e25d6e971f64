/** `drawbridge check-config`: what a start would not notice, and somebody at night would. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { drawbridgeJson } from '../support/cli.js';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-check-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const check = async (more: object) => {
  const config = join(folder, 'drawbridge.yaml');
  const site = { id: 'site-a', name: 'Site A', contact: 'pacs@a.example.org' };
  await writeFile(config, JSON.stringify({ site, dataDir: 'data', ...more }));
  return drawbridgeJson('check-config', '-c', config);
};
/** As openssl shows a fingerprint. */
const SHOWN = Array(32).fill('A1').join(':');
const pacs = (more: object) => ({ name: 'main', aeTitle: 'PACS', host: 'localhost', port: 104, ...more });

it('password files that are missing or empty are told, all at once', async () => {
  await writeFile(join(folder, 'empty'), '\n');
  await writeFile(join(folder, 'good'), 'word\n');
  const users = [
    { name: 'ct1', passwordFile: 'empty' },
    { name: 'ct2', passwordFile: 'good' },
  ];
  const found = await check({ dimse: { users }, pacs: [pacs({ user: 'us', passwordFile: 'gone' })] });
  expect(found).toMatchObject({ ok: false, code: 'CONFIG_INVALID' });
  expect(found['message']).toMatch(/dimse\.users\.0\.passwordFile: .* is empty/);
  expect(found['message']).toMatch(/pacs\.0\.passwordFile: .* cannot be read/);
  expect(found['message']).not.toContain('users.1');
  expect(await check({ dimse: { users: users.slice(1) } })).toMatchObject({ exit: 0 });
});

it('certificates of a caller that no certificate could be, or without TLS, are told', async () => {
  const caller = (certificates: readonly string[], tls: object = {}) =>
    check({ dimse: { callers: [{ aeTitle: 'CT1', certificates }], tls } });
  const tls = { listen: true, certificateFingerprints: [SHOWN] };
  expect(await caller(['ct1.example.org', SHOWN], tls)).toMatchObject({ exit: 0 });
  expect((await caller(['CT 1'], tls))['message']).toMatch(
    /callers\.0\.certificates\.0 = "CT 1": expected a SHA-256/,
  );
  expect((await caller([], tls))['message']).toMatch(/callers\.0\.certificates/);
  expect((await caller(['ct1.example.org']))['message']).toMatch(
    /callers\.0\.certificates: .*dimse\.tls\.listen/,
  );
});

it('a PACS to which nothing could be proposed is refused', async () => {
  expect(await check({ pacs: [pacs({ transferSyntaxes: [] })] })).toMatchObject({ code: 'CONFIG_INVALID' });
});
