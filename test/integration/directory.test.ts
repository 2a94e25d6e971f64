/** A site that looks a peer up in a directory: what it takes from there, and that nothing depends on it. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Directory, openDirectory } from '../../src/compose/directory.js';
import { KEY_DISK } from '../../src/compose/key-disk.js';
import { settingsSchema } from '../../src/config/settings.js';
import { keyFingerprint, rawPublicKey } from '../../src/jmix/raw-keys.js';
import type { Log } from '../../src/observe/log.js';
import { createFileDurably } from '../../src/spool/atomic.js';
import { makeCertificate } from '../../src/trust/certificate.js';
import { openPeerBook, type PeerBook } from '../../src/trust/peer-book.js';
import { ensureSiteKeys, readSiteKeys, type SiteKeys } from '../../src/trust/site-keys.js';
import { fingerprintOf, type HubUnderTest, makeHub } from './hub-under-test.js';

const { signal } = new AbortController();
const site = (id: string) => ({ id, name: `Hospital ${id}`, contact: `pacs@${id}.example.org` });
const text = (key: Parameters<typeof rawPublicKey>[0]) => rawPublicKey(key).toString('base64');

let folder: string;
let hub: HubUnderTest;
let keysOf: Record<'site-a' | 'site-b', SiteKeys>;

const keysFor = async (id: string) => {
  const settings = settingsSchema.parse({ site: site(id) });
  await mkdir(join(folder, id));
  await ensureSiteKeys(join(folder, id), settings, KEY_DISK, Date.now());
  return readSiteKeys(join(folder, id), settings);
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-directory-'));
  keysOf = { 'site-a': await keysFor('site-a'), 'site-b': await keysFor('site-b') };
  const cardOf = (id: 'site-a' | 'site-b') => ({
    encryptionKey: text(keysOf[id].encryption.publicKey),
    signingKeys: [text(keysOf[id].signing.publicKey)],
  });
  hub = await makeHub({
    peers: {
      'site-a': cardOf('site-a'),
      'site-b': { ...cardOf('site-b'), url: 'https://b.example.org:8443' },
    },
    settings: { hub: { directory: true } },
  });
});
afterAll(async () => {
  await hub.close();
  await rm(folder, { recursive: true, force: true });
});

interface Site {
  readonly peers: PeerBook;
  readonly directory: Directory;
  readonly logged: Record<string, unknown>[];
  close(): Promise<void>;
}

/** Site A with site B as a peer of which the config knows little. */
async function openSite(more: { directory?: object; peer?: object; trust?: string } = {}): Promise<Site> {
  const settings = settingsSchema.parse({
    site: site('site-a'),
    directory: {
      url: `https://127.0.0.1:${hub.port()}`,
      certificateFingerprints: [fingerprintOf(hub.keys.tls.certificate)],
      keys: [text(hub.keys.signing.publicKey)],
      ...more.directory,
    },
    peers: [{ id: 'site-b', name: 'Hospital B', directory: true, ...more.peer }],
  });
  const logged: Record<string, unknown>[] = [];
  const write = (fields: Record<string, unknown>) => void logged.push(fields);
  const log: Log = { debug: write, info: write, warn: write, error: write, child: () => log };
  const clock = { now: () => Date.now() };
  const trust = more.trust ?? (await mkdtemp(join(folder, 'trust-')));
  const peers = await openPeerBook(settings, trust, { createFile: createFileDurably, clock, log });
  const directory = await openDirectory({
    settings,
    peers,
    keys: keysOf['site-a'],
    identity: hub.identity('site-a'),
    clock,
    log,
  });
  return { peers, directory, logged, close: async () => directory.close() };
}

async function withSite(options: Parameters<typeof openSite>[0], work: (opened: Site) => Promise<void>) {
  const opened = await openSite(options);
  try {
    await work(opened);
  } finally {
    await opened.close();
  }
}

it('an entry that another key attests counts for nothing', () =>
  withSite({ directory: { keys: [text(keysOf['site-b'].signing.publicKey)] } }, async (opened) => {
    await opened.directory.lookUp(signal);
    expect(opened.peers.get('site-b')?.encryptionKey).toBeUndefined();
    expect(opened.directory.own()).toBeUndefined();
    expect(opened.logged).toContainEqual(
      expect.objectContaining({ event: 'directory.failed', site: 'site-b', code: 'DIRECTORY_INVALID' }),
    );
  }));

it('a directory that is away, or is an impostor, is logged and changes nothing', async () => {
  const identity = await makeCertificate('impostor', ['127.0.0.1'], Date.now());
  for (const directory of [
    { url: 'https://127.0.0.1:1' },
    { certificateFingerprints: [fingerprintOf(identity.certificate)] },
  ]) {
    await withSite({ directory }, async (opened) => {
      await opened.directory.lookUp(signal);
      expect(opened.peers.get('site-b')?.signingKeys).toEqual([]);
      expect(opened.logged.map(({ code }) => code)).toEqual(
        'url' in directory ? ['PEER_UNREACHABLE', 'PEER_UNREACHABLE'] : ['PEER_UNTRUSTED', 'PEER_UNTRUSTED'],
      );
    });
  }
});

it('what the config pins stays, whatever the directory says', () => {
  const pinned = text(keysOf['site-a'].signing.publicKey);
  return withSite({ peer: { signingKeys: [pinned], url: 'https://pinned.example.org' } }, async (opened) => {
    await opened.directory.lookUp(signal);
    const peer = opened.peers.get('site-b');
    expect(peer?.signingKeys.map(text)).toEqual([pinned]);
    expect(peer?.url).toBe('https://pinned.example.org');
  });
});

it('what the config leaves out comes from the directory, and is there when the directory is away', async () => {
  const trust = await mkdtemp(join(folder, 'trust-'));
  const assertListed = ({ peers }: Site) => {
    const peer = peers.get('site-b');
    expect(peer?.url).toBe('https://b.example.org:8443');
    expect(peer?.signingKeys.map(text)).toEqual([text(keysOf['site-b'].signing.publicKey)]);
    expect(peer?.encryptionKey === undefined ? '' : text(peer.encryptionKey)).toBe(
      text(keysOf['site-b'].encryption.publicKey),
    );
    expect(peer?.certificateFingerprints).toEqual([fingerprintOf(hub.identity('site-b').certificate)]);
  };
  await withSite({ trust }, async (opened) => {
    await opened.directory.lookUp(signal);
    assertListed(opened);
  });
  await withSite({ trust, directory: { url: 'https://127.0.0.1:1' } }, async (opened) => {
    await opened.directory.lookUp(signal);
    assertListed(opened);
  });
});

it('our own attestation is for the key that we sign with, and a receiver knows it again', () =>
  withSite({}, async ({ directory }) => {
    await directory.lookUp(signal);
    const own = directory.own();
    const fingerprint = keyFingerprint(keysOf['site-a'].signing.publicKey);
    expect(own?.provider).toBe('hub');
    expect(directory.attester(own?.jws ?? '', 'site-a', fingerprint)).toBe('hub');
    expect(directory.attester(own?.jws ?? '', 'site-b', fingerprint)).toBeUndefined();
    const other = keyFingerprint(keysOf['site-b'].signing.publicKey);
    expect(directory.attester(own?.jws ?? '', 'site-a', other)).toBeUndefined();
    expect(directory.attester('no jws', 'site-a', fingerprint)).toBeUndefined();
  }));

it('without a directory nobody is asked, and nothing is missing', async () => {
  const { directory, peers } = await openSite({
    directory: { url: undefined, keys: [], certificateFingerprints: [] },
    peer: { directory: false },
  });
  await directory.lookUp(signal);
  expect(directory.own()).toBeUndefined();
  expect(peers.get('site-b')?.name).toBe('Hospital B');
});
