/** Receipts that travel in envelopes: what settles a delivery, what never may, and that none is owed for a receipt. */
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SiteContext } from '../../src/compose/site.js';
import { formatTimestamp } from '../../src/domain/clock.js';
import { type EnvelopeId, parseEnvelopeId } from '../../src/domain/envelope-id.js';
import type { Reception } from '../../src/domain/reception.js';
import { GatewayError } from '../../src/errors/gateway-error.js';
import { confirm, RECEIPT_DOCUMENTS } from '../../src/inbound/confirm.js';
import { mailReceipt } from '../../src/inbound/mail-receipt.js';
import { retryReception } from '../../src/inbound/retry.js';
import { sweepReceptions } from '../../src/inbound/sweep.js';
import { rawPublicKey } from '../../src/jmix/raw-keys.js';
import { readFrozenList } from '../../src/outbound/complete-study.js';
import type { Outbox } from '../../src/transport/transport.js';
import { type Receipt, signReceipt } from '../../src/trust/receipt.js';
import { makeSites, type TestSite, type TestSites } from '../support/site-parts.js';

const { signal } = new AbortController();
const HOUR_MS = 3_600_000;

let sites: TestSites;
let a: TestSite;
let b: TestSite;
let c: TestSite;

const start = async (...choice: Parameters<typeof makeSites>) => {
  sites = await makeSites(...choice);
  a = sites.site('site-a');
  b = sites.site('site-b');
};
afterEach(() => sites.close());

const lying = (site: TestSite) => readdir(site.inboxFolder);
const sealed = (site: TestSite) => readdir(site.context.layout.sealed);
const deliveryOf = (id: EnvelopeId) => a.context.deliveries.read(id);
const receptionsOf = async ({ context }: TestSite) => {
  const records = await Promise.all((await context.receptions.ids()).map(context.receptions.read));
  return records.filter((record): record is Reception => record !== undefined);
};
/** The letters that have come to a site. */
const lettersAt = async (site: TestSite) =>
  (await receptionsOf(site)).filter(({ receiptFor }) => receiptFor !== undefined);
const peerOf = ({ context }: TestSite, id: string) => {
  const peer = context.peers.get(id);
  if (peer === undefined) throw new Error(`no peer ${id}`);
  return peer;
};
const receiptOf = ({ context }: TestSite, id: EnvelopeId) =>
  context.receptions.readDocument(id, RECEIPT_DOCUMENTS.stored);
/** The lines of a site whose puts are done otherwise. */
const withPut = (
  { context: { lines } }: TestSite,
  put: (real: Outbox) => Outbox['put'],
): Partial<SiteContext> => ({
  lines: {
    ...lines,
    outboxTo: (peerId) => ({ ...lines.outboxTo(peerId), put: put(lines.outboxTo(peerId)) }),
  },
});
const lost = () => () => Promise.reject(new GatewayError('PEER_UNREACHABLE', 'the line is down'));
const nothingIsUnderWay = async () => {
  expect([await lying(a), await lying(b)]).toEqual([[], []]);
  expect([a.jobs, b.jobs]).toEqual([[], []]);
};

describe('between two sites', () => {
  beforeEach(() => start(['site-a', 'site-b']));

  it('a receipt that comes by mail verifies the delivery, and nothing is owed for it', async () => {
    const id = await a.send('site-b');
    expect(await deliveryOf(id)).toMatchObject({ carriage: 'acknowledged', receipt: 'awaited' });
    await b.poll();
    expect((await b.context.receptions.read(id))?.progress).toBe('confirmed');
    expect([await lying(b), await sealed(b)]).toEqual([[], []]);
    expect(await lying(a)).toHaveLength(1);
    await a.poll();
    expect(await deliveryOf(id)).toMatchObject({ receipt: 'verified' });
    const [letter] = await lettersAt(a);
    expect(letter).toMatchObject({ progress: 'confirmed', receiptFor: id, senderId: 'site-b' });
    expect(letter).not.toHaveProperty('quarantined');
    const { layout } = a.context;
    expect([
      await readdir(layout.inbox),
      await readdir(layout.staging),
      await readdir(layout.opened),
    ]).toEqual([[], [], []]);
    await nothingIsUnderWay();
    expect(sites.pacs.stored.size).toBe(2);
  });

  it('what waits to be mailed is sealed once, and says the same at every attempt', async () => {
    const id = await a.send('site-b');
    const offline = b.process(withPut(b, lost));
    await offline.poll();
    expect(offline.postponed).toEqual([{ stage: 'confirm', id, code: 'PEER_UNREACHABLE' }]);
    const [before, receipt] = [await sealed(b), await receiptOf(b, id)];
    expect(before).toHaveLength(1);
    b.time.ms += HOUR_MS;
    const hashes: string[] = [];
    const watching = withPut(b, (real) => (envelope, options) => {
      hashes.push(envelope.manifestSha256);
      return real.put(envelope, options);
    });
    const stillOffline = withPut(b, () => async (envelope) => {
      hashes.push(envelope.manifestSha256);
      throw new GatewayError('PEER_UNREACHABLE', 'the line is down');
    });
    await expect(confirm(b.process(stillOffline).inbound, id, signal)).rejects.toMatchObject({
      code: 'PEER_UNREACHABLE',
    });
    await confirm(b.process(watching).inbound, id, signal);
    expect(await receiptOf(b, id)).toEqual(receipt);
    expect(new Set(hashes).size).toBe(1);
    await a.poll();
    expect(await lettersAt(a)).toMatchObject([{ manifestSha256: hashes[0] }]);
    expect(await deliveryOf(id)).toMatchObject({ receipt: 'verified' });
  });

  it('a put of the letter that nobody confirmed is repeated without harm', async () => {
    const id = await a.send('site-b');
    const unconfirmed = withPut(b, (real) => async (envelope, options) => {
      await real.put(envelope, options);
      throw new GatewayError('SHIP_UNCONFIRMED', 'nobody answered');
    });
    await b.process(unconfirmed).poll();
    await confirm(b.inbound, id, signal);
    expect((await b.context.receptions.read(id))?.progress).toBe('confirmed');
    await a.poll();
    expect(await lettersAt(a)).toHaveLength(1);
    await nothingIsUnderWay();
  });

  it.each([
    ['still waits', async () => undefined],
    ['has been taken', () => a.poll()],
  ])(
    'a crash before the record says so mails the same letter again, when the first %s',
    async (_what, meanwhile) => {
      const id = await a.send('site-b');
      await crashAfterMailing(id);
      await meanwhile();
      await confirm(b.inbound, id, signal);
      expect((await b.context.receptions.read(id))?.progress).toBe('confirmed');
      await a.poll();
      expect(await lettersAt(a)).toHaveLength(1);
      expect(await deliveryOf(id)).toMatchObject({ receipt: 'verified' });
      expect(await sealed(b)).toEqual([]);
      await nothingIsUnderWay();
    },
  );

  it('a letter that a crash left behind is swept with its study', async () => {
    const id = await a.send('site-b');
    await crashAfterMailing(id);
    await b.context.receptions.update(id, (record) => ({ ...record, progress: 'confirmed' }));
    expect(await sealed(b)).toHaveLength(1);
    b.time.ms += HOUR_MS;
    expect(await sweepReceptions(b.inbound, HOUR_MS)).toBe(1);
    expect(await sealed(b)).toEqual([]);
    expect(await sweepReceptions(b.inbound, HOUR_MS)).toBe(0);
  });

  it('a refusal comes by mail too, and so does the receipt when the cause is mended', async () => {
    const id = await a.send('site-b');
    await b.process(strangersKey()).poll();
    await a.poll();
    expect(await deliveryOf(id)).toMatchObject({
      receipt: 'refused',
      refusal: { code: 'SIGNER_NOT_PINNED' },
    });
    await nothingIsUnderWay();
    await retryReception(b.inbound, id);
    await b.work();
    await a.poll();
    expect(await deliveryOf(id)).toMatchObject({ receipt: 'verified' });
    expect(await lettersAt(a)).toHaveLength(2);
    await nothingIsUnderWay();
  });

  it('a second refusal is a letter of its own', async () => {
    const id = await a.send('site-b');
    await b.process(strangersKey()).poll();
    await a.poll();
    b.time.ms += HOUR_MS;
    const stillWrong = b.process(strangersKey());
    await retryReception(stillWrong.inbound, id);
    await stillWrong.work();
    await a.poll();
    expect(await lettersAt(a)).toHaveLength(2);
    expect(await deliveryOf(id)).toMatchObject({ receipt: 'refused' });
    await nothingIsUnderWay();
  });

  it('a refusal that comes late takes nothing back', async () => {
    const id = await a.send('site-b');
    await b.poll();
    await a.poll();
    await mail(b, await receiptFor(id, { outcome: 'refused', instances: [] }));
    await a.poll();
    expect(await deliveryOf(id)).toMatchObject({ receipt: 'verified' });
  });

  it.each<[string, (honest: Receipt) => Partial<Receipt>]>([
    ['names an instance that was not sent', () => ({ instances: [row('1.2.3'), row('1.2.4')] })],
    ['names too few', ({ instances }) => ({ instances: instances.slice(1) })],
    ['names none', () => ({ instances: [] })],
    [
      'names other bytes',
      ({ instances }) => ({ instances: instances.map((each) => ({ ...each, sha256: '0'.repeat(64) })) }),
    ],
    ['names no PACS', ({ instances }) => ({ instances: instances.map((each) => ({ ...each, status: {} })) })],
    ['is about another manifest', () => ({ manifest_sha256: '0'.repeat(64) })],
    ['is about another envelope', () => ({ envelope_id: randomUUID() })],
    ['speaks for another site', () => ({ receiver: { id: 'site-c', name: 'C' } })],
  ])('a receipt that %s leaves the delivery open, and is kept for the operator', async (_what, change) => {
    const id = await a.send('site-b');
    const honest = await receiptFor(id);
    await mail(b, { ...honest, ...change(honest) }, id);
    await a.poll();
    expect(await deliveryOf(id)).toMatchObject({ carriage: 'acknowledged', receipt: 'awaited' });
    const [letter] = await lettersAt(a);
    expect(letter).toMatchObject({ progress: 'confirmed', quarantined: { code: 'RECEIPT_INVALID' } });
    expect(await readdir(a.context.layout.quarantine)).toHaveLength(1);
    expect(await readdir(a.context.layout.staging)).toEqual([]);
    expect(a.jobs).toEqual([]);
    await b.poll();
    await a.poll();
    expect(await deliveryOf(id)).toMatchObject({ receipt: 'verified' });
  });

  it('a receipt for what was never sent is put aside, and nobody answers it', async () => {
    const id = parseEnvelopeId(randomUUID());
    await mail(b, { ...(await receiptFor(await a.send('site-b'))), envelope_id: id }, id);
    const before = await lying(b);
    await a.poll();
    expect(await lettersAt(a)).toMatchObject([
      { quarantined: { code: 'ENVELOPE_NOT_FOUND' }, receiptFor: id },
    ]);
    expect(a.jobs).toEqual([]);
    expect(await lying(b)).toEqual(before);
  });
});

describe('with somebody in between', () => {
  beforeEach(async () => {
    await start(['site-a', 'site-b', 'site-c']);
    c = sites.site('site-c');
  });

  it('a receipt by another peer settles nothing', async () => {
    const id = await a.send('site-b');
    await mail(c, await receiptFor(id, { receiver: { id: 'site-c', name: 'C' } }), id);
    await mail(c, await receiptFor(id, { issued_at: formatTimestamp(0) }), id);
    await a.poll();
    expect(await deliveryOf(id)).toMatchObject({ receipt: 'awaited' });
    expect(await lettersAt(a)).toMatchObject([
      { senderId: 'site-c', quarantined: { code: 'ENVELOPE_NOT_FOUND' } },
      { senderId: 'site-c', quarantined: { code: 'ENVELOPE_NOT_FOUND' } },
    ]);
    expect([a.jobs, await lying(c)]).toEqual([[], []]);
  });

  it('the right receipt in an envelope of another peer settles nothing', async () => {
    const id = await a.send('site-b');
    await b.process(withPut(b, lost)).poll();
    const receipt = await receiptOf(b, id);
    if (receipt === undefined) throw new Error('there is no receipt');
    await mailReceipt(c.inbound, peerOf(c, 'site-a'), { id, receipt }, signal);
    await a.poll();
    expect(await deliveryOf(id)).toMatchObject({ receipt: 'awaited' });
    expect(await lettersAt(a)).toMatchObject([{ quarantined: { code: 'ENVELOPE_NOT_FOUND' } }]);
  });

  it('an envelope in the name of the receiver, but not by its key, is not even opened', async () => {
    const id = await a.send('site-b');
    const inbound = { ...c.inbound, site: b.context.settings.site };
    const receipt = sign(c, await receiptFor(id));
    await mailReceipt(inbound, peerOf(c, 'site-a'), { id, receipt }, signal);
    await a.poll();
    expect(await deliveryOf(id)).toMatchObject({ receipt: 'awaited' });
    expect(await receptionsOf(a)).toMatchObject([
      { progress: 'received', quarantined: { code: 'SIGNER_NOT_PINNED' }, senderId: 'site-b' },
    ]);
  });
});

describe('with keys that do not fit', () => {
  const wrongKey = () => rawPublicKey(generateKeyPairSync('x25519').publicKey).toString('base64');

  const wrongSigner = () => rawPublicKey(generateKeyPairSync('ed25519').publicKey).toString('base64');

  it('a peer without a key for it gets no receipt, and an operator hears why', async () => {
    await start(['site-a', 'site-b'], (site) => (site === 'site-b' ? { encryptionKey: undefined } : {}));
    const id = await a.send('site-b');
    await b.poll();
    expect(await b.context.receptions.read(id)).toMatchObject({
      progress: 'delivered',
      parked: {
        code: 'PEER_REFUSED',
        stage: 'confirm',
        message: 'no receipt can be sealed to site-a: it has no encryptionKey',
      },
    });
    expect([await lying(a), await sealed(b), b.jobs]).toEqual([[], [], []]);
  });

  it('a study that cannot be opened is refused by mail', async () => {
    await start(['site-a', 'site-b'], (site) => (site === 'site-a' ? { encryptionKey: wrongKey() } : {}));
    const id = await a.send('site-b');
    await b.poll();
    await a.poll();
    expect(await deliveryOf(id)).toMatchObject({
      receipt: 'refused',
      refusal: { code: 'PAYLOAD_DECRYPT_FAILED' },
    });
    await nothingIsUnderWay();
  });

  it.each([
    ['open', () => ({ encryptionKey: wrongKey() })],
    ['verify', () => ({ signingKeys: [wrongSigner()] })],
  ])(
    'two sites that cannot %s what the other sends do not refuse each other without end',
    async (_what, wrong) => {
      await start(['site-a', 'site-b'], wrong);
      await a.send('site-b');
      for (let round = 0; round < 3; round += 1) {
        await b.poll();
        await a.poll();
      }
      expect([await receptionsOf(a), await receptionsOf(b)].map(({ length }) => length)).toEqual([1, 1]);
      await nothingIsUnderWay();
    },
  );
});

/** Mails the receipt for a reception, and dies before its record says so. */
async function crashAfterMailing(id: EnvelopeId): Promise<void> {
  await b.process(withPut(b, lost)).poll();
  const { receptions } = b.context;
  const dying = b.process({
    receptions: { ...receptions, update: () => Promise.reject(new Error('killed')) },
  });
  await expect(confirm(dying.inbound, id, signal)).rejects.toThrow('killed');
}

/** B has another key of A than A has. */
function strangersKey(): Partial<SiteContext> {
  const signingKeys = [generateKeyPairSync('ed25519').publicKey];
  return { peers: new Map([['site-a', { ...peerOf(b, 'site-a'), signingKeys }]]) };
}

/** What B would say of a delivery when its PACS has all of it. */
async function receiptFor(id: EnvelopeId, more: Partial<Receipt> = {}): Promise<Receipt> {
  const frozen = await readFrozenList(a.outbound, id);
  return {
    version: 1,
    envelope_id: id,
    manifest_sha256: (await deliveryOf(id))?.sealed?.manifestSha256 ?? '',
    receiver: { id: 'site-b', name: 'Hospital site-b' },
    outcome: 'stored',
    issued_at: formatTimestamp(b.time.ms),
    audit: [],
    instances: frozen.map(({ sopInstanceUid, sha256 }) => row(sopInstanceUid, sha256)),
    ...more,
  };
}

function row(uid: string, sha256 = '0'.repeat(64)): Receipt['instances'][number] {
  return { sop_instance_uid: uid, sha256, status: { main: '0x0000' } };
}

function sign({ context: { keys } }: TestSite, receipt: Receipt): Buffer {
  return signReceipt(receipt, keys.signing.privateKey, keys.signing.publicKey);
}

/** @param id of the delivery that the letter names */
function mail(site: TestSite, receipt: Receipt, id = parseEnvelopeId(receipt.envelope_id)): Promise<void> {
  return mailReceipt(site.inbound, peerOf(site, 'site-a'), { id, receipt: sign(site, receipt) }, signal);
}
