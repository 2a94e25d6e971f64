/** Envelopes whose assertion expires before they are there: sealed again under another id, and never sent too late. */
import { readdir } from 'node:fs/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { SiteContext } from '../../src/compose/site.js';
import { type Delivery, envelopeIdOf } from '../../src/domain/delivery.js';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import { GatewayError } from '../../src/errors/gateway-error.js';
import { acceptReceipt } from '../../src/outbound/receipt.js';
import { recoverDeliveries } from '../../src/outbound/recover.js';
import { ship } from '../../src/outbound/ship.js';
import { sweepStudies } from '../../src/outbound/sweep.js';
import { readSealedFolder } from '../../src/spool/sealed-folder.js';
import { archiveName } from '../../src/transport/exchange-names.js';
import { honestReceipt, signedBy, withPut } from '../support/site-letters.js';
import { makeSites, type SiteProcess, type TestSite, type TestSites } from '../support/site-parts.js';
import { completeFor, gatherStudy, routeTo } from '../support/site-studies.js';

const { signal } = new AbortController();
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

let sites: TestSites;
let a: TestSite;
let expiring: Partial<SiteContext>;
let process: SiteProcess;

beforeEach(async () => {
  sites = await makeSites(['site-a', 'site-b', 'site-c']);
  a = sites.site('site-a');
  const { settings } = a.context;
  expiring = { settings: { ...settings, trust: { ...settings.trust, assertionDays: 2 } } };
  process = a.process(expiring);
});
afterEach(() => sites.close());

const deliveryOf = async (id: EnvelopeId): Promise<Delivery> => {
  const found = await a.context.deliveries.read(id);
  if (found === undefined) throw new Error('there is no such delivery');
  return found;
};
const down = () => () => Promise.reject(new GatewayError('PEER_UNREACHABLE', 'the line is down'));
/** Sealed, and not sent: the line is down. */
const stranded = async (...peerIds: readonly string[]) => {
  const ids = await completeFor(process.outbound, await gatherStudy(a.outbound), routeTo(...peerIds));
  const offline = a.process({ ...expiring, ...withPut(a, down) });
  await recoverDeliveries(offline.outbound, ids);
  await offline.work();
  return ids as readonly [EnvelopeId, ...EnvelopeId[]];
};
const lying = (id: string) => readdir(sites.site(id).inboxFolder);
const goOn = async (...ids: readonly EnvelopeId[]) => {
  await recoverDeliveries(process.outbound, ids);
  await process.work();
};

it('what can go in time goes as it was sealed', async () => {
  const [id] = await stranded('site-b');
  a.time.ms += 2 * DAY_MS - HOUR_MS;
  await goOn(id);
  expect(await deliveryOf(id)).toMatchObject({ carriage: 'acknowledged' });
  expect(await lying('site-b')).toEqual([archiveName(id)]);
});

it('what expires within minutes is sealed again, and goes under another id', async () => {
  const [id] = await stranded('site-b');
  a.time.ms += 2 * DAY_MS - 10 * MINUTE_MS;
  await goOn(id);
  const delivery = await deliveryOf(id);
  expect(delivery.steps.map(({ event }) => event)).toEqual([
    'packed',
    'sealed',
    'withdrawn',
    'sealed',
    'sent',
    'acknowledged',
  ]);
  expect(envelopeIdOf(delivery)).not.toBe(id);
  expect(await lying('site-b')).toEqual([archiveName(envelopeIdOf(delivery))]);
  const b = sites.site('site-b');
  b.time.ms = a.time.ms;
  await b.poll();
  await a.poll();
  expect(await deliveryOf(id)).toMatchObject({ receipt: 'verified' });
  a.time.ms += HOUR_MS;
  expect(await sweepStudies(a.outbound, MINUTE_MS)).toBe(1);
  expect(await readdir(a.context.layout.sealed)).toEqual([]);
});

it('a crash at any of its steps ends with one envelope there', async () => {
  const [id] = await stranded('site-b');
  a.time.ms += 3 * DAY_MS;
  const { deliveries } = a.context;
  const update = () => Promise.reject(new Error('killed'));
  const dying = a.process({ ...expiring, deliveries: { ...deliveries, update } });
  await expect(ship(dying.outbound, id, signal)).rejects.toThrow('killed');
  expect(await deliveryOf(id)).toMatchObject({ carriage: 'sealed' });
  await ship(process.outbound, id, signal);
  expect(await deliveryOf(id)).toMatchObject({ carriage: 'packed' });
  process.jobs.length = 0;
  await goOn(id);
  expect(await deliveryOf(id)).toMatchObject({ carriage: 'acknowledged' });
  expect(await lying('site-b')).toHaveLength(1);
});

it('one that nobody confirmed and that is there is acknowledged, however old', async () => {
  const [id] = await stranded('site-b');
  const unconfirmed = withPut(a, (real) => async (envelope, options) => {
    await real.put(envelope, options);
    throw new GatewayError('SHIP_UNCONFIRMED', 'nobody answered');
  });
  const failing = ship(a.process({ ...expiring, ...unconfirmed }).outbound, id, signal);
  await expect(failing).rejects.toMatchObject({ code: 'SHIP_UNCONFIRMED' });
  a.time.ms += 3 * DAY_MS;
  await goOn(id);
  expect(await deliveryOf(id)).toMatchObject({ carriage: 'acknowledged' });
  expect(envelopeIdOf(await deliveryOf(id))).toBe(id);
});

it('the receipt of an envelope that we took for lost counts, its refusal does not', async () => {
  const [id] = await stranded('site-b');
  const receipt = await honestReceipt(a, id);
  const { manifestSha256 } = (await readSealedFolder(a.context.layout, id)) ?? {};
  a.time.ms += 3 * DAY_MS;
  await ship(process.outbound, id, signal);
  const siteB = sites.site('site-b');
  const refusal = {
    ...receipt,
    outcome: 'refused' as const,
    reason: { code: 'ASSERTION_EXPIRED', message: 'old' },
    instances: [],
  };
  await acceptReceipt(process.outbound, 'site-b', id, signedBy(siteB, refusal));
  expect(await deliveryOf(id)).toMatchObject({ carriage: 'packed', receipt: 'awaited' });
  await process.work();
  await acceptReceipt(process.outbound, 'site-b', id, signedBy(siteB, refusal));
  expect(await deliveryOf(id)).toMatchObject({ carriage: 'acknowledged', receipt: 'awaited' });
  const forged = { ...receipt, manifest_sha256: '0'.repeat(64) };
  await expect(acceptReceipt(process.outbound, 'site-b', id, signedBy(siteB, forged))).rejects.toMatchObject({
    code: 'RECEIPT_INVALID',
  });
  await acceptReceipt(process.outbound, 'site-b', id, signedBy(siteB, receipt));
  expect(await deliveryOf(id)).toMatchObject({ receipt: 'verified' });
  // What proves it is what the receipt is about.
  const kept = await a.context.deliveries.readDocument(id, 'manifest.json');
  const former = await readSealedFolder(a.context.layout, id);
  expect([kept, former?.manifestSha256]).toEqual([former?.documents.get('manifest.json'), manifestSha256]);
});

it('of several that share one, only that which was not sent is sealed again, alone', async () => {
  const ids = await stranded('site-b', 'site-c');
  const [b, c] = ids as unknown as readonly [EnvelopeId, EnvelopeId];
  await ship(process.outbound, b, signal);
  a.time.ms += 3 * DAY_MS;
  await ship(process.outbound, c, signal);
  await process.work();
  expect(envelopeIdOf(await deliveryOf(b))).toBe((await deliveryOf(b)).shared?.id);
  const again = await deliveryOf(c);
  const envelope = await readSealedFolder(a.context.layout, envelopeIdOf(again));
  expect(envelope?.receiverIds).toEqual(['site-c']);
  expect(await lying('site-c')).toEqual([archiveName(envelopeIdOf(again))]);
});
