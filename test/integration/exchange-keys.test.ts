/** Two sites while the keys of one change: what is on its way goes on arriving, and nothing else begins to. */
import type { KeyObject } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { SiteContext } from '../../src/compose/site.js';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import type { Received } from '../../src/inbound/receive.js';
import { retryReception } from '../../src/inbound/retry.js';
import { WIRE_MEDIA_TYPE } from '../../src/jmix/archive-media-type.js';
import { openEnvelopeArchive } from '../../src/jmix/envelope-archive.js';
import { jwkThumbprint } from '../../src/jmix/jwk-thumbprint.js';
import { pack } from '../../src/outbound/pack.js';
import { acceptReceipt } from '../../src/outbound/receipt.js';
import { retryDelivery } from '../../src/outbound/retry.js';
import { seal } from '../../src/outbound/seal.js';
import { ship } from '../../src/outbound/ship.js';
import { signAnnouncement } from '../../src/trust/announcement.js';
import type { KeyAnswer } from '../../src/trust/peer-news.js';
import { signReceipt } from '../../src/trust/receipt.js';
import { peerOf } from '../support/site-letters.js';
import { makeSites, type TestSite, type TestSites } from '../support/site-parts.js';
import { sealFile, takeStudyIn } from '../support/site-studies.js';
import { encryptionKey, signingKey, type TestKey } from '../unit/trust/support/peer-statements.js';

let sites: TestSites;
let a: TestSite;
let b: TestSite;

beforeEach(async () => {
  sites = await makeSites(['site-a', 'site-b']);
  a = sites.site('site-a');
  b = sites.site('site-b');
});
afterEach(() => sites.close());

/** A process of the site that signs with another key, and says so by statements that `by` has signed. */
function rotated({ id, context }: TestSite, next: TestKey, by: TestKey | undefined): Partial<SiteContext> {
  const says = {
    site: id,
    issuedAtMs: Date.now() - 60_000,
    signing: [next.publicKey],
    encryption: [],
    revoked: [],
  };
  const announcements = [signAnnouncement(says, by?.privateKey ?? context.keys.signing.privateKey)];
  return { keys: { ...context.keys, signing: next, announcements } };
}

function sealedBy(keys: Partial<SiteContext>): Promise<EnvelopeId> {
  return sealFile({ ...a.context, ...keys }, 'site-b', Buffer.from('not really DICOM'));
}

async function shipAll(ids: readonly EnvelopeId[]): Promise<void> {
  for (const id of ids) await ship(a.outbound, id, new AbortController().signal);
  await b.poll();
}

const receptionOf = (id: EnvelopeId) => b.context.receptions.read(id);
const deliveryOf = (id: EnvelopeId) => a.context.deliveries.read(id);
const eventsOf = ({ logged }: TestSite) => logged.map(({ event }) => event);

it('an envelope by a new key that only a stranger vouches for is put aside', async () => {
  const thief = signingKey();
  const id = await sealedBy(rotated(a, thief, thief));
  await shipAll([id]);
  expect(await receptionOf(id)).toMatchObject({ quarantined: { code: 'SIGNER_NOT_PINNED' } });
  expect(eventsOf(b)).not.toContain('peer.key_learned');
});

it('an envelope by a key that its sender has revoked is refused as that, and nobody is told to pin the key', async () => {
  const stolen = a.context.keys.signing;
  const revoked = signAnnouncement(
    {
      site: 'site-a',
      issuedAtMs: Date.now() - 60_000,
      signing: [signingKey().publicKey],
      encryption: [],
      revoked: [jwkThumbprint(stolen.publicKey)],
    },
    stolen.privateKey,
  );
  await b.context.keyNews.learn('site-a', [revoked]);
  const id = await a.seal('site-b', 100);
  await shipAll([id]);
  expect(await receptionOf(id)).toMatchObject({ quarantined: { code: 'KEY_REVOKED' } });
});

it('an envelope by a new key, soon after the published ones were read, waits until they are read again', async () => {
  const next = signingKey();
  const id = await sealedBy({ keys: { ...a.context.keys, signing: next } });
  const answers: KeyAnswer[] = [{ retryAfterMs: 240_000 }, 'nothing'];
  const keyNews = { ...b.context.keyNews, ask: async () => answers.shift() ?? 'nothing' };
  const asking = b.process({ keyNews });
  await ship(a.outbound, id, new AbortController().signal);
  await asking.poll();
  expect(asking.postponed).toEqual([{ stage: 'open', id, code: 'PEER_BUSY' }]);
  expect(await receptionOf(id)).toMatchObject({ progress: 'received', lastError: { code: 'PEER_BUSY' } });
  expect((await receptionOf(id))?.quarantined).toBeUndefined();
  await asking.inbound.enqueue({ stage: 'open' }, id);
  await asking.work();
  expect(await receptionOf(id)).toMatchObject({ quarantined: { code: 'SIGNER_NOT_PINNED' } });
});

it('a forged namesake gives way to the true envelope, and is kept beside', async () => {
  const thief = signingKey();
  const id = await a.send('site-b');
  const { layout } = b.context;
  const { signal } = new AbortController();
  const receive = (folder: string) => receiveFolder(b, folder, signal);
  const path = a.context.layout.sealedEnvelope;
  // The same id on both: the forger has heard of it.
  const namesake = await sealFile(
    { ...a.context, ...rotated(a, thief, thief), layout: b.context.layout },
    'site-b',
    Buffer.from('x'),
    { id },
  );
  expect(namesake).toBe(id);
  await receive(layout.sealedEnvelope(id));
  await b.work();
  expect(await receptionOf(id)).toMatchObject({ quarantined: { code: 'SIGNER_NOT_PINNED' } });

  // Killed before the record is that of the true one: nothing was acknowledged, and the old one can be opened again.
  const update = () => Promise.reject(new Error('killed'));
  const dying = b.process({ receptions: { ...b.context.receptions, update } });
  await expect(receiveFolder({ ...b, ...dying }, path(id), signal)).rejects.toMatchObject({
    code: 'SPOOL_WRITE_FAILED',
  });
  await retryReception(b.inbound, id);
  await b.work();
  expect(await receptionOf(id)).toMatchObject({ quarantined: { code: 'SIGNER_NOT_PINNED' } });

  expect(await receive(path(id))).toEqual({ id, created: true });
  await b.work();
  expect(await receptionOf(id)).toMatchObject({ progress: 'confirmed', senderId: 'site-a' });
  expect(await readdir(layout.quarantine)).toEqual([expect.stringContaining(id)]);
  await expect(receive(layout.sealedEnvelope(id))).rejects.toMatchObject({ code: 'ENVELOPE_EXISTS' });
  expect(await receive(path(id))).toEqual({ id, created: false });
});

it('an envelope that brings word of its new key is opened, and those by the old key still are', async () => {
  const before = await a.seal('site-b', 100);
  const after = await sealedBy(rotated(a, signingKey(), undefined));
  await shipAll([after, before]);
  // What they hold is no DICOM, which is seen after the signatures.
  for (const id of [after, before]) {
    expect(await receptionOf(id)).toMatchObject({
      progress: 'opened',
      quarantined: { code: 'PAYLOAD_INCONSISTENT' },
    });
  }
  expect(eventsOf(b).filter((event) => event === 'peer.key_learned')).toHaveLength(1);
});

it('a receipt that brings word of its new key ends the delivery, and a forged one does not', async () => {
  const id = await a.send('site-b');
  const thief = signingKey();
  await b.process(rotated(b, signingKey(), undefined)).poll();
  const jws = await b.context.receptions.readDocument(id, 'receipt.jws');
  const receipt = jws ?? Buffer.alloc(0);
  const forged = signReceipt(JSON.parse(payloadOf(receipt)), thief.privateKey, thief.publicKey);
  await expect(acceptReceipt(a.outbound, 'site-b', id, forged)).rejects.toMatchObject({
    code: 'RECEIPT_INVALID',
  });
  await acceptReceipt(a.outbound, 'site-b', id, receipt);
  expect(await deliveryOf(id)).toMatchObject({ receipt: 'verified' });
});

it('a study for a peer whose key is revoked waits where it is seen, and goes on with the next one', async () => {
  const { keys } = b.context;
  const next = encryptionKey();
  const says = (encryption: readonly KeyObject[], revoked: readonly KeyObject[]) =>
    signAnnouncement(
      {
        site: 'site-b',
        issuedAtMs: Date.now() - 60_000,
        signing: [],
        encryption,
        revoked: revoked.map(jwkThumbprint),
      },
      keys.signing.privateKey,
    );
  await a.context.keyNews.learn('site-b', [says([], [keys.encryption.publicKey])]);
  const id = await a.send('site-b');
  expect(await deliveryOf(id)).toMatchObject({ parked: { code: 'PEER_REFUSED' }, carriage: 'packed' });

  await a.context.keyNews.learn('site-b', [says([next.publicKey], [])]);
  await retryDelivery(a.outbound, id);
  await a.work();
  await b.process({ keys: { ...keys, encryption: next, decryption: [next.privateKey] } }).poll();
  await a.poll();
  expect(await deliveryOf(id)).toMatchObject({ receipt: 'verified' });
});

async function receiveFolder(site: TestSite, folder: string, signal: AbortSignal): Promise<Received> {
  const { stream: body } = await openEnvelopeArchive(folder);
  return site.inbound.receive({ from: { peerId: 'site-a' }, body, mediaType: WIRE_MEDIA_TYPE, signal });
}

it('what is sealed to a key that the peer revokes before it goes is sealed again, and never leaves', async () => {
  const { keys } = b.context;
  const next = encryptionKey();
  const id = await takeStudyIn(a.outbound, 'site-b');
  const { signal } = new AbortController();
  await pack(a.outbound, id, signal);
  await seal(a.outbound, id, signal);
  const says = signAnnouncement(
    {
      site: 'site-b',
      issuedAtMs: Date.now() - 60_000,
      signing: [],
      encryption: [next.publicKey],
      revoked: [jwkThumbprint(keys.encryption.publicKey)],
    },
    keys.signing.privateKey,
  );
  await a.context.keyNews.learn('site-b', [says]);
  await ship(a.outbound, id, signal);
  expect(await deliveryOf(id)).toMatchObject({ carriage: 'packed', formerEnvelopes: [{ id }] });
  expect(await readdir(b.inboxFolder)).toEqual([]);
  await a.work();
  expect(await deliveryOf(id)).toMatchObject({
    carriage: 'acknowledged',
    sealed: { sealedTo: jwkThumbprint(next.publicKey) },
  });
});

it('a study for a peer whose keys the directory has not told yet is tried again by itself', async () => {
  const { peers } = a.context;
  const { encryptionKey: _, ...keyless } = peerOf(a, 'site-b');
  const book = Object.assign(new Map([['site-b', { ...keyless, directory: true }]]), { ...peers });
  const id = await takeStudyIn(a.outbound, 'site-b');
  const waiting = a.process({ peers: book });
  await waiting.outbound.enqueue('pack', id);
  await waiting.work();
  expect(waiting.postponed).toEqual([{ stage: 'seal', id, code: 'PEER_BUSY' }]);
  expect((await deliveryOf(id))?.parked).toBeUndefined();
});

function payloadOf(jws: Buffer): string {
  return Buffer.from(jws.toString('latin1').split('.')[1] ?? '', 'base64url').toString('utf8');
}
