/** One envelope for several peers: sealed once, whoever comes first, and after that each delivery for itself. */
import { readdir } from 'node:fs/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Delivery, envelopeIdOf } from '../../src/domain/delivery.js';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import type { Peer } from '../../src/domain/peer.js';
import type { Route } from '../../src/domain/route.js';
import { GatewayError } from '../../src/errors/gateway-error.js';
import { readManifest } from '../../src/jmix/manifest.js';
import { parkDelivery } from '../../src/outbound/give-up.js';
import { pack, writeDraft } from '../../src/outbound/pack.js';
import { acceptReceipt } from '../../src/outbound/receipt.js';
import { recoverDeliveries, recoverFreezes } from '../../src/outbound/recover.js';
import { retryDelivery } from '../../src/outbound/retry.js';
import { seal } from '../../src/outbound/seal.js';
import { sealStudy } from '../../src/outbound/seal-study.js';
import { ship } from '../../src/outbound/ship.js';
import { sweepStudies } from '../../src/outbound/sweep.js';
import { readSealedFolder } from '../../src/spool/sealed-folder.js';
import { honestReceipt, peerOf, signedBy, withPut } from '../support/site-letters.js';
import { makeSites, type TestSite, type TestSites } from '../support/site-parts.js';
import { completeFor, gatherStudy, routeTo } from '../support/site-studies.js';

const { signal } = new AbortController();
const HOUR_MS = 3_600_000;
const RECEIVERS = ['site-b', 'site-c', 'site-d'];

let sites: TestSites;
let a: TestSite;

beforeEach(async () => {
  sites = await makeSites(['site-a', ...RECEIVERS]);
  a = sites.site('site-a');
});
afterEach(() => sites.close());

const deliveryOf = async (id: EnvelopeId): Promise<Delivery> => {
  const found = await a.context.deliveries.read(id);
  if (found === undefined) throw new Error('there is no such delivery');
  return found;
};
/** A study that is complete; its deliveries in the order of their peers. Nothing has been worked on yet. */
const complete = async (...routes: readonly Route[]) => {
  const all = routes.length === 0 ? [routeTo(...RECEIVERS)] : routes;
  const ids = await completeFor(a.outbound, await gatherStudy(a.outbound), ...all);
  a.jobs.length = 0;
  return ids;
};
const triple = async () => (await complete()) as readonly [EnvelopeId, EnvelopeId, EnvelopeId];
const packAll = async (ids: readonly EnvelopeId[]) => {
  for (const id of ids) await pack(a.outbound, id, signal);
  a.jobs.length = 0;
};
const sealed = () => readdir(a.context.layout.sealed);
const drafts = () => readdir(a.context.layout.drafts);
const receiversOf = async (id: EnvelopeId) =>
  (await readSealedFolder(a.context.layout, envelopeIdOf(await deliveryOf(id))))?.receiverIds;
const pollAll = async (...ids: readonly string[]) => {
  for (const id of ids) await sites.site(id).poll();
};
/** The process of a site whose config says something else of one peer. */
const withPeer = (id: string, change: Partial<Peer>) => {
  const { peers } = a.context;
  const changed = { ...peerOf(a, id), ...change };
  const get = (peerId: string) => (peerId === id ? changed : peers.get(peerId));
  return a.process({
    peers: new Proxy(peers, { get: (_, key) => (key === 'get' ? get : Reflect.get(peers, key)) }),
  });
};
/** A process that dies at its n-th change of a record. */
const dyingAt = (count: number) => {
  let left = count;
  const { deliveries } = a.context;
  return a.process({
    deliveries: {
      ...deliveries,
      update(id, change) {
        left -= 1;
        return left > 0 ? deliveries.update(id, change) : Promise.reject(new Error('killed'));
      },
    },
  });
};

it('a study for three peers lies sealed once on the disk, and each of them has it in its PACS', async () => {
  const ids = await triple();
  await recoverDeliveries(a.outbound, ids);
  await a.work();
  expect(await sealed()).toHaveLength(1);
  expect(await drafts()).toEqual([]);
  const deliveries = await Promise.all(ids.map(deliveryOf));
  expect(new Set(deliveries.map(envelopeIdOf)).size).toBe(1);
  expect(deliveries.map(({ id }) => id)).not.toContain(envelopeIdOf(deliveries[0] as Delivery));
  expect(await receiversOf(ids[0])).toEqual(RECEIVERS);
  await pollAll(...RECEIVERS, 'site-a');
  for (const id of ids) expect(await deliveryOf(id)).toMatchObject({ receipt: 'verified' });
  for (const id of RECEIVERS) expect(await readdir(sites.site(id).inboxFolder)).toEqual([]);
});

it('what proves each delivery is kept beside its record', async () => {
  const ids = await triple();
  await recoverDeliveries(a.outbound, ids);
  await a.work();
  for (const id of ids) {
    const manifest = await a.context.deliveries.readDocument(id, 'manifest.json');
    expect(readManifest(manifest ?? Buffer.alloc(0)).sha256).toBe(
      (await deliveryOf(id)).sealed?.manifestSha256,
    );
    expect(await a.context.deliveries.readDocument(id, 'manifest.jws')).toBeDefined();
    expect(await a.context.deliveries.readDocument(id, 'audit.json')).toBeDefined();
  }
});

it('two that seal the same envelope side by side end up with one, and both know which', async () => {
  const ids = await triple();
  await packAll(ids);
  const delivery = await deliveryOf(ids[0]);
  const envelopeId = delivery.shared?.id as EnvelopeId;
  const peers = RECEIVERS.map((id) => peerOf(a, id));
  const run = async () => {
    const draft = await writeDraft(a.outbound, delivery, signal);
    await sealStudy(a.outbound, envelopeId, peers, delivery, draft, signal);
    return readSealedFolder(a.context.layout, envelopeId);
  };
  const [one, two] = await Promise.all([run(), run()]);
  expect(one?.manifestSha256).toBe(two?.manifestSha256);
  expect(await readdir(a.context.layout.scratch)).toEqual([]);
});

it('a seal that is run twice at once leaves every record with the envelope that lies there', async () => {
  const ids = await triple();
  await packAll(ids);
  await Promise.all([seal(a.outbound, ids[0], signal), seal(a.outbound, ids[0], signal)]);
  const { manifestSha256 } =
    (await readSealedFolder(a.context.layout, envelopeIdOf(await deliveryOf(ids[0])))) ?? {};
  for (const id of ids) {
    expect(await deliveryOf(id)).toMatchObject({ carriage: 'sealed', sealed: { manifestSha256 } });
  }
});

it('the others wait for the first, and are put to work when it has sealed', async () => {
  const ids = await triple();
  await packAll(ids);
  await seal(a.outbound, ids[2], signal);
  expect([await sealed(), a.jobs]).toEqual([[], []]);
  await seal(a.outbound, ids[0], signal);
  expect(a.jobs.filter(({ stage }) => stage === 'ship').map(({ id }) => id)).toEqual([
    ids[1],
    ids[2],
    ids[0],
  ]);
});

it('one that has not been packed yet is told as well, and its late pack changes nothing', async () => {
  const ids = await triple();
  await pack(a.outbound, ids[0], signal);
  await seal(a.outbound, ids[0], signal);
  expect(await deliveryOf(ids[1])).toMatchObject({ carriage: 'sealed' });
  await pack(a.outbound, ids[1], signal);
  expect(await deliveryOf(ids[1])).toMatchObject({ carriage: 'sealed' });
  await a.work();
  expect(await deliveryOf(ids[1])).toMatchObject({ carriage: 'acknowledged' });
  expect(await drafts()).toEqual([]);
});

it.each([1, 2, 3])('a worker that dies at its %ith record makes no second envelope', async (count) => {
  const ids = await triple();
  await packAll(ids);
  await expect(seal(dyingAt(count).outbound, ids[0], signal)).rejects.toThrow('killed');
  const before = await readSealedFolder(
    a.context.layout,
    (await deliveryOf(ids[0])).shared?.id as EnvelopeId,
  );
  expect(before).toBeDefined();
  await recoverDeliveries(a.outbound, ids);
  await a.work();
  for (const id of ids) {
    expect(await deliveryOf(id)).toMatchObject({
      carriage: 'acknowledged',
      sealed: { manifestSha256: before?.manifestSha256 },
    });
  }
  expect(await sealed()).toHaveLength(1);
});

it('a crash between the freeze and its records is made up for, with the same shared envelope', async () => {
  const { deliveries } = a.context;
  let left = 1;
  const create = (record: Delivery) => {
    left -= 1;
    return left >= 0 ? deliveries.create(record) : Promise.reject(new Error('killed'));
  };
  const key = await gatherStudy(a.outbound);
  const dying = a.process({ deliveries: { ...deliveries, create } });
  await expect(completeFor(dying.outbound, key, routeTo(...RECEIVERS))).rejects.toThrow('killed');
  const records = async () =>
    (await Promise.all((await deliveries.ids()).map(deliveries.read))).filter(Boolean);
  expect(await records()).toHaveLength(1);
  await recoverFreezes(a.outbound);
  await recoverDeliveries(a.outbound, await deliveries.ids());
  await a.work();
  expect(await records()).toHaveLength(3);
  expect(await sealed()).toHaveLength(1);
});

it('a parked one holds nobody up, and has its part when it is let go', async () => {
  const ids = await triple();
  await packAll(ids);
  await parkDelivery(a.outbound, 'seal', ids[0], new GatewayError('PEER_REFUSED', 'no'));
  expect(a.jobs.map(({ id }) => id)).toEqual([ids[1], ids[2]]);
  await a.work();
  expect(await deliveryOf(ids[1])).toMatchObject({ carriage: 'acknowledged' });
  expect(await deliveryOf(ids[0])).toMatchObject({ carriage: 'packed', parked: { code: 'PEER_REFUSED' } });
  await retryDelivery(a.outbound, ids[0]);
  await a.work();
  expect(await deliveryOf(ids[0])).toMatchObject({ carriage: 'acknowledged' });
  expect(await sealed()).toHaveLength(1);
  await pollAll(...RECEIVERS, 'site-a');
  expect(await deliveryOf(ids[0])).toMatchObject({ receipt: 'verified' });
});

it('a peer that lost its key since parks alone; one that speaks another dialect since has an envelope alone', async () => {
  const [b, c, d] = await triple();
  const { encryptionKey: _lost, ...keyless } = peerOf(a, 'site-c');
  const process = withPeer('site-c', { ...keyless, encryptionKey: undefined } as unknown as Partial<Peer>);
  await recoverDeliveries(process.outbound, [b, c, d]);
  await process.work();
  expect(await deliveryOf(c)).toMatchObject({ parked: { code: 'PEER_REFUSED', stage: 'seal' } });
  expect(await receiversOf(b)).toEqual(['site-b', 'site-d']);
  expect(await deliveryOf(d)).toMatchObject({ carriage: 'acknowledged' });
  const later = withPeer('site-c', { dialect: 'php' });
  await retryDelivery(later.outbound, c);
  await later.work();
  expect(await receiversOf(c)).toEqual(['site-c']);
  expect(envelopeIdOf(await deliveryOf(c))).toBe(c);
});

it('one peer that refuses is sent a new envelope, alone; the others keep theirs', async () => {
  const [b, c, d] = await triple();
  await recoverDeliveries(a.outbound, [b, c, d]);
  await a.work();
  const honest = await honestReceipt(a, c);
  const refusal = {
    ...honest,
    envelope_id: envelopeIdOf(await deliveryOf(c)),
    receiver: { id: 'site-c', name: 'C' },
    outcome: 'refused' as const,
    reason: { code: 'PACS_REFUSED', message: 'no' },
    instances: [],
  };
  await acceptReceipt(
    a.outbound,
    'site-c',
    envelopeIdOf(await deliveryOf(c)),
    signedBy(sites.site('site-c'), refusal),
  );
  expect(await deliveryOf(c)).toMatchObject({ receipt: 'refused' });
  expect(await deliveryOf(b)).toMatchObject({ receipt: 'awaited' });
  const again = await retryDelivery(a.outbound, c);
  await a.work();
  expect((await deliveryOf(again)).shared).toBeUndefined();
  expect(envelopeIdOf(await deliveryOf(again))).toBe(again);
  expect(await receiversOf(again)).toEqual(['site-c']);
  await pollAll(...RECEIVERS, 'site-a');
  for (const id of [b, again, d]) expect(await deliveryOf(id)).toMatchObject({ receipt: 'verified' });
});

it('a peer cannot confirm for another one, whatever it signs', async () => {
  const [b, c] = await triple();
  await recoverDeliveries(a.outbound, [b, c]);
  await a.work();
  const envelopeId = envelopeIdOf(await deliveryOf(c));
  const honest = { ...(await honestReceipt(a, c)), envelope_id: envelopeId };
  const ofB = { ...honest, receiver: { id: 'site-b', name: 'B' } };
  const ofC = { ...honest, receiver: { id: 'site-c', name: 'C' } };
  const siteB = sites.site('site-b');
  const invalid = { code: 'RECEIPT_INVALID' };
  // As itself and as the other, signed by B; and B's own one, brought by C.
  await expect(acceptReceipt(a.outbound, 'site-b', envelopeId, signedBy(siteB, ofC))).rejects.toMatchObject(
    invalid,
  );
  await expect(acceptReceipt(a.outbound, 'site-c', envelopeId, signedBy(siteB, ofC))).rejects.toMatchObject(
    invalid,
  );
  await expect(acceptReceipt(a.outbound, 'site-c', envelopeId, signedBy(siteB, ofB))).rejects.toMatchObject(
    invalid,
  );
  // Nor under an id that is not its own.
  for (const id of [b, c]) {
    await expect(acceptReceipt(a.outbound, 'site-b', id, signedBy(siteB, ofB))).rejects.toMatchObject({
      code: 'ENVELOPE_NOT_FOUND',
    });
  }
  await acceptReceipt(a.outbound, 'site-b', envelopeId, signedBy(siteB, ofB));
  expect([(await deliveryOf(b)).receipt, (await deliveryOf(c)).receipt]).toEqual(['verified', 'awaited']);
});

it('a receipt that overtakes the word of its own envelope counts, also for a parked one', async () => {
  const ids = await triple();
  await packAll(ids);
  // Told nobody, as when it died; a hub may have passed the envelope on by now.
  await expect(seal(dyingAt(1).outbound, ids[0], signal)).rejects.toThrow('killed');
  await parkDelivery(a.outbound, 'ship', ids[1], new GatewayError('PEER_REFUSED', 'no'));
  const envelopeId = (await deliveryOf(ids[1])).shared?.id as EnvelopeId;
  const envelope = await readSealedFolder(a.context.layout, envelopeId);
  const receipt = {
    ...(await honestReceipt(a, ids[1])),
    envelope_id: envelopeId,
    manifest_sha256: envelope?.manifestSha256 ?? '',
    receiver: { id: 'site-c', name: 'C' },
  };
  await acceptReceipt(a.outbound, 'site-c', envelopeId, signedBy(sites.site('site-c'), receipt));
  expect(await deliveryOf(ids[1])).toMatchObject({ receipt: 'verified', sealed: { envelopeId } });
});

it('a line that is down keeps one peer waiting, and the study with it; it goes when the last one is verified', async () => {
  const [b, c, d] = await triple();
  const offline = a.process(
    withPut(
      a,
      (real) => (envelope, options) =>
        readdir(sites.site('site-c').inboxFolder).then(() => real.put(envelope, options)),
    ),
  );
  await recoverDeliveries(offline.outbound, [b, d]);
  await offline.work();
  await pollAll('site-b', 'site-d', 'site-a');
  await ship(a.outbound, c, signal).catch(() => undefined);
  a.time.ms += 48 * HOUR_MS;
  expect(await sweepStudies(a.outbound, HOUR_MS)).toBe(0);
  expect(await sealed()).toHaveLength(1);
  await a.work();
  await pollAll('site-c', 'site-a');
  expect((await deliveryOf(c)).receipt).toBe('verified');
  a.time.ms += 2 * HOUR_MS;
  expect(await sweepStudies(a.outbound, HOUR_MS)).toBe(1);
  expect(await sealed()).toEqual([]);
});

it('what a hub has already, since it came for another peer, is not sent to it again', async () => {
  const ids = await triple();
  let puts = 0;
  let isThere = false;
  const { lines } = a.context;
  const outboxTo = () => ({
    put: async () => {
      puts += 1;
      isThere = true;
    },
    probe: async () => (isThere ? ('same' as const) : ('absent' as const)),
  });
  const process = a.process({ lines: { ...lines, outboxTo } });
  await recoverDeliveries(process.outbound, ids);
  await process.work();
  for (const id of ids) expect(await deliveryOf(id)).toMatchObject({ carriage: 'acknowledged' });
  expect(puts).toBe(1);
});

it.each([
  new GatewayError('QUOTA_EXCEEDED', 'the inbox of site-c is full'),
  new GatewayError('PEER_REFUSED', 'no member', { facts: { peerCode: 'RECIPIENT_MISMATCH' } }),
])('what a hub does not take because of another receiver goes to this one alone: $code', async (refusal) => {
  const ids = await triple();
  await packAll(ids);
  await seal(a.outbound, ids[0], signal);
  const full = a.process(
    withPut(a, (real) => (envelope, options) => {
      const isShared = envelope.id === sharedId;
      return isShared ? Promise.reject(refusal) : real.put(envelope, options);
    }),
  );
  const sharedId = (await deliveryOf(ids[0])).shared?.id;
  await ship(full.outbound, ids[0], signal);
  await full.work();
  expect(await deliveryOf(ids[0])).toMatchObject({ carriage: 'acknowledged' });
  expect(await receiversOf(ids[0])).toEqual(['site-b']);
  expect(await deliveryOf(ids[1])).toMatchObject({ carriage: 'sealed', sealed: { envelopeId: sharedId } });
});

it('what a peer refuses of an envelope of its own is no reason to seal it again', async () => {
  const [id] = await complete(routeTo('site-b'));
  if (id === undefined) throw new Error('nothing was sent');
  await packAll([id]);
  await seal(a.outbound, id, signal);
  const full = a.process(withPut(a, () => () => Promise.reject(new GatewayError('QUOTA_EXCEEDED', 'full'))));
  await expect(ship(full.outbound, id, signal)).rejects.toMatchObject({ code: 'QUOTA_EXCEEDED' });
  expect(await deliveryOf(id)).toMatchObject({ carriage: 'sealed' });
});
