/** Two sites while the keys of one change: what is on its way goes on arriving, and nothing else begins to. */
import type { KeyObject } from 'node:crypto';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { SiteContext } from '../../src/compose/site.js';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import { jwkThumbprint } from '../../src/jmix/jwk-thumbprint.js';
import { acceptReceipt } from '../../src/outbound/receipt.js';
import { retryDelivery } from '../../src/outbound/retry.js';
import { ship } from '../../src/outbound/ship.js';
import { signAnnouncement } from '../../src/trust/announcement.js';
import { signReceipt } from '../../src/trust/receipt.js';
import { makeSites, type TestSite, type TestSites } from '../support/site-parts.js';
import { sealFile } from '../support/site-studies.js';
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

function payloadOf(jws: Buffer): string {
  return Buffer.from(jws.toString('latin1').split('.')[1] ?? '', 'base64url').toString('utf8');
}
