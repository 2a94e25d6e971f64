/** The book of peers: what goes before what, what people decide, and what a config may leave out. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseSettings } from '../../../src/config/load.js';
import type { Settings } from '../../../src/config/settings.js';
import type { Log, LogFields } from '../../../src/observe/log.js';
import { createFileDurably } from '../../../src/spool/atomic.js';
import type { Attestation } from '../../../src/trust/attestation.js';
import { adoptPeer, forgetPeer } from '../../../src/trust/peer-adopt.js';
import { openPeerBook, type PeerBook, readPeerBook } from '../../../src/trust/peer-book.js';
import type { PeerCard } from '../../../src/trust/peer-card.js';
import { viewPeer } from '../../../src/trust/peer-view.js';
import { encryptionKey, NOW, signingKey, statement } from './support/peer-statements.js';

const [k1, k2, stranger] = [signingKey(), signingKey(), signingKey()];
const [e1, e2] = [encryptionKey(), encryptionKey()];
const certificate = 'ab'.repeat(32);
const card: PeerCard = {
  id: 'site-b',
  name: 'Hospital B',
  contact: 'pacs@b.example',
  url: 'https://b.example:8443',
  encryptionKey: e1.text,
  signingKeys: [k1.text],
  certificateFingerprints: [certificate],
};
const { url: _, ...cardWithoutUrl } = card;
const pairing = { atMs: NOW, words: 'one two three four five six' };

let folder: string;
let logged: (LogFields & { readonly event: string })[];
const write = (fields: LogFields & { readonly event: string }) => void logged.push(fields);
const log: Log = { debug: write, info: write, warn: write, error: write, child: () => log };
const parts = { createFile: createFileDurably, clock: { now: () => NOW }, log };

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-peer-book-'));
  logged = [];
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function configured(config: Readonly<Record<string, unknown>> = {}): Settings {
  const site = { id: 'site-a', name: 'Hospital A', contact: 'pacs@a.example' };
  return parseSettings(JSON.stringify({ site, ...config }), {}, folder);
}

function pair(settings: Settings, other: PeerCard = card): Promise<void> {
  return adoptPeer(folder, other, pairing, { settings, ...parts });
}

function signersOf(book: PeerBook, id = 'site-b'): readonly string[] {
  const known = book.known().find(({ peer }) => peer.id === id);
  return known?.keys.signing.map(({ kid }) => kid) ?? [];
}

describe('the book is not opened', () => {
  it.each([
    ['a route to nobody', { routes: [{ to: ['site-b'] }] }, ['routes.0.to: there is no peer site-b']],
    [
      'a route to a peer that cannot be sealed to',
      { peers: [{ id: 'site-b', name: 'B', signingKeys: [k1.text] }], routes: [{ to: ['site-b'] }] },
      ['routes.0.to: the peer site-b has no encryptionKey'],
    ],
    [
      'a peer that could be anybody, and whose receipts could be anybody’s',
      { peers: [{ id: 'site-b', name: 'B', url: 'https://b.example:8443' }] },
      ['peers.0: expected certificateFingerprints or caFile', 'peers.0.signingKeys: expected at least one'],
    ],
    [
      'keys that would be fetched from anybody',
      { peers: [{ id: 'site-b', name: 'B', jwksUrl: 'https://b.example/keys' }] },
      ['peers.0: expected certificateFingerprints or caFile'],
    ],
  ])('with %s', async (_, config, problems) => {
    const opening = openPeerBook(configured(config), folder, parts);
    await expect(opening).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    const message = await opening.catch((error: Error) => error.message);
    expect(message).toContain(`${problems.length} problem`);
    for (const problem of problems) expect(message).toContain(problem);
  });

  it('with a record that cannot be read', async () => {
    await pair(configured());
    await writeFile(join(folder, 'peers', 'site-b.000002.json'), 'nothing');
    await expect(openPeerBook(configured(), folder, parts)).rejects.toMatchObject({ code: 'KEY_UNREADABLE' });
  });

  it('but it is when pairing brings what the config leaves out, and stays so when the keys are revoked', async () => {
    const settings = configured({
      peers: [{ id: 'site-b', name: 'B', url: 'https://b.example:8443', concurrency: 2 }],
      routes: [{ to: ['site-b'] }],
    });
    await pair(settings);
    const book = await openPeerBook(settings, folder, parts);
    expect(book.get('site-b')).toMatchObject({ name: 'B', certificateFingerprints: [certificate] });
    expect(book.get('site-b')?.limits.places).toBe(2);
    await book.learn('site-b', [statement(k1, { revoked: [k1, e1] })]);
    expect(book.get('site-b')).toMatchObject({ signingKeys: [] });
    expect(book.get('site-b')?.encryptionKey).toBeUndefined();
    await openPeerBook(settings, folder, parts);
  });
});

describe('pairing is refused', () => {
  it.each([
    ['signingKeys', { signingKeys: [stranger.text] }],
    ['encryptionKey', { encryptionKey: e2.text }],
    ['certificateFingerprints', { certificateFingerprints: ['cd'.repeat(32)] }],
  ])('when the config pins other %s', async (what, pins) => {
    const settings = configured({ peers: [{ id: 'site-b', name: 'B', ...pins }] });
    await expect(pair(settings)).rejects.toMatchObject({
      code: 'PAIRING_FAILED',
      message: expect.stringContaining(`the config pins other ${what} for site-b`),
    });
  });

  it('with a key, or a certificate, of another peer', async () => {
    const settings = configured();
    await pair(settings);
    const thief = { ...card, id: 'site-c', certificateFingerprints: ['cd'.repeat(32)] };
    await expect(pair(settings, thief)).rejects.toMatchObject({ code: 'PAIRING_FAILED' });
    const twin = { ...card, id: 'site-c', signingKeys: [k2.text], encryptionKey: e2.text };
    await expect(pair(settings, twin)).rejects.toMatchObject({ code: 'PAIRING_FAILED' });
  });

  it('with ourselves', async () => {
    await expect(pair(configured(), { ...card, id: 'site-a' })).rejects.toMatchObject({
      code: 'PAIRING_FAILED',
    });
  });

  it('with a key that this peer has revoked, also after it was forgotten', async () => {
    const settings = configured();
    await pair(settings);
    const book = await readPeerBook(settings, folder, parts);
    await book.learn('site-b', [statement(k1, { signing: [k2], revoked: [k1] })]);
    await forgetPeer(folder, 'site-b', parts);
    await expect(pair(settings)).rejects.toMatchObject({ code: 'KEY_REVOKED' });
    await pair(settings, { ...card, signingKeys: [k2.text] });
  });
});

it('whom to ring comes from the pairing where the config does not say, and else from the config', async () => {
  const entry = { id: 'site-b', name: 'B', url: 'https://b.example:8443' };
  await pair(configured());
  const contactIn = async (more: object) =>
    (await openPeerBook(configured({ peers: [{ ...entry, ...more }] }), folder, parts)).get('site-b')
      ?.contact;
  expect(await contactIn({})).toBe('pacs@b.example');
  expect(await contactIn({ contact: 'B, extension 12' })).toBe('B, extension 12');
});

it('of several learned keys only the newest is told, by its kid', async () => {
  await pair(configured());
  const book = await openPeerBook(configured(), folder, parts);
  const k3 = signingKey();
  await book.learn('site-b', [
    statement(k1, { signing: [k2], encryption: [e2] }),
    statement(k2, { signing: [k3] }),
  ]);
  const [known] = book.known();
  const texts = (known && viewPeer(known).notices.map(({ text }) => text)) ?? [];
  expect(texts).toHaveLength(2);
  expect(texts[0]).toContain(k3.kid);
  expect(texts[1]).toContain(e2.kid);
});

it('a peer of a directory that has not answered yet is not told to be paired again', async () => {
  const settings = configured({
    directory: {
      url: 'https://hub.example:8443',
      certificateFingerprints: [certificate],
      keys: [stranger.text],
    },
    peers: [{ id: 'site-b', name: 'B', directory: true }],
  });
  const [known] = (await openPeerBook(settings, folder, parts)).known();
  const notices = (known && viewPeer(known).notices) ?? [];
  expect(notices).not.toEqual([]);
  for (const { text, advice } of notices) {
    expect(text).toContain('the directory has not answered for it yet');
    expect(advice).not.toContain('pair with them again');
  }
});

it('a paired peer appears in a book that is open, with what is usual, and goes when it is forgotten', async () => {
  const settings = configured({ pacs: [{ name: 'main', aeTitle: 'PACS', host: '127.0.0.1', port: 104 }] });
  const book = await openPeerBook(settings, folder, parts);
  expect(book.size).toBe(0);
  await pair(settings);
  await book.refresh();
  expect(book.get('site-b')).toMatchObject({
    name: 'Hospital B',
    url: card.url,
    deliverTo: ['main'],
    allowUnsigned: false,
    dialect: 'canon',
  });
  expect(await forgetPeer(folder, 'site-b', parts)).toBe(true);
  await book.refresh();
  expect(book.size).toBe(0);
  expect(await forgetPeer(folder, 'site-x', parts)).toBe(false);
});

it('pairing again is the newer word: what was learned before counts no more', async () => {
  const settings = configured();
  await pair(settings);
  const book = await openPeerBook(settings, folder, parts);
  await book.learn('site-b', [statement(k1, { signing: [k2] })]);
  expect(signersOf(book)).toEqual([k1.kid, k2.kid]);
  await pair(settings, { ...cardWithoutUrl, signingKeys: [stranger.text] });
  await book.refresh();
  expect(signersOf(book)).toEqual([stranger.kid]);
  expect(book.get('site-b')?.url).toBeUndefined();
});

it('what one process learns, another has after a refresh; both may learn it at once', async () => {
  const settings = configured({ peers: [{ ...card, via: undefined }] });
  const [gateway, worker] = [
    await openPeerBook(settings, folder, parts),
    await openPeerBook(settings, folder, parts),
  ];
  const news = statement(k1, { signing: [k2], encryption: [e2] });
  const learned = await Promise.all([gateway.learn('site-b', [news]), worker.learn('site-b', [news])]);
  expect(learned).toContain(true);
  await Promise.all([gateway.refresh(), worker.refresh()]);
  for (const book of [gateway, worker]) {
    expect(signersOf(book)).toEqual([k1.kid, k2.kid]);
    expect(book.known()[0]?.keys.encryption?.kid).toBe(e2.kid);
  }
  expect(gateway.known()[0]?.record.statements).toHaveLength(1);
  expect(await gateway.learn('site-b', [news])).toBe(false);
});

it('is told loudly, and shown, that the config names a key that was revoked', async () => {
  const settings = configured({ peers: [{ ...card }] });
  const book = await openPeerBook(settings, folder, parts);
  await book.learn('site-b', [statement(k1, { signing: [k2], revoked: [k1] })]);
  expect(signersOf(book)).toEqual([k2.kid]);
  expect(logged).toContainEqual({ event: 'peer.revoked_key_in_config', peer: 'site-b', kid: k1.kid });
  const [known] = book.known();
  expect(known && viewPeer(known).notices).toMatchObject([
    { level: 'act', text: expect.stringContaining(k1.kid) },
    { level: 'know' },
  ]);
});

it('knows no more about strangers afterwards than before', async () => {
  const book = await openPeerBook(configured(), folder, parts);
  expect(await book.learn('site-x', [statement(k1, { signing: [k2], site: 'site-x' })])).toBe(false);
  expect(await book.claimAsking('site-x')).toBe(false);
  expect(book.size).toBe(0);
});

it('keeps what it knows when a record goes bad while the bridge runs', async () => {
  const settings = configured({ peers: [{ ...card }] });
  const book = await openPeerBook(settings, folder, parts);
  await book.learn('site-b', [statement(k1, { signing: [k2] })]);
  await writeFile(join(folder, 'peers', 'site-b.000009.json'), '{');
  await book.refresh();
  expect(signersOf(book)).toEqual([k1.kid, k2.kid]);
  expect(logged.map(({ event }) => event)).toContain('peers.unreadable');
});

describe('what the directory says of a peer', () => {
  const attested = (more: Partial<Attestation> = {}, keys = [k1]): Attestation => ({
    provider: 'directory',
    issuedAtMs: NOW,
    expiresAtMs: NOW + 3_600_000,
    signedBy: 'SHA256:',
    site: {
      id: 'site-b',
      name: 'Hospital B',
      contact: 'pacs@b.example',
      url: 'https://b.example:8443',
      encryption_key: e1.text,
      signing_keys: keys.map(({ text }) => text),
      certificate_fingerprints: [certificate],
    },
    ...more,
  });
  const directory = {
    url: 'https://directory.example',
    keys: [stranger.text],
    certificateFingerprints: [certificate],
  };
  const looked = { directory, peers: [{ id: 'site-b', name: 'B', directory: true }] };

  it('counts only where the config asks it, and for as long as it says', async () => {
    let nowMs = NOW;
    const clock = { now: () => nowMs };
    const book = await openPeerBook(configured(looked), folder, { ...parts, clock });
    const indifferent = await openPeerBook(
      configured({ peers: [{ id: 'site-b', name: 'B' }] }),
      folder,
      parts,
    );
    await book.noteListed('site-b', 'the.attestation.itself', attested());
    expect(book.listed('site-b')).toBe('the.attestation.itself');
    expect(book.get('site-b')).toMatchObject({ url: card.url, certificateFingerprints: [certificate] });
    expect(signersOf(book)).toEqual([k1.kid]);
    await indifferent.refresh();
    expect(signersOf(indifferent)).toEqual([]);
    expect(indifferent.get('site-b')?.url).toBeUndefined();

    nowMs += 2 * 3_600_000;
    await book.refresh();
    expect(signersOf(book)).toEqual([]);
    expect(book.get('site-b')?.url).toBeUndefined();
  });

  it('does not come before a pin, gives no key of another peer away, and an older word changes nothing', async () => {
    const peers = [
      { id: 'site-b', name: 'B', directory: true, encryptionKey: e2.text },
      { id: 'site-c', name: 'C', signingKeys: [k2.text] },
    ];
    const book = await openPeerBook(configured({ directory, peers }), folder, parts);
    await book.noteListed('site-b', 'newer', attested({}, [k1, k2]));
    await book.noteListed('site-b', 'older', attested({ issuedAtMs: NOW - 60_000 }, [stranger]));
    expect(book.listed('site-b')).toBe('newer');
    expect(signersOf(book)).toEqual([k1.kid]);
    expect(book.known()[0]?.keys.encryption).toMatchObject({ kid: e2.kid, source: 'config' });
  });
});
