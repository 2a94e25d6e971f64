/** The test envelope that follows a pairing: through all steps of both sites, over a share, without a study or a PACS. */
import { randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { afterEach, expect, it } from 'vitest';
import { type EnvelopeId, parseEnvelopeId } from '../../src/domain/envelope-id.js';
import { sha256Hex } from '../../src/jmix/digest.js';
import { openPairingTest, PAIRING_TEST_METADATA, pairingTestFile } from '../../src/outbound/pairing-test.js';
import { retryDelivery } from '../../src/outbound/retry.js';
import { sealToFolder } from '../../src/spool/sealed-envelope.js';
import { makeSites, type TestSite, type TestSites } from '../support/site-parts.js';

let sites: TestSites;
let a: TestSite;
let b: TestSite;

afterEach(() => sites.close());

async function open(peerOf?: Parameters<typeof makeSites>[1]): Promise<void> {
  sites = await makeSites(['site-a', 'site-b'], peerOf);
  a = sites.site('site-a');
  b = sites.site('site-b');
}

async function sendTest(): Promise<EnvelopeId> {
  const id = await openPairingTest(a.outbound, 'site-b');
  await a.work();
  return id;
}
const deliveryOf = (id: EnvelopeId) => a.context.deliveries.read(id);
const receptionOf = (id: EnvelopeId) => b.context.receptions.read(id);
async function foldersOf({ context: { layout } }: TestSite): Promise<readonly string[]> {
  const folders = [layout.sealed, layout.inbox, layout.staging, layout.opened, layout.drafts, layout.studies];
  return (await Promise.all(folders.map((folder) => readdir(folder)))).flat();
}

it('to a site that does not know our key it is refused like any other envelope, and can be sent again', async () => {
  await open((site) => (site === 'site-b' ? { signingKeys: [`${'A'.repeat(43)}=`] } : {}));
  const id = await sendTest();
  await b.poll();
  expect(await receptionOf(id)).toMatchObject({ quarantined: { code: 'SIGNER_NOT_PINNED' } });
  await a.poll();
  expect(await deliveryOf(id)).toMatchObject({ receipt: 'refused' });
  const again = await retryDelivery(a.outbound, id);
  await a.work();
  expect(await deliveryOf(again)).toMatchObject({ purpose: 'pairing-test', carriage: 'acknowledged' });
});

it('whoever puts an instance beside the text of a test has sent a study, which is looked at as one', async () => {
  await open();
  const { layout, keys, settings, peers, lines, clock } = a.context;
  const id = parseEnvelopeId(randomUUID());
  const key = peers.get('site-b')?.encryptionKey;
  if (key === undefined) throw new Error('nothing can be sealed to site-b');
  const fileOf = (name: string, text: string) => ({
    name,
    sizeBytes: Buffer.byteLength(text),
    async *open() {
      yield Buffer.from(text);
    },
  });
  const sealed = await sealToFolder(layout, {
    id,
    createdAtMs: clock.now(),
    sender: settings.site,
    recipients: [{ entity: { id: 'site-b', name: 'B', contact: 'b' }, key }],
    metadata: PAIRING_TEST_METADATA,
    files: [pairingTestFile('site-a', 'site-b'), fileOf('dicom/1.2.3.dcm', 'no instance')],
    signingKey: keys.signing.privateKey,
  });
  const manifestSha256 = sha256Hex(sealed.manifest);
  const { signal } = new AbortController();
  await lines.outboxTo('site-b').put({ id, manifestSha256, folder: layout.sealedEnvelope(id) }, { signal });
  await b.poll();
  const reception = await receptionOf(id);
  expect(reception?.purpose).toBeUndefined();
  expect(reception?.quarantined).toMatchObject({ code: 'PAYLOAD_INCONSISTENT' });
});

it('is sealed, signed, opened and receipted, reaches no PACS, and leaves only its records', async () => {
  await open();
  const id = await sendTest();
  expect(await deliveryOf(id)).toMatchObject({
    purpose: 'pairing-test',
    carriage: 'acknowledged',
    instanceCount: 0,
  });
  await b.poll();
  expect(await receptionOf(id)).toMatchObject({
    purpose: 'pairing-test',
    progress: 'confirmed',
    instanceCount: 0,
    pacs: {},
    senderId: 'site-a',
  });
  await a.poll();
  expect(await deliveryOf(id)).toMatchObject({ receipt: 'verified' });
  expect([await foldersOf(a), await foldersOf(b)]).toEqual([[], []]);
  expect(await readdir(`${sites.root}/pacs`)).toEqual([]);
  expect([a.jobs, b.jobs, b.postponed]).toEqual([[], [], []]);
});
