/** Envelopes that are opened while they arrive: as true as those that are opened afterwards, or as if it had not been tried. */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import type { Peer } from '../../src/domain/peer.js';
import { open } from '../../src/inbound/open.js';
import { createReceiver } from '../../src/inbound/receive.js';
import { discardUnacknowledged } from '../../src/inbound/recover.js';
import { verify } from '../../src/inbound/verify.js';
import { openEnvelopeArchive } from '../../src/jmix/envelope-archive.js';
import { formatTarHeader } from '../../src/jmix/tar-header.js';
import { pack } from '../../src/outbound/pack.js';
import { seal } from '../../src/outbound/seal.js';
import { peerOf } from '../support/site-letters.js';
import { makeSites, type SiteProcess, type TestSite, type TestSites } from '../support/site-parts.js';
import { completeFor, gatherStudy, routeTo } from '../support/site-studies.js';

const { signal } = new AbortController();
/** Two slices of this make more than a MiB, which is opened ahead. */
const ROWS = 600;

let sites: TestSites;
let a: TestSite;
let b: TestSite;

beforeEach(async () => {
  sites = await makeSites(['site-a', 'site-b']);
  a = sites.site('site-a');
  b = sites.site('site-b');
});
afterEach(() => sites.close());

/** A study that site-a has sealed for site-b; the id of its envelope. */
const sealed = async (): Promise<EnvelopeId> => {
  const key = await gatherStudy(a.outbound, { rows: ROWS });
  const [id] = await completeFor(a.outbound, key, routeTo('site-b'));
  if (id === undefined) throw new Error('the study goes nowhere');
  a.jobs.length = 0;
  await pack(a.outbound, id, signal);
  await seal(a.outbound, id, signal);
  return id;
};
const folderOf = (id: EnvelopeId) => a.context.layout.sealedEnvelope(id);
const archiveOf = async (id: EnvelopeId) => buffer((await openEnvelopeArchive(folderOf(id))).stream);
const upload = (body: Readable, { inbound }: Pick<SiteProcess, 'inbound'> = b) =>
  createReceiver(inbound)({ from: { peerId: 'site-a' }, body, mediaType: 'application/x-tar', signal });
const inPieces = (bytes: Buffer, pieceBytes = 64 * 1024) =>
  Readable.from(
    Array.from({ length: Math.ceil(bytes.length / pieceBytes) }, (_, index) =>
      bytes.subarray(index * pieceBytes, (index + 1) * pieceBytes),
    ),
    { objectMode: false },
  );
const receptionOf = (id: EnvelopeId) => b.context.receptions.read(id);
const left = async () => {
  const { scratch, staging, opened, inbox } = b.context.layout;
  const names = await Promise.all([scratch, staging, opened, inbox].map((folder) => readdir(folder)));
  return names.flat();
};
/** The process of a site that knows something else of its partner. */
const knowing = ({ context, process }: TestSite, change: Partial<Peer>) => {
  const { peers } = context;
  const changed = { ...peerOf(b, 'site-a'), ...change };
  const get = (id: string) => (id === 'site-a' ? changed : peers.get(id));
  return process({
    peers: new Proxy(peers, { get: (_, name) => (name === 'get' ? get : Reflect.get(peers, name)) }),
  });
};
/** Everything in an opened study, and what is said of it. */
const contents = async ({ context: { layout, receptions } }: TestSite, id: EnvelopeId) => {
  const entries = await readdir(layout.openedOf(id), { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
  const { progress, instanceCount, studyInstanceUid, signedBy, dialect, priority } =
    (await receptions.read(id)) ?? {};
  return {
    record: { progress, instanceCount, studyInstanceUid, signedBy, dialect, priority },
    instances: await receptions.readDocument(id, 'instances.json'),
    files: new Map(
      await Promise.all(
        files
          .sort()
          .map(async (file) => [file.slice(layout.openedOf(id).length), await readFile(file)] as const),
      ),
    ),
  };
};

it('what has come whole is verified in one step, and the PACS is next', async () => {
  const id = await sealed();
  expect(await upload(inPieces(await archiveOf(id)))).toEqual({ id, created: true });
  expect(await receptionOf(id)).toMatchObject({ revision: 1, progress: 'verified', instanceCount: 2 });
  expect(b.jobs).toEqual([{ stage: 'deliver', id: `${id}_main` }]);
  expect(await left()).toEqual([id, `${id}.JMIX`]);
  await b.work();
  expect(await receptionOf(id)).toMatchObject({ progress: 'confirmed' });
});

it('it is what open and verify would have made of it, beside the envelope as it came', async () => {
  const id = await sealed();
  const archive = await archiveOf(id);
  await upload(inPieces(archive));
  const { layout } = b.context;
  for (const name of await readdir(folderOf(id))) {
    const kept = await readFile(join(layout.inboxEnvelope(id), name));
    expect(kept.equals(await readFile(join(folderOf(id), name))), name).toBe(true);
  }
  const twin = await sites.twinOf('site-b');
  // What may come unsigned is opened by a process of its own.
  await upload(inPieces(archive), knowing(twin, { allowUnsigned: true }));
  expect(await twin.context.receptions.read(id)).toMatchObject({ progress: 'received' });
  for (const run of [open, verify]) await run(twin.inbound, id, signal);
  expect(await contents(b, id)).toEqual(await contents(twin, id));
});

it.each([509, 512, 4095, 100_000])('however it comes in pieces: %i bytes', async (pieceBytes) => {
  const id = await sealed();
  await upload(inPieces(await archiveOf(id), pieceBytes));
  expect(await receptionOf(id)).toMatchObject({ progress: 'verified' });
});

it('a payload that was changed on the way is received, and refused by the step that opens it', async () => {
  const id = await sealed();
  const archive = await archiveOf(id);
  archive.writeUInt8(archive.readUInt8(archive.length - 4096) ^ 1, archive.length - 4096);
  await upload(inPieces(archive));
  expect(await receptionOf(id)).toMatchObject({ progress: 'received' });
  expect(await left()).toEqual([`${id}.JMIX`]);
  await b.work();
  expect(await receptionOf(id)).toMatchObject({ quarantined: { code: 'PAYLOAD_DECRYPT_FAILED' } });
  expect(await left()).toEqual([]);
});

it('one of a signer that nobody knows is judged by the step that opens it', async () => {
  const id = await sealed();
  const stranger = knowing(b, { signingKeys: [] });
  await upload(inPieces(await archiveOf(id)), stranger);
  expect(await receptionOf(id)).toMatchObject({ progress: 'received' });
  await stranger.work();
  expect(await receptionOf(id)).toMatchObject({ quarantined: { code: 'SIGNER_NOT_PINNED' } });
});

it('one for whose study there is no PACS waits at the step that verifies it', async () => {
  const id = await sealed();
  await upload(inPieces(await archiveOf(id)), knowing(b, { deliverTo: [] }));
  expect(await receptionOf(id)).toMatchObject({ progress: 'received' });
});

it('a sender that goes away leaves nothing behind', async () => {
  const archive = await archiveOf(await sealed());
  const cut = async function* () {
    yield archive.subarray(0, 800_000);
    throw Object.assign(new Error('gone'), { code: 'ECONNRESET' });
  };
  await expect(upload(Readable.from(cut(), { objectMode: false }))).rejects.toMatchObject({
    code: 'ENVELOPE_MALFORMED',
  });
  expect(await left()).toEqual([]);
});

it('one that comes again changes nothing', async () => {
  const id = await sealed();
  const archive = await archiveOf(id);
  await upload(inPieces(archive));
  await b.work();
  const before = await receptionOf(id);
  expect(await upload(inPieces(archive))).toEqual({ id, created: false });
  expect(await receptionOf(id)).toEqual(before);
  expect(await left()).toEqual([id, `${id}.JMIX`]);
});

it('a power failure before the record leaves nothing that is believed, and the next try finds room', async () => {
  const id = await sealed();
  const archive = await archiveOf(id);
  const { receptions, layout } = b.context;
  const dying = b.process({
    receptions: { ...receptions, create: () => Promise.reject(new Error('killed')) },
  });
  await expect(upload(inPieces(archive), dying)).rejects.toThrow();
  expect(await receptionOf(id)).toBeUndefined();
  expect(await readdir(layout.opened)).toEqual([id]);
  await upload(inPieces(archive));
  expect(await receptionOf(id)).toMatchObject({ progress: 'verified' });
  await b.work();
  expect(await receptionOf(id)).toMatchObject({ progress: 'confirmed' });
});

it('what such a failure leaves is removed at the next start, and makes room for what is opened afterwards', async () => {
  const id = await sealed();
  const archive = await archiveOf(id);
  const { layout } = b.context;
  await mkdir(join(layout.openedOf(id), 'dicom'), { recursive: true });
  await upload(inPieces(archive), knowing(b, { allowUnsigned: true }));
  await discardUnacknowledged(b.inbound, 0);
  expect(await left()).toEqual([id, `${id}.JMIX`]);
  for (const run of [open, verify]) await run(b.inbound, id, signal);
  expect((await contents(b, id)).files.size).toBe(4);
  await rm(join(layout.receptions, id), { recursive: true });
  await discardUnacknowledged(b.inbound, 0);
  expect(await left()).toEqual([]);
});

it('what the disk refuses in the end is refused, and leaves nothing half-made', async () => {
  const id = await sealed();
  const { layout } = b.context;
  const full = b.process({
    layout: { ...layout, openedOf: () => join(layout.dataDir, 'no', 'such', 'folder') },
  });
  await expect(upload(inPieces(await archiveOf(id)), full)).rejects.toMatchObject({
    code: 'SPOOL_WRITE_FAILED',
  });
  expect(await receptionOf(id)).toBeUndefined();
  expect(await readdir(layout.scratch)).toEqual([]);
});

it('an archive whose signature comes behind its payload is judged when all of it is there', async () => {
  const id = await sealed();
  const folder = folderOf(id);
  const names = ['manifest.json', 'audit.json', 'payload.encrypted', 'manifest.jws'];
  const pieces = await Promise.all(
    names.map(async (name) => {
      const bytes = await readFile(join(folder, name));
      const padding = Buffer.alloc((512 - (bytes.length % 512)) % 512);
      return [formatTarHeader(name, bytes.length), bytes, padding];
    }),
  );
  await upload(inPieces(Buffer.concat([...pieces.flat(), Buffer.alloc(1024)])));
  expect(await receptionOf(id)).toMatchObject({ progress: 'received' });
  await b.work();
  expect(await receptionOf(id)).toMatchObject({ progress: 'confirmed' });
});

it.each(['rs', 'js'])(
  'what takes a second reading, in dialect %s, is left to the step that opens it',
  async (dialect) => {
    await sites.close();
    sites = await makeSites(['site-a', 'site-b'], (site) => (site === 'site-a' ? { dialect } : {}));
    a = sites.site('site-a');
    b = sites.site('site-b');
    const id = await sealed();
    await upload(inPieces(await archiveOf(id)));
    await b.work();
    expect(await receptionOf(id)).toMatchObject({ progress: 'confirmed', dialect });
  },
);
