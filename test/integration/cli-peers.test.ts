/** `drawbridge peers` and `check-config`, on the data folder of a bridge that does not run. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { loadSettings } from '../../src/config/load.js';
import { systemClock } from '../../src/domain/clock.js';
import { silentLog } from '../../src/observe/log.js';
import { createFileDurably } from '../../src/spool/atomic.js';
import { adoptPeer } from '../../src/trust/peer-adopt.js';
import { readPeerBook } from '../../src/trust/peer-book.js';
import { drawbridge, drawbridgeJson } from '../support/cli.js';
import { encryptionKey, signingKey, type TestKey } from '../unit/trust/support/peer-statements.js';

/** A key whose kid begins like an option, which one in 64 does, or one whose kid does not. */
const keyWith = (likeAnOption: boolean): TestKey => {
  for (;;) {
    const key = signingKey();
    if (key.kid.startsWith('-') === likeAnOption) return key;
  }
};
const [k1, k2, k3] = [signingKey(), keyWith(false), keyWith(true)];
const e1 = encryptionKey();
const parts = { createFile: createFileDurably, clock: systemClock, log: silentLog };

let folder: string;
let config: string;
let trust: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-peers-'));
  config = join(folder, 'drawbridge.yaml');
  trust = join(folder, 'data', 'trust');
  await configure();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function configure(more: Readonly<Record<string, unknown>> = {}): Promise<void> {
  const site = { id: 'site-a', name: 'Hospital A', contact: 'pacs@a.example' };
  return writeFile(config, JSON.stringify({ site, ...more }));
}

async function pair(): Promise<void> {
  const card = {
    id: 'site-b',
    name: 'Hospital B',
    contact: '+49 30 1234',
    url: 'https://b.example:8443',
    encryptionKey: e1.text,
    signingKeys: [k1.text],
    certificateFingerprints: ['ab'.repeat(32)],
  };
  const settings = loadSettings(config, {});
  await adoptPeer(trust, card, { atMs: Date.now(), words: 'six words' }, { settings, ...parts });
}

async function offer(key: TestKey): Promise<void> {
  const book = await readPeerBook(loadSettings(config, {}), trust, parts);
  const published = { kid: key.kid, purpose: 'signing' as const, key: key.publicKey };
  await book.learnPublished('site-b', { keys: [published], announcements: [] });
}

const peers = (...args: string[]) => drawbridge('peers', ...args, '--config', config);
const peersJson = (...args: string[]) => drawbridgeJson('peers', ...args, '--config', config);

it('a peer that there is not is told, and nothing is written for it', async () => {
  expect(await peersJson('show', 'site-x')).toMatchObject({ exit: 1, code: 'PEER_REFUSED' });
  expect(await peersJson('accept', 'site-x', k2.kid)).toMatchObject({ exit: 1, code: 'PEER_REFUSED' });
  expect(await peersJson('forget', 'site-x')).toMatchObject({ exit: 0, forgotten: false });
  expect(await peersJson('forget', '../../keys')).toMatchObject({ exit: 0, forgotten: false });
  expect((await peers('list')).stdout).toBe('no peers\n');
});

it('a key that the peer does not publish cannot be accepted', async () => {
  await pair();
  expect(await peersJson('accept', 'site-b', k2.kid)).toMatchObject({ exit: 1, code: 'KEY_UNREADABLE' });
});

it('a key that it publishes is shown with what to compare and what to type, and counts when it is accepted', async () => {
  await pair();
  await offer(k2);
  const { stdout } = await peers('list');
  expect(stdout).toContain('site-b  Hospital B, https://b.example:8443, paired');
  expect(stdout).toContain(`drawbridge peers accept site-b ${k2.kid}`);
  expect(stdout).toMatch(
    /compare the fingerprint SHA256:[0-9a-f]{64} with them by telephone \(\+49 30 1234\)/,
  );

  expect(await peersJson('accept', 'site-b', k2.kid)).toMatchObject({
    exit: 0,
    peer: {
      signing: [{ kid: k1.kid }, { kid: k2.kid }],
      offered: [],
      encryption: { kid: e1.kid, source: 'paired' },
    },
  });
  const shown = await peers('show', 'site-b');
  expect(shown.stdout).toContain(`${k2.kid}  signing, accepted`);
});

it('a key whose kid begins like an option is named, and accepted, by its fingerprint', async () => {
  await pair();
  await offer(k3);
  const { stdout } = await peers('list');
  const [, named = ''] = /drawbridge peers accept site-b (\S+)$/m.exec(stdout) ?? [];
  expect(named).toMatch(/^SHA256:[0-9a-f]{64}$/);
  expect(await peersJson('accept', 'site-b', named)).toMatchObject({
    exit: 0,
    peer: { signing: [{ kid: k1.kid }, { kid: k3.kid }], offered: [] },
  });
});

it('a route to a paired peer is in order, until the peer is forgotten', async () => {
  await pair();
  await configure({ routes: [{ to: ['site-b'] }] });
  expect((await drawbridge('check-config', '--config', config)).code).toBe(0);
  const forgotten = await peers('forget', 'site-b');
  expect(forgotten.stdout).toContain('the config has routes to it');
  const checked = await drawbridgeJson('check-config', '--config', config);
  expect(checked).toMatchObject({ exit: 78, code: 'CONFIG_INVALID' });
  expect(checked).toMatchObject({ message: expect.stringContaining('there is no peer site-b') });
  // Who has to mend it can still look.
  expect((await peers('list')).code).toBe(0);
});
