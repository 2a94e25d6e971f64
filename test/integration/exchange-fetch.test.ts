/** Taking from a place between sites: crashes at every step, envelopes that will never do, and two bridges at one inbox. */
import { readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { SiteContext } from '../../src/compose/site.js';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import { GatewayError } from '../../src/errors/gateway-error.js';
import { type FetchParts, fetch } from '../../src/inbound/fetch.js';
import { ship } from '../../src/outbound/ship.js';
import { archiveName, refusedName } from '../../src/transport/exchange-names.js';
import type { Inbox } from '../../src/transport/transport.js';
import { EXCHANGE, makeSites, type TestSite, type TestSites } from '../support/site-parts.js';

const MIB = 1024 ** 2;
const { signal } = new AbortController();

let sites: TestSites;
let a: TestSite;
let b: TestSite;

beforeEach(async () => {
  sites = await makeSites(['site-a', 'site-b', 'site-c']);
  a = sites.site('site-a');
  b = sites.site('site-b');
});
afterEach(() => sites.close());

const lying = (site = b) => readdir(site.inboxFolder);
const path = (name: string) => join(b.inboxFolder, name);
const arrive = async (bytes = 1_000) => {
  const id = await a.seal('site-b', bytes);
  await ship(a.outbound, id, signal);
  return id;
};
/** Nobody had confirmed the put. */
const shipAgain = async (id: EnvelopeId) => {
  await a.context.deliveries.update(id, (record) => ({ ...record, carriage: 'sent' }));
  await ship(a.outbound, id, signal);
};
const fetchInto = (site: TestSite, id: EnvelopeId, changes: Partial<FetchParts> = {}) =>
  fetch({ ...site.inbound, ...changes }, EXCHANGE, id, signal);
const partial = (id: EnvelopeId, site = b) => site.context.layout.fetchedArchive(id);
const fetching = (site = b) => readdir(site.context.layout.fetching);
const inbox = (site = b) => readdir(site.context.layout.inbox);
const bytesFetched = (site = b) =>
  site.logged.filter(({ event }) => event === 'envelope.bytes_fetched').map(({ bytes }) => bytes);
/** The inbox of B with some of its calls done otherwise. */
const withInbox = (change: (inbox: Inbox) => Partial<Inbox>): Partial<SiteContext> => {
  const { lines } = b.context;
  const inboxAt = (name: string) => ({ ...lines.inboxAt(name), ...change(lines.inboxAt(name)) });
  return { lines: { ...lines, inboxAt } };
};
const crash = () => Promise.reject(new GatewayError('PEER_UNREACHABLE', 'gone'));

it('what waits becomes a reception, and is gone there when it is durable here', async () => {
  const id = await arrive();
  const { length } = await readFile(path(archiveName(id)));
  await fetchInto(b, id);
  const record = await b.context.receptions.read(id);
  expect(record).toMatchObject({
    progress: 'received',
    senderId: 'site-a',
    takenFrom: { exchange: EXCHANGE, archiveBytes: length },
  });
  expect(record).not.toHaveProperty('fromPeerId');
  expect(await inbox()).toEqual([`${id}.JMIX`]);
  expect([await lying(), await fetching()]).toEqual([[], []]);
  expect(b.jobs).toEqual([{ stage: 'open', id }]);
});

it('the exchange hears nothing before the record is written', async () => {
  const id = await arrive();
  let written: unknown;
  const watching = withInbox((real) => ({
    async acknowledge(...args) {
      written = await b.context.receptions.read(id);
      await real.acknowledge(...args);
    },
  }));
  await fetch(b.process(watching).inbound, EXCHANGE, id, signal);
  expect(written).toMatchObject({ id, progress: 'received' });
});

it('a crash before the exchange heard of it costs no second download, and leaves nothing behind', async () => {
  const id = await arrive(3 * MIB);
  const dying = b.process(withInbox(() => ({ acknowledge: crash })));
  await expect(fetch(dying.inbound, EXCHANGE, id, signal)).rejects.toMatchObject({
    code: 'PEER_UNREACHABLE',
  });
  expect(await lying()).not.toEqual([]);
  await fetchInto(b, id);
  expect(bytesFetched().at(-1)).toBe(0);
  expect([await lying(), await fetching()]).toEqual([[], []]);
  expect((await b.context.receptions.read(id))?.revision).toBe(1);
});

it('a crash after the exchange heard of it leaves no archive behind', async () => {
  const id = await arrive();
  await fetchInto(b, id);
  await writeFile(partial(id), 'as if it had not been removed');
  await fetchInto(b, id);
  expect(await fetching()).toEqual([]);
});

it('a crash in the middle costs the rest only', async () => {
  const id = await arrive(3 * MIB);
  const archive = await readFile(path(archiveName(id)));
  await writeFile(partial(id), archive.subarray(0, 2 * MIB));
  await fetchInto(b, id);
  expect(bytesFetched()).toEqual([archive.length - 2 * MIB]);
  expect((await b.context.receptions.read(id))?.progress).toBe('received');
});

it('what lay here from another archive spoils nothing: it is fetched whole before it is refused', async () => {
  const id = await arrive(3 * MIB);
  const { length } = await readFile(path(archiveName(id)));
  await writeFile(partial(id), Buffer.alloc(2 * MIB, 'stale'));
  await expect(fetchInto(b, id)).rejects.toMatchObject({ code: 'ENVELOPE_INCOMPLETE', kind: 'transient' });
  expect(await fetching()).toEqual([]);
  await fetchInto(b, id);
  expect(bytesFetched()).toEqual([length - 2 * MIB, length]);
  expect(await lying()).toEqual([]);
});

it('what was fetched before the machine last started is fetched anew', async () => {
  const id = await arrive(3 * MIB);
  const archive = await readFile(path(archiveName(id)));
  await writeFile(partial(id), Buffer.alloc(2 * MIB));
  // Booted in the future, as this clock sees it.
  b.time.ms += 1_000 * 24 * 3_600_000;
  await fetchInto(b, id);
  expect(bytesFetched()).toEqual([archive.length]);
});

it.each<[string, string, (file: string) => Promise<void>]>([
  ['garbage', 'ENVELOPE_MALFORMED', (file) => writeFile(file, Buffer.alloc(9_000, 'garbage'))],
  ['nothing', 'ENVELOPE_MALFORMED', (file) => truncate(file)],
  ['cut short', 'ENVELOPE_MALFORMED', (file) => truncate(file, 180_000)],
])('an archive that is %s is put aside at the exchange, and said', async (_what, code, spoil) => {
  const id = await arrive(300_000);
  await spoil(path(archiveName(id)));
  await expect(fetchInto(b, id)).rejects.toMatchObject({ code, kind: 'permanent' });
  expect(await lying()).toEqual([refusedName(id)]);
  expect(await fetching()).toEqual([]);
  expect(await b.context.receptions.read(id)).toBeUndefined();
  expect(b.logged).toContainEqual({ event: 'envelope.refused', reception: id, code });
  expect(await inbox()).toEqual([]);
  await fetchInto(b, id);
});

it('one that is named after another envelope than it holds is refused, whichever of both is known', async () => {
  const [id, other] = [await arrive(), await a.seal('site-b', 1_000)];
  await fetchInto(b, id);
  await shipAgain(id);
  await rename(path(archiveName(id)), path(archiveName(other)));
  await expect(fetchInto(b, other)).rejects.toMatchObject({ code: 'ENVELOPE_MALFORMED' });
  expect(await lying()).toEqual([refusedName(other)]);
  expect(await b.context.receptions.read(other)).toBeUndefined();
  expect((await b.context.receptions.read(id))?.revision).toBe(1);
});

it('one that is addressed to another site is refused', async () => {
  const id = await a.seal('site-c', 1_000);
  await ship(a.outbound, id, signal);
  const inboxOfC = sites.site('site-c').inboxFolder;
  await rename(join(inboxOfC, archiveName(id)), path(archiveName(id)));
  await expect(fetchInto(b, id)).rejects.toMatchObject({ code: 'RECIPIENT_MISMATCH' });
  expect(await lying()).toEqual([refusedName(id)]);
});

it('one that is larger than the limit is refused', async () => {
  const id = await arrive(3 * MIB);
  await expect(fetchInto(b, id, largest(2 * MIB))).rejects.toMatchObject({ code: 'ENVELOPE_TOO_LARGE' });
  expect([await lying(), await fetching()]).toEqual([[refusedName(id)], []]);
});

it('while the disk is nearly full nothing is taken, nor claimed', async () => {
  const id = await arrive();
  const full = {
    ...b.context.settings,
    disk: { ...b.context.settings.disk, refuseFreeBytes: Number.MAX_SAFE_INTEGER },
  };
  const { inbound } = b.process({ settings: full });
  await expect(fetch(inbound, EXCHANGE, id, signal)).rejects.toMatchObject({
    code: 'SPOOL_ABOVE_WATERMARK',
    kind: 'transient',
  });
  expect([await lying(), await fetching()]).toEqual([[archiveName(id)], []]);
});

it('what is gone meanwhile is no error, and what was fetched of it is removed', async () => {
  const id = await arrive();
  await writeFile(partial(id), 'the first bytes');
  await rm(path(archiveName(id)));
  await fetchInto(b, id);
  expect(await fetching()).toEqual([]);
});

it('what goes between the look and the claim is none either', async () => {
  const id = await arrive();
  await writeFile(partial(id), 'the first bytes');
  const late = b.process(
    withInbox((real) => ({
      async list(options) {
        const waiting = await real.list(options);
        await rm(path(archiveName(id)));
        return waiting;
      },
    })),
  );
  await fetch(late.inbound, EXCHANGE, id, signal);
  expect([await fetching(), await inbox()]).toEqual([[], []]);
});

it.each([
  ['of another size', 2_000],
  ['of the very same size', 1_000],
])(
  'another envelope %s under an id that we have is refused, and ours stays as it is',
  async (_what, bytes) => {
    const id = await arrive();
    await fetchInto(b, id);
    const manifest = join(b.context.layout.inboxEnvelope(id), 'manifest.json');
    const ours = await readFile(manifest);
    await a.seal('site-b', bytes, { id });
    await shipAgain(id);
    await expect(fetchInto(b, id)).rejects.toMatchObject({ code: 'ENVELOPE_EXISTS' });
    expect(await lying()).toEqual([refusedName(id)]);
    expect(await readFile(manifest)).toEqual(ours);
    expect((await b.context.receptions.read(id))?.revision).toBe(1);
  },
);

it('the same envelope put twice is one reception', async () => {
  const id = await arrive();
  await fetchInto(b, id);
  await shipAgain(id);
  expect(await lying()).toEqual([archiveName(id)]);
  await fetchInto(b, id);
  expect([await lying(), await fetching()]).toEqual([[], []]);
  expect((await b.context.receptions.read(id))?.revision).toBe(1);
});

it('two bridges at one inbox share what comes: each envelope ends at one of them', async () => {
  const twin = await sites.twinOf('site-b');
  const ids = await Promise.all([1, 2, 3, 4, 5, 6].map(() => arrive(200_000)));
  for (let round = 0; round < 2; round += 1) await Promise.all([b.poll(), twin.poll()]);
  const here = await b.context.receptions.ids();
  const there = await twin.context.receptions.ids();
  expect([...here, ...there].sort()).toEqual([...ids].sort());
  expect(await lying()).toEqual([]);
  expect([await fetching(b), await fetching(twin)]).toEqual([[], []]);
});

it('what another bridge has claimed is left to it', async () => {
  const twin = await sites.twinOf('site-b');
  const id = await arrive();
  const dying = b.process(withInbox(() => ({ acknowledge: crash })));
  await expect(fetch(dying.inbound, EXCHANGE, id, signal)).rejects.toMatchObject({
    code: 'PEER_UNREACHABLE',
  });
  await fetchInto(twin, id);
  expect([await twin.context.receptions.ids(), await fetching(twin)]).toEqual([[], []]);
});

it.each<[string, FetchParts['receive']]>([
  ['while it is received', (upload) => b.inbound.receive(upload)],
  [
    'and what is cut short by that looks broken',
    () => Promise.reject(new GatewayError('ENVELOPE_MALFORMED', 'it ends early')),
  ],
])('being told to stop %s is CANCELLED: nothing is refused, nor fetched again', async (_what, receive) => {
  const id = await arrive(3 * MIB);
  const stop = new AbortController();
  const stopping: FetchParts = {
    ...b.inbound,
    receive(upload) {
      stop.abort();
      return receive(upload);
    },
  };
  await expect(fetch(stopping, EXCHANGE, id, stop.signal)).rejects.toMatchObject({
    code: 'CANCELLED',
    kind: 'transient',
  });
  expect(await lying()).not.toContain(refusedName(id));
  await fetchInto(b, id);
  expect(bytesFetched().at(-1)).toBe(0);
  expect(await b.context.receptions.ids()).toEqual([id]);
});

/** Parts of B that take no larger envelope. */
function largest(maxEnvelopeBytes: number): Partial<FetchParts> {
  const { settings } = b.context;
  return b.process({ settings: { ...settings, https: { ...settings.https, maxEnvelopeBytes } } }).inbound;
}
