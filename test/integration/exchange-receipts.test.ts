/** Receipts that travel in envelopes: sealed once, mailed until they have arrived, and settled at the other end. */
import { generateKeyPairSync } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { SiteContext } from '../../src/compose/site.js';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import { GatewayError } from '../../src/errors/gateway-error.js';
import { confirm } from '../../src/inbound/confirm.js';
import { retryReception } from '../../src/inbound/retry.js';
import { sweepReceptions } from '../../src/inbound/sweep.js';
import { RECEIPT_DOCUMENT, receipt } from '../../src/outbound/receipt.js';
import { retryDelivery } from '../../src/outbound/retry.js';
import {
  areIdle,
  honestReceipt,
  lettersAt,
  lineDown,
  lyingFor,
  mailTo,
  peerOf,
  receiptAt,
  sealedAt,
  withPut,
} from '../support/site-letters.js';
import { makeSites, type TestSite, type TestSites } from '../support/site-parts.js';

const { signal } = new AbortController();
const HOUR_MS = 3_600_000;

let sites: TestSites;
let a: TestSite;
let b: TestSite;

beforeEach(async () => {
  sites = await makeSites(['site-a', 'site-b']);
  a = sites.site('site-a');
  b = sites.site('site-b');
});
afterEach(() => sites.close());

const deliveryOf = (id: EnvelopeId) => a.context.deliveries.read(id);

it('for a peer whose software sends no receipts a delivery ends when it is handed over, and one that comes still counts', async () => {
  const trusting = await makeSites(['site-a', 'site-b'], (_site, peer) =>
    peer === 'site-b' ? { receipts: 'none' } : {},
  );
  try {
    const [from, to] = [trusting.site('site-a'), trusting.site('site-b')];
    const id = await from.send('site-b');
    await receipt(from.outbound, id, signal);
    expect(await from.context.deliveries.read(id)).toMatchObject({ receipt: 'waived' });
    await to.poll();
    await from.poll();
    expect(await from.context.deliveries.read(id)).toMatchObject({ receipt: 'verified' });
  } finally {
    await trusting.close();
  }
});

it('a receipt that comes by mail verifies the delivery, and nothing is owed for it', async () => {
  const id = await a.send('site-b');
  expect(await deliveryOf(id)).toMatchObject({ carriage: 'acknowledged', receipt: 'awaited' });
  await b.poll();
  expect((await b.context.receptions.read(id))?.progress).toBe('confirmed');
  expect([await lyingFor(b), await sealedAt(b)]).toEqual([[], []]);
  expect(await lyingFor(a)).toHaveLength(1);
  await a.poll();
  expect(await deliveryOf(id)).toMatchObject({ receipt: 'verified' });
  const [letter] = await lettersAt(a);
  expect(letter).toMatchObject({ progress: 'confirmed', receiptFor: id, senderId: 'site-b' });
  expect([letter?.quarantined, letter?.parked, letter?.lastError]).toEqual([undefined, undefined, undefined]);
  const { layout } = a.context;
  expect([await readdir(layout.inbox), await readdir(layout.staging), await readdir(layout.opened)]).toEqual([
    [],
    [],
    [],
  ]);
  expect(await areIdle(a, b)).toBe(true);
  expect(sites.pacs.stored.size).toBe(2);
});

it('what waits to be mailed is sealed once, and says the same at every attempt', async () => {
  const id = await a.send('site-b');
  const offline = b.process(withPut(b, lineDown));
  await offline.poll();
  expect(offline.postponed).toEqual([{ stage: 'confirm', id, code: 'PEER_UNREACHABLE' }]);
  const [before, receipt] = [await sealedAt(b), await receiptAt(b, id)];
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
  expect(await receiptAt(b, id)).toEqual(receipt);
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
  expect(await areIdle(a, b)).toBe(true);
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
    expect(await sealedAt(b)).toEqual([]);
    expect(await areIdle(a, b)).toBe(true);
  },
);

it('a letter that a crash left behind is swept with its study', async () => {
  const id = await a.send('site-b');
  await crashAfterMailing(id);
  await b.context.receptions.update(id, (record) => ({ ...record, progress: 'confirmed' }));
  expect(await sealedAt(b)).toHaveLength(1);
  b.time.ms += HOUR_MS;
  expect(await sweepReceptions(b.inbound, HOUR_MS)).toBe(1);
  expect(await sealedAt(b)).toEqual([]);
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
  expect(await areIdle(a, b)).toBe(true);
  await retryReception(b.inbound, id);
  await b.work();
  await a.poll();
  expect(await deliveryOf(id)).toMatchObject({ receipt: 'verified' });
  expect(await lettersAt(a)).toHaveLength(2);
  expect(await areIdle(a, b)).toBe(true);
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
  expect(await areIdle(a, b)).toBe(true);
});

it('a refusal that comes late takes nothing back', async () => {
  const id = await a.send('site-b');
  await b.poll();
  await a.poll();
  const proof = await a.context.deliveries.readDocument(id, RECEIPT_DOCUMENT);
  await mailTo(b, { ...(await honestReceipt(a, id)), outcome: 'refused', instances: [] });
  await a.poll();
  expect(await lettersAt(a)).toHaveLength(2);
  expect(await deliveryOf(id)).toMatchObject({ receipt: 'verified' });
  expect(await a.context.deliveries.readDocument(id, RECEIPT_DOCUMENT)).toEqual(proof);
});

it.each<[string, () => Partial<SiteContext>]>([
  ['verified', () => ({})],
  ['refused', strangersKey],
])('a letter that was lost is written again when the envelope comes again: %s', async (receipt, changes) => {
  const id = await a.send('site-b');
  await b.process(changes()).poll();
  const [lostLetter = ''] = await lyingFor(a);
  await rm(join(a.inboxFolder, lostLetter));
  await retryDelivery(a.outbound, id);
  await a.work();
  await b.process(changes()).poll();
  expect(await lyingFor(a)).not.toContain(lostLetter);
  await a.poll();
  expect(await deliveryOf(id)).toMatchObject({ receipt });
  expect([await sealedAt(b), (await b.context.receptions.ids()).length]).toEqual([[], 1]);
  expect(await areIdle(a, b)).toBe(true);
});

it('a letter that comes twice is answered neither time', async () => {
  await a.send('site-b');
  await b.poll();
  const [name = ''] = await lyingFor(a);
  const letter = await readFile(join(a.inboxFolder, name));
  await a.poll();
  await writeFile(join(a.inboxFolder, name), letter);
  await a.poll();
  expect(await lettersAt(a)).toHaveLength(1);
  expect(await areIdle(a, b)).toBe(true);
});

/** Mails the receipt for a reception, and dies before its record says so. */
async function crashAfterMailing(id: EnvelopeId): Promise<void> {
  await b.process(withPut(b, lineDown)).poll();
  const { receptions } = b.context;
  const dying = b.process({
    receptions: { ...receptions, update: () => Promise.reject(new Error('killed')) },
  });
  await expect(confirm(dying.inbound, id, signal)).rejects.toThrow('killed');
}

/** B has another key of A than A has. */
function strangersKey(): Partial<SiteContext> {
  const signingKeys = [generateKeyPairSync('ed25519').publicKey];
  const peers = new Map([['site-a', { ...peerOf(b, 'site-a'), signingKeys }]]);
  return { peers: Object.assign(peers, b.context.peers) };
}
