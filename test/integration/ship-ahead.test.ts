/** Envelopes that leave, but for their ends, while their studies are quiet. Two sites and a real line of HTTPS between them. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createAhead } from '../../src/compose/ahead.js';
import type { Delivery } from '../../src/domain/delivery.js';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import type { Peer } from '../../src/domain/peer.js';
import { createPeerApp } from '../../src/http/peer-app.js';
import { type HttpListener, listenTls } from '../../src/http/server.js';
import { createReceiver } from '../../src/inbound/receive.js';
import { silentLog } from '../../src/observe/log.js';
import { type CompletionParts, completeStudy } from '../../src/outbound/complete-study.js';
import { recoverDeliveries } from '../../src/outbound/recover.js';
import { createSealedAhead } from '../../src/outbound/seal-ahead.js';
import { createShippedAhead, type ShippedAheadOptions } from '../../src/outbound/ship-ahead.js';
import { identifyPeer } from '../../src/trust/peers.js';
import { type CuttingProxy, startCuttingProxy } from '../support/cutting-proxy.js';
import { createFakePeerApi, fakeDelivery } from '../support/fake-operations.js';
import { freePort } from '../support/ports.js';
import { peerOf } from '../support/site-letters.js';
import { makeSites, type TestSite, type TestSites } from '../support/site-parts.js';
import { gatherStudy, routeTo } from '../support/site-studies.js';
import { until } from '../support/until.js';

/** Two slices of this make more than a MiB, which the far side opens while it comes. */
const ROWS = 600;
const LATER_MS = 60_000;
const LEFT_MS = 10_000;

let sites: TestSites;
let a: TestSite;
let b: TestSite;
let line: CuttingProxy;
let listeners: HttpListener[];
let parts: CompletionParts;
/** Comes before site-b takes an upload's bytes, and before it answers. */
let beforeBody: () => Promise<void>;
let beforeAnswer: () => Promise<void>;
let uploads: number;

beforeEach(() => openSites('site-b'));
afterEach(closeSites);

/** Site-a, and these receivers; what goes to site-b goes over the line. */
async function openSites(...receivers: readonly string[]): Promise<void> {
  const ports = new Map<string, number>();
  for (const id of receivers) ports.set(id, await freePort());
  const [port = 0] = ports.values();
  line = await startCuttingProxy({ target: { port } });
  const urlOf = (id: string) => `https://${id === 'site-b' ? line.host : '127.0.0.1'}:${ports.get(id)}`;
  sites = await makeSites(['site-a', ...receivers], (site, peer) =>
    site === 'site-a' ? { via: undefined, url: urlOf(peer) } : {},
  );
  a = sites.site('site-a');
  b = sites.site('site-b');
  beforeBody = () => Promise.resolve();
  beforeAnswer = () => Promise.resolve();
  uploads = 0;
  listeners = await Promise.all([...ports].map(([id, each]) => listen(sites.site(id), each)));
  start();
}

async function closeSites(): Promise<void> {
  await close();
  await line.stop();
  await Promise.all(listeners.map((listener) => listener.close(0)));
  await sites.close();
}

/** A site, as other bridges see it. */
function listen({ context, inbound }: TestSite, port: number): Promise<HttpListener> {
  const { keys, peers, receptions } = context;
  const receive = createReceiver(inbound);
  return listenTls({
    host: '127.0.0.1',
    port,
    certificate: keys.tls.certificate,
    privateKey: keys.tls.privateKey,
    authorities: [],
    app: createPeerApp(
      {
        ...createFakePeerApi(),
        identify: (certificate) => identifyPeer(peers, certificate)?.id,
        async receive({ peerId, ...upload }) {
          uploads += 1;
          await beforeBody();
          const received = await receive({ from: { peerId }, ...upload });
          await beforeAnswer();
          return received;
        },
        async probe(_peerId, id) {
          const held = await receptions.read(id);
          return held && { manifestSha256: held.manifestSha256 };
        },
      },
      { log: silentLog, maxEnvelopeBytes: 1024 ** 3 },
    ),
  });
}

/** A gateway of site-a. */
function start(
  options: Partial<ShippedAheadOptions> = {},
  change: Partial<Peer> = {},
  to: readonly string[] = ['site-b'],
): void {
  const outbound = { ...a.process({ peers: peersWith(change) }).outbound, enqueue: a.outbound.enqueue };
  const routes = [routeTo(...to)];
  const shippedAhead = createShippedAhead(outbound, { isAwaited: () => false, ...options });
  const sealedAhead = createSealedAhead({ ...outbound, routes }, shippedAhead);
  parts = { ...outbound, routes, sealedAhead, shippedAhead };
}

/** A gateway of site-a whose config says so, and which has these deliveries. */
function startAs(wish: 'ship' | 'seal' | 'no', ...deliveries: readonly Delivery[]): void {
  const routes = [routeTo('site-b')];
  const index = {
    all: () => deliveries,
    get: () => undefined,
    put: () => undefined,
    refresh: async () => false,
  };
  parts = { ...a.outbound, routes, ...createAhead({ ...a.outbound, routes }, wish, index) };
}

async function close(): Promise<void> {
  await parts.sealedAhead?.close();
  await parts.shippedAhead?.close();
}

function peersWith(change: Partial<Peer>) {
  const { peers } = a.context;
  const changed = { ...peerOf(a, 'site-b'), ...change };
  const get = (id: string) => (id === 'site-b' ? changed : peers.get(id));
  return new Proxy(peers, {
    get: (_, name) => (name === 'get' ? get : Reflect.get(peers, name).bind(peers)),
  });
}

const studyOf = async (key: string) => {
  const study = await parts.studies.find(key);
  if (study === undefined) throw new Error('there is no such study');
  return study;
};
const gather = async (more: Parameters<typeof gatherStudy>[1] = {}) => {
  const key = await gatherStudy(parts, { rows: ROWS, ...more });
  a.time.ms += LATER_MS;
  return key;
};
/** What the clock of a gateway does, until the study's envelope is sealed, and once more. */
const beQuiet = async (key: string, leftMs = LEFT_MS) => {
  const study = await studyOf(key);
  const isSealed = () => logged('envelope.sealed_ahead').some((each) => each['study'] === key);
  await until(() => {
    parts.sealedAhead?.begin(study, 0.5, leftMs);
    return isSealed();
  });
  await nextTurn();
  parts.sealedAhead?.begin(study, 0.5, leftMs);
};
const complete = async (key: string) => {
  const [id] = await completeStudy(parts, await studyOf(key), 'quiet');
  return id as EnvelopeId;
};
const logged = (event: string) => a.logged.filter((each) => each.event === event);
const recordOf = (id: EnvelopeId) => a.context.deliveries.read(id);
const receptionOf = (id: EnvelopeId) => b.context.receptions.read(id);
const filesIn = async (folder: string) =>
  (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
const left = async () => {
  const { scratch, staging, opened, inbox } = b.context.layout;
  return (await Promise.all([scratch, staging, opened, inbox].map(filesIn))).flat();
};
/** Whoever comes to the door waits until the function is called that this returns. */
const holdUp = (put: (door: () => Promise<void>) => void): (() => void) => {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  put(() => opened);
  return open;
};
/** All of the payload is at site-b, opened, and nobody has heard of it. */
const held = () =>
  until(async () => {
    const files = await filesIn(b.context.layout.scratch);
    const instances = files.filter(({ name }) => name.endsWith('.dcm'));
    const [payload] = files.filter(({ name }) => name === 'payload.encrypted');
    if (instances.length < 2 || payload === undefined) return false;
    const { size } = await stat(join(payload.parentPath, payload.name));
    return size > 2 * ROWS * ROWS * 2 && line.carried.control.up > size;
  });

it('what has left is kept, and acknowledged, when the study is complete; no job ships it', async () => {
  const key = await gather();
  await beQuiet(key);
  await held();
  expect(await b.context.receptions.ids()).toEqual([]);
  expect(await a.context.deliveries.ids()).toEqual([]);
  const sent = line.carried.control.up;
  const id = await complete(key);
  await until(async () => (await recordOf(id))?.carriage === 'acknowledged');
  expect(line.carried.control.up - sent).toBeLessThan(4096);
  await until(() => a.jobs.length > 0);
  expect(a.jobs).toEqual([{ stage: 'receipt', id }]);
  const { sentBytes, steps } = (await recordOf(id)) ?? {};
  expect(sentBytes).toBeGreaterThan(2 * ROWS * ROWS * 2);
  expect(steps?.map(({ event }) => event)).toEqual(['packed', 'sealed', 'sent', 'acknowledged']);
  expect(await receptionOf(id)).toMatchObject({ revision: 1, progress: 'verified', instanceCount: 2 });
  await b.work();
  await a.poll();
  expect(await recordOf(id)).toMatchObject({ receipt: 'verified', custody: 'whole' });
  expect(uploads).toBe(1);
});

it('each receiver of one envelope gets it ahead', async () => {
  await closeSites();
  await openSites('site-b', 'site-c');
  start({}, {}, ['site-b', 'site-c']);
  const key = await gather();
  await beQuiet(key);
  await held();
  const ids = await completeStudy(parts, await studyOf(key), 'quiet');
  await until(() => a.jobs.length === 2);
  expect(new Set(a.jobs.map(({ stage, id }) => `${stage} ${id}`))).toEqual(
    new Set(ids.map((id) => `receipt ${id}`)),
  );
  for (const id of ids) {
    const record = await recordOf(id);
    expect(record).toMatchObject({ carriage: 'acknowledged' });
    const { receptions } = sites.site(record?.peerId ?? '').context;
    expect(await receptions.ids()).toEqual([record?.shared?.id]);
  }
  expect(uploads).toBe(2);
});

it('an instance that comes meanwhile breaks it off, and nothing of it stays there', async () => {
  const key = await gather();
  await beQuiet(key);
  await held();
  await gather({ slices: 3, skip: 2 });
  await until(async () => (await left()).length === 0);
  expect(await b.context.receptions.ids()).toEqual([]);
  const id = await complete(key);
  expect(a.jobs).toEqual([{ stage: 'pack', id }]);
  await a.work();
  await b.work();
  expect(await receptionOf(id)).toMatchObject({ progress: 'confirmed', instanceCount: 3 });
});

it('a freeze that fails breaks it off', async () => {
  const key = await gather();
  await beQuiet(key);
  await held();
  const studies = { ...parts.studies, freeze: () => Promise.reject(new Error('disk full')) };
  await expect(completeStudy({ ...parts, studies }, await studyOf(key), 'quiet')).rejects.toThrow(
    'disk full',
  );
  await until(async () => (await left()).length === 0);
});

it('a gateway that stops breaks it off; what has a record goes on its queue', async () => {
  const [one, two] = [await gather(), await gather({ seed: 2 })];
  await beQuiet(one);
  await held();
  const answer = holdUp((door) => {
    beforeAnswer = door;
  });
  const id = await complete(one);
  await until(async () => (await receptionOf(id)) !== undefined);
  await beQuiet(two);
  await close();
  answer();
  expect(a.jobs).toEqual([{ stage: 'ship', id }]);
  beforeAnswer = () => Promise.resolve();
  await a.work();
  expect(await recordOf(id)).toMatchObject({ carriage: 'acknowledged' });
  await until(async () => (await readdir(b.context.layout.scratch)).length === 0);
  expect(await b.context.receptions.ids()).toEqual([id]);
});

it('a line that breaks while the end is held back leaves it to the step that ships', async () => {
  const key = await gather();
  await beQuiet(key);
  await held();
  line.cutNow();
  await until(async () => (await left()).length === 0);
  const id = await complete(key);
  await until(() => a.jobs.length > 0);
  expect(a.jobs).toEqual([{ stage: 'ship', id }]);
  await a.work();
  expect(await recordOf(id)).toMatchObject({ carriage: 'acknowledged' });
});

it('a line that breaks before the answer has it asked for, not sent again', async () => {
  const key = await gather();
  await beQuiet(key);
  await held();
  beforeAnswer = async () => {
    line.cutNow();
  };
  const id = await complete(key);
  await until(() => a.jobs.length > 0);
  expect(a.jobs).toEqual([{ stage: 'ship', id }]);
  expect(await recordOf(id)).toMatchObject({ carriage: 'sent' });
  await a.work();
  expect(await recordOf(id)).toMatchObject({ carriage: 'acknowledged' });
  expect(uploads).toBe(1);
});

it('while its end is on the way, recovery leaves it alone', async () => {
  const key = await gather();
  await beQuiet(key);
  await held();
  const answer = holdUp((door) => {
    beforeAnswer = door;
  });
  const id = await complete(key);
  await until(async () => (await receptionOf(id)) !== undefined);
  expect(await recoverDeliveries(parts, [id])).toBe(1);
  expect(a.jobs).toEqual([]);
  answer();
  await until(() => a.jobs.length > 0);
  expect(a.jobs).toEqual([{ stage: 'receipt', id }]);
});

it('a study that is complete before all has left is sent to its end', async () => {
  const read = holdUp((door) => {
    beforeBody = door;
  });
  const key = await gather();
  await beQuiet(key);
  await until(() => line.carried.control.up > 64 * 1024);
  const id = await complete(key);
  expect(a.jobs).toEqual([]);
  read();
  await until(async () => (await recordOf(id))?.carriage === 'acknowledged');
  expect(await receptionOf(id)).toMatchObject({ progress: 'verified' });
});

it('an end is not held back for ever', async () => {
  start({ longestHoldMs: 300 });
  const key = await gather();
  await beQuiet(key);
  await until(() => logged('envelope.not_shipped_ahead').length > 0);
  await until(async () => (await left()).length === 0);
  const id = await complete(key);
  expect(a.jobs).toEqual([{ stage: 'ship', id }]);
});

it('a peer that has moved since gets it where it is now', async () => {
  const key = await gather();
  await beQuiet(key);
  await held();
  const { lines } = a.process({}).outbound;
  const moved = createShippedAheadElsewhere(lines);
  const id = await complete(key);
  moved();
  expect(a.jobs).toEqual([{ stage: 'ship', id }]);
  await until(async () => (await left()).length === 0);
});

/** From now on another line leads to the peer. */
function createShippedAheadElsewhere(lines: CompletionParts['lines']): () => void {
  const { outboxTo } = lines;
  lines.outboxTo = (peerId) => ({ ...outboxTo(peerId) });
  return () => {
    lines.outboxTo = outboxTo;
  };
}

it('a bridge that is told to seal only lets nothing leave before the study is complete', async () => {
  startAs('seal');
  const key = await gather();
  await beQuiet(key);
  const id = await complete(key);
  expect(await recordOf(id)).toMatchObject({ carriage: 'sealed' });
  expect(line.carried.control.connections).toBe(0);
  expect(a.jobs).toEqual([{ stage: 'ship', id }]);
});

it('a bridge that is told to do nothing ahead seals when the study is complete', async () => {
  startAs('no');
  expect(parts).not.toHaveProperty('sealedAhead');
  expect(parts).not.toHaveProperty('shippedAhead');
  const id = await complete(await gather());
  expect(a.jobs).toEqual([{ stage: 'pack', id }]);
});

it.each([
  ['is sealed', 'sealed', 'awaited', 0],
  ['waits for its receipt only', 'acknowledged', 'awaited', 1],
  ['was refused', 'sent', 'refused', 1],
] as const)(
  'what leaves ahead gives way to a delivery that %s: %s, %s',
  async (_, carriage, receipt, begun) => {
    startAs('ship', fakeDelivery({ carriage, receipt }), fakeDelivery({ peerId: 'site-c' }));
    const key = await gather();
    await beQuiet(key);
    expect(logged('envelope.shipping_ahead')).toHaveLength(begun);
  },
);

it.each<[string, Partial<ShippedAheadOptions>, Partial<Peer>, number?]>([
  ['for which something else waits', { isAwaited: () => true }, {}],
  [
    'that is not to get more than so many bytes a second',
    {},
    { limits: { places: 2, windows: [], bytesPerSecond: 1e6 } },
  ],
  ['that is called by another', {}, { via: 'share' }],
  ['whose studies are not complete for long', {}, {}, 61_000],
])('nothing leaves ahead for a peer %s', async (_, options, change, leftMs = LEFT_MS) => {
  start(options, change);
  const key = await gather();
  await beQuiet(key, leftMs);
  await complete(key);
  expect(logged('envelope.shipping_ahead')).toEqual([]);
  expect(line.carried.control.connections).toBe(0);
  expect(a.jobs).toMatchObject([{ stage: 'ship' }]);
});
