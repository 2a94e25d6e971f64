/**
 * A gateway that starts wipes scratch, also under a worker that has outlived the gateway before. What the worker was at then
 * comes again: nothing is parked, refused or put aside for it, and nothing half-made gets a name.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { SiteContext } from '../../src/compose/site.js';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import { open } from '../../src/inbound/open.js';
import { createReceiver } from '../../src/inbound/receive.js';
import { discardUnacknowledged } from '../../src/inbound/recover.js';
import type { ArchiveMediaType } from '../../src/jmix/archive-media-type.js';
import { openEnvelopeArchive } from '../../src/jmix/envelope-archive.js';
import { pack } from '../../src/outbound/pack.js';
import { seal } from '../../src/outbound/seal.js';
import { wipeScratch } from '../../src/spool/scratch.js';
import { makeSites, type SiteProcess, type TestSite, type TestSites } from '../support/site-parts.js';
import { completeFor, gatherStudy, routeTo } from '../support/site-studies.js';
import { until } from '../support/until.js';
import { tarOf, zipOf } from '../unit/jmix/support/archives.js';

const { signal } = new AbortController();
const WIPED = { code: 'SPOOL_WRITE_FAILED', kind: 'transient' };
/** Two slices of 600 rows are opened while they arrive, two of 64 are not. */
const SIZES = [
  ['small', 64],
  ['large', 600],
] as const;

let sites: TestSites;
let a: TestSite;
let b: TestSite;

beforeEach(async () => {
  sites = await makeSites(['site-a', 'site-b']);
  a = sites.site('site-a');
  b = sites.site('site-b');
});
afterEach(() => sites.close());

/** What was at work in scratch may end before. */
let wiping: Promise<void>;
const wipe = () => {
  wiping = wipeScratch(b.context.layout, 0, Date.now());
  return wiping;
};
const receptionOf = (id: EnvelopeId) => b.context.receptions.read(id);
const left = async () => {
  await wiping;
  const { scratch, staging, opened, inbox } = b.context.layout;
  return (await Promise.all([scratch, staging, opened, inbox].map((folder) => readdir(folder)))).flat();
};
const sealed = async (rows: number): Promise<EnvelopeId> => {
  const key = await gatherStudy(a.outbound, { rows });
  const [id] = await completeFor(a.outbound, key, routeTo('site-b'));
  if (id === undefined) throw new Error('the study goes nowhere');
  a.jobs.length = 0;
  await pack(a.outbound, id, signal);
  await seal(a.outbound, id, signal);
  return id;
};
const archiveOf = async (id: EnvelopeId) =>
  buffer((await openEnvelopeArchive(a.context.layout.sealedEnvelope(id))).stream);
const upload = (body: Readable, mediaType: ArchiveMediaType = 'application/x-tar') =>
  createReceiver(b.inbound)({ from: { peerId: 'site-a' }, body, mediaType, signal });
/** Half of it, and the rest after scratch was wiped. */
const wipedHalfway = (bytes: Buffer) =>
  Readable.from(
    (async function* () {
      const half = Math.floor(bytes.length / 2);
      for (let at = 0; at < half; at += 65_536) yield bytes.subarray(at, Math.min(half, at + 65_536));
      await until(async () => (await readdir(b.context.layout.scratch)).length > 0, {
        what: 'there is something to wipe',
      });
      await wipe();
      for (let at = half; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
    })(),
    { objectMode: false },
  );
/** The site as a process of it, under which scratch is wiped the next time that it does this. */
const wipedAt = (changes: (once: <T>(value: T) => Promise<T>) => Partial<SiteContext>): SiteProcess => {
  let isDone = false;
  return b.process(
    changes(async (value) => {
      if (!isDone) await wipe();
      isDone = true;
      return value;
    }),
  );
};
const learning = () =>
  wipedAt((once) => ({
    keyNews: {
      ...b.context.keyNews,
      learn: async (...args) => once(await b.context.keyNews.learn(...args)),
    },
  }));

it.each(SIZES)('receive: a %s upload is refused for now, and taken when it comes again', async (_, rows) => {
  const id = await sealed(rows);
  const archive = await archiveOf(id);
  await expect(upload(wipedHalfway(archive))).rejects.toMatchObject(WIPED);
  expect([await receptionOf(id), await left()]).toEqual([undefined, []]);
  await upload(Readable.from([archive]));
  await b.work();
  expect(await receptionOf(id)).toMatchObject({ progress: 'confirmed' });
});

it('receive: the same with a zip, and with a payload of many files, whose folders are made as they come', async () => {
  const id = await sealed(64);
  const folder = a.context.layout.sealedEnvelope(id);
  const names = (await readdir(folder)).sort();
  const files = await Promise.all(
    names.map(async (name) => ({ name, content: await readFile(join(folder, name)) })),
  );
  await expect(upload(wipedHalfway(zipOf(files)), 'application/zip')).rejects.toMatchObject(WIPED);
  const manifest = files.filter(({ name }) => name === 'manifest.json');
  const many = Array.from({ length: 40 }, (_, at) => ({
    name: `payload/dicom/${at}/1.dcm`,
    content: Buffer.alloc(4096),
  }));
  const plain = tarOf([...manifest, ...many]);
  await expect(upload(wipedHalfway(plain))).rejects.toMatchObject(WIPED);
  expect(await left()).toEqual([]);
});

it.each(SIZES)('fetch: a %s envelope is not put aside at the exchange, and comes again', async (_, rows) => {
  const id = await sealed(rows);
  await a.outbound.enqueue('ship', id);
  await a.work();
  const { receptions } = b.context;
  const surviving = wipedAt((once) => ({
    receptions: { ...receptions, read: async (wanted) => once(await receptions.read(wanted)) },
  }));
  await surviving.poll();
  expect(surviving.postponed).toMatchObject([{ stage: 'fetch', code: 'SPOOL_WRITE_FAILED' }]);
  expect(await readdir(b.inboxFolder)).toHaveLength(1);
  expect((await readdir(b.inboxFolder))[0]).not.toContain('refused');
  await b.poll();
  expect(await receptionOf(id)).toMatchObject({ progress: 'confirmed' });
});

it('open: half of a payload gets no name, and the reception waits', async () => {
  const id = await sealed(64);
  await upload(Readable.from([await archiveOf(id)]));
  await expect(open(learning().inbound, id, signal)).rejects.toMatchObject(WIPED);
  expect(await receptionOf(id)).toMatchObject({ progress: 'received' });
  expect(await left()).toEqual([`${id}.JMIX`]);
  await b.work();
  expect(await receptionOf(id)).toMatchObject({ progress: 'confirmed' });
});

it('open: what is missing elsewhere is told as before', async () => {
  const id = await sealed(64);
  await upload(Readable.from([await archiveOf(id)]));
  const { layout } = b.context;
  const elsewhere = b.process({
    layout: { ...layout, stagingOf: () => join(layout.dataDir, 'no', 'such', 'folder') },
  });
  await expect(open(elsewhere.inbound, id, signal)).rejects.toMatchObject({ code: 'ENOENT' });
});

it('at a start, what was opened and is in no record is opened again', async () => {
  const id = await sealed(64);
  await upload(Readable.from([await archiveOf(id)]));
  const { layout } = b.context;
  await mkdir(layout.stagingOf(id));
  await writeFile(
    join(layout.stagingOf(id), 'metadata.json'),
    'of a bridge that wrote it in place, and died',
  );
  await discardUnacknowledged(b.inbound, 0);
  await b.work();
  expect(await receptionOf(id)).toMatchObject({ progress: 'confirmed' });
});
