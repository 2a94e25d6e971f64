/** Shipping into a place between sites: time windows, lines that break, puts of which nobody knows what became. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { SiteContext } from '../../src/compose/site.js';
import { envelopeIdOf } from '../../src/domain/delivery.js';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import { GatewayError, toGatewayError } from '../../src/errors/gateway-error.js';
import { openEnvelopeArchive } from '../../src/jmix/envelope-archive.js';
import { parkDelivery } from '../../src/outbound/give-up.js';
import { recoverDeliveries } from '../../src/outbound/recover.js';
import { retryDelivery } from '../../src/outbound/retry.js';
import { ship } from '../../src/outbound/ship.js';
import { archiveName, partName } from '../../src/transport/exchange-names.js';
import type { Pace } from '../../src/transport/pace.js';
import type { Outbox } from '../../src/transport/transport.js';
import { makeSites, paceUntil, type TestSite, type TestSites } from '../support/site-parts.js';

const MIB = 1024 ** 2;
/** The folder transport resumes at multiples of this. */
const SYNC_STEP_BYTES = 8 * MIB;
const HOUR_MS = 3_600_000;
/** Local times; what the tests reckon with, whatever the time zone. */
const at = (hour: number, minute = 0) => new Date(2026, 1, 3, hour, minute).getTime();
const { signal } = new AbortController();
const NO_FACTS = expect.toSatisfy((facts: object) => Object.keys(facts).length === 0);

let sites: TestSites;
let a: TestSite;
let b: TestSite;

beforeEach(async () => {
  sites = await makeSites(['site-a', 'site-b'], (site) =>
    site === 'site-a' ? { windows: ['22:00-06:00'] } : {},
  );
  a = sites.site('site-a');
  b = sites.site('site-b');
  a.time.ms = at(23);
});
afterEach(async () => {
  vi.useRealTimers();
  await sites.close();
});

const lying = () => readdir(b.inboxFolder);
const deliveryOf = async (id: EnvelopeId) => {
  const found = await a.context.deliveries.read(id);
  if (found === undefined) throw new Error('there is no such delivery');
  return found;
};
const archiveBytes = async (id: EnvelopeId) => {
  const { sizeBytes, stream } = await openEnvelopeArchive(a.context.layout.sealedEnvelope(id));
  stream.destroy();
  return sizeBytes;
};
/** Ships as a process whose lines are different. */
const shipWith = (id: EnvelopeId, changes: Partial<SiteContext>, stop = signal) =>
  ship(a.process(changes).outbound, id, stop);
const paced = (pace: Pace | undefined) => ({ lines: { ...a.context.lines, paceTo: () => pace } });
const withOutbox = (change: (outbox: Outbox) => Partial<Outbox>) => {
  const { lines } = a.context;
  return {
    lines: {
      ...lines,
      outboxTo: (peerId: string) => ({ ...lines.outboxTo(peerId), ...change(lines.outboxTo(peerId)) }),
    },
  };
};

it('while the window is closed nothing is put, and the advice is to come when it opens', async () => {
  const id = await a.seal('site-b', 1_000);
  a.time.ms = at(12, 30);
  await expect(ship(a.outbound, id, signal)).rejects.toMatchObject({
    code: 'OUTSIDE_WINDOW',
    kind: 'transient',
    facts: { retryAfterMs: 9.5 * HOUR_MS },
  });
  expect(await lying()).toEqual([]);
  expect((await deliveryOf(id)).carriage).toBe('sealed');
  a.time.ms = at(22);
  await ship(a.outbound, id, signal);
  expect(await lying()).toEqual([archiveName(id)]);
});

it('an urgent study waits for no window', async () => {
  const id = await a.seal('site-b', 1_000, { priority: 'stat' });
  a.time.ms = at(12);
  await ship(a.outbound, id, signal);
  expect((await deliveryOf(id)).carriage).toBe('acknowledged');
});

it.each(['routine', 'low'] as const)('a %s study does', async (priority) => {
  const id = await a.seal('site-b', 1_000, { priority });
  a.time.ms = at(12);
  await expect(ship(a.outbound, id, signal)).rejects.toMatchObject({ code: 'OUTSIDE_WINDOW' });
});

it('a window that closes in the middle stops the transfer; the next one goes on, and no byte counts twice', async () => {
  const id = await a.seal('site-b', 20 * MIB);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const hanging = paceUntil(10 * MIB, () => {
    a.time.ms = at(30);
    vi.advanceTimersByTime(7 * HOUR_MS);
    return undefined;
  });
  await expect(shipWith(id, paced(hanging))).rejects.toMatchObject({
    code: 'OUTSIDE_WINDOW',
    facts: { retryAfterMs: 16 * HOUR_MS },
  });
  const firstBytes = (await stat(join(b.inboxFolder, partName(id)))).size;
  expect(firstBytes).toBeGreaterThan(SYNC_STEP_BYTES);
  expect((await deliveryOf(id)).carriage).toBe('sealed');

  a.time.ms = at(46);
  await ship(a.outbound, id, signal);
  expect(await deliveryOf(id)).toMatchObject({ carriage: 'acknowledged', sentBytes: await archiveBytes(id) });
  expect(await lying()).toEqual([archiveName(id)]);
});

it('being told to stop is CANCELLED, even with a window that closes some time', async () => {
  const id = await a.seal('site-b', 4 * MIB);
  const stop = new AbortController();
  const hanging = paceUntil(MIB, () => void stop.abort());
  await expect(shipWith(id, paced(hanging), stop.signal)).rejects.toMatchObject({ code: 'CANCELLED' });
});

it('a transfer that has ended leaves no timer behind', async () => {
  const id = await a.seal('site-b', 1_000);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  await ship(a.outbound, id, signal);
  expect(vi.getTimerCount()).toBe(0);
});

it('a line that broke after it carried something is tried again soon, as long as it gets on', async () => {
  const id = await a.seal('site-b', 40 * MIB);
  const lost = () =>
    new GatewayError('PEER_UNREACHABLE', 'the line broke', { facts: { errno: 'ECONNRESET' } });
  const soon = { code: 'PEER_UNREACHABLE', facts: { retryAfterMs: 1_000, errno: 'ECONNRESET' } };
  const tried = { code: 'PEER_UNREACHABLE', message: 'm', stage: 'ship', atMs: 1, attempt: 1 } as const;
  for (const _attempt of [1, 2, 3]) {
    await expect(shipWith(id, paced(paceUntil(10 * MIB, lost)))).rejects.toMatchObject(soon);
    await a.context.deliveries.update(id, (record) => ({ ...record, lastError: tried }));
  }
  expect((await deliveryOf(id)).carriage).toBe('sealed');
  expect((await deliveryOf(id)).sentBytes).toBeGreaterThan(SYNC_STEP_BYTES);
});

it('what has left and never arrives is no progress, however much it is', async () => {
  const id = await a.seal('site-b', 4 * MIB);
  const lost = () => new GatewayError('PEER_UNREACHABLE', 'the line broke');
  const tried = { code: 'PEER_UNREACHABLE', message: 'm', stage: 'ship', atMs: 1, attempt: 1 } as const;
  await a.context.deliveries.update(id, (record) => ({ ...record, lastError: tried }));
  // Below the first step that is synced, so the next attempt begins at 0 again.
  await expect(shipWith(id, paced(paceUntil(2 * MIB, lost)))).rejects.toMatchObject({ facts: NO_FACTS });
});

it('one that carried nothing is left to the growing waits of the queue', async () => {
  const id = await a.seal('site-b', 4 * MIB);
  const lost = () => new GatewayError('PEER_UNREACHABLE', 'the line broke');
  const broken = shipWith(id, paced(paceUntil(0, lost)));
  await expect(broken).rejects.toMatchObject({ code: 'PEER_UNREACHABLE', facts: NO_FACTS });
  expect((await deliveryOf(id)).sentBytes ?? 0).toBe(0);
});

it('a refusal is not softened by what was carried before it', async () => {
  const id = await a.seal('site-b', 4 * MIB);
  const refusal = () => new GatewayError('PEER_REFUSED', 'no');
  const refused = shipWith(id, paced(paceUntil(2 * MIB, refusal)));
  await expect(refused).rejects.toMatchObject({ code: 'PEER_REFUSED', facts: NO_FACTS });
});

it('a put that nobody confirmed is probed first, and not repeated when the envelope is there', async () => {
  const id = await a.seal('site-b', 1_000);
  const unconfirmed = withOutbox((outbox) => ({
    async put(envelope, options) {
      await outbox.put(envelope, options);
      throw new GatewayError('SHIP_UNCONFIRMED', 'nobody answered');
    },
  }));
  await expect(shipWith(id, unconfirmed)).rejects.toMatchObject({ code: 'SHIP_UNCONFIRMED' });
  expect((await deliveryOf(id)).carriage).toBe('sent');
  let puts = 0;
  const counting = withOutbox(() => ({
    async put() {
      puts += 1;
    },
  }));
  await shipWith(id, counting);
  expect(puts).toBe(0);
  expect((await deliveryOf(id)).carriage).toBe('acknowledged');
});

it('one that nobody confirmed and that is not there is put again', async () => {
  const id = await a.seal('site-b', 1_000, { carriage: 'sent' });
  await ship(a.outbound, id, signal);
  expect(await lying()).toEqual([archiveName(id)]);
});

it.each([
  ['sealed', 1],
  ['sent', 0],
] as const)('another envelope under the id of a %s one is refused, and stays', async (carriage, puts) => {
  const id = await a.seal('site-b', 1_000);
  await ship(a.outbound, id, signal);
  const before = await readFile(join(b.inboxFolder, archiveName(id)));
  // As after a restored backup: the same id, sealed with other keys.
  await a.seal('site-b', 1_000, { id });
  await a.context.deliveries.update(id, (record) => ({ ...record, carriage }));
  let tried = 0;
  const counting = withOutbox((outbox) => ({
    put(...args) {
      tried += 1;
      return outbox.put(...args);
    },
  }));
  await expect(shipWith(id, counting)).rejects.toMatchObject({ code: 'ENVELOPE_EXISTS', kind: 'permanent' });
  expect(tried).toBe(puts);
  expect(await readFile(join(b.inboxFolder, archiveName(id)))).toEqual(before);
  expect((await deliveryOf(id)).carriage).toBe(carriage);
});

it('a delivery that is parked for that goes out under another id when an operator says: again', async () => {
  const id = await a.seal('site-b', 1_000);
  const taken = withOutbox(() => ({
    put: () => Promise.reject(new GatewayError('ENVELOPE_EXISTS', 'I have one')),
    probe: async () => 'other' as const,
  }));
  const refused = await shipWith(id, taken).catch((error: unknown) => toGatewayError(error));
  await parkDelivery(a.outbound, 'ship', id, toGatewayError(refused));
  expect(await deliveryOf(id)).toMatchObject({ parked: { code: 'ENVELOPE_EXISTS' } });
  expect(await retryDelivery(a.outbound, id)).toBe(id);
  const delivery = await deliveryOf(id);
  expect(delivery).toMatchObject({ carriage: 'packed', formerEnvelopes: [{ id }] });
  expect(delivery.parked).toBeUndefined();
  expect(envelopeIdOf(delivery)).not.toBe(id);
  expect(a.jobs).toEqual([{ stage: 'seal', id }]);
});

it('a far side that says EXISTS and has this very envelope has acknowledged it', async () => {
  const id = await a.seal('site-b', 1_000);
  await ship(a.outbound, id, signal);
  await a.context.deliveries.update(id, (record) => ({ ...record, carriage: 'sealed' }));
  const saysExists = withOutbox(() => ({
    put: () => Promise.reject(new GatewayError('ENVELOPE_EXISTS', 'I have one')),
  }));
  await shipWith(id, saysExists);
  expect((await deliveryOf(id)).carriage).toBe('acknowledged');
});

it('the pace of the peer is what its bytes go through', async () => {
  const id = await a.seal('site-b', 3 * MIB);
  let used = 0;
  const counting = paceUntil(Number.MAX_SAFE_INTEGER, () => undefined);
  await shipWith(
    id,
    paced({
      ...counting,
      limiter() {
        used += 1;
        return counting.limiter();
      },
    }),
  );
  expect(used).toBe(1);
  expect(await deliveryOf(id)).toMatchObject({ sentBytes: await archiveBytes(id) });
});

it('what waits for a window is hurried when the window is open, or is no more, and not before', async () => {
  const id = await a.seal('site-b', 1_000);
  const closed = { code: 'OUTSIDE_WINDOW', message: 'm', stage: 'ship', atMs: 1, attempt: 1 } as const;
  await a.context.deliveries.update(id, (record) => ({ ...record, lastError: closed }));
  const hurried: EnvelopeId[] = [];
  const parts = { ...a.outbound, hurry: async (_stage: string, each: EnvelopeId) => void hurried.push(each) };
  a.time.ms = at(12);
  await recoverDeliveries(parts, [id]);
  expect(hurried).toEqual([]);
  a.time.ms = at(23);
  await recoverDeliveries(parts, [id]);
  expect(hurried).toEqual([id]);
});
