/** What becomes of an envelope at a hub: refused at the door, held, taken, parked, expired, lost, brought again. */
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseAuditTrail } from '../../src/jmix/audit-trail.js';
import { judgeCustody } from '../../src/jmix/custody.js';
import { sha256Hex } from '../../src/jmix/digest.js';
import { unpackEnvelopeArchive } from '../../src/jmix/envelope-archive.js';
import { openEnvelopeFolder } from '../../src/jmix/envelope-folder.js';
import { AUDIT_FILE, MANIFEST_FILE } from '../../src/jmix/envelope-names.js';
import { openEnvelope } from '../../src/jmix/open.js';
import type { OutgoingEnvelope, Transport } from '../../src/transport/transport.js';
import { archiveOf } from '../conformance/sealed-envelopes.js';
import { ask, json } from '../support/http-client.js';
import { codeOf, LIMITS, openRequest, payloadFile, SIGNER } from '../unit/jmix/support/sealing.js';
import { memoryStaging } from '../unit/jmix/support/staging.js';
import { findIn, fingerprintOf, HUB_ID, type HubUnderTest, makeHub, sealLetter } from './hub-under-test.js';

const MIB = 1024 * 1024;
const DAY_MS = 24 * 3_600_000;
const { signal } = new AbortController();
const SMALL = { from: 'site-a', to: ['site-b'] };

let hub: HubUnderTest;
let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'drawbridge-letters-'));
});
afterEach(async () => {
  await hub.close();
  await rm(root, { recursive: true, force: true });
});

const put = (letter: OutgoingEnvelope, transport = hub.transport('site-a')) =>
  transport.put(letter, { signal });
const refusalOf = (letter: OutgoingEnvelope) =>
  put(letter).then(
    () => undefined,
    (error: { code: string; facts: { peerCode?: string } }) => [error.code, error.facts.peerCode],
  );
const idsFor = async (site: 'site-b' | 'site-c') =>
  (await hub.transport(site).list({ signal })).map(({ id }) => id);
const events = () => hub.logged.map(({ event }) => event);
const heldFolders = () => readdir(hub.layout.held);
async function take(letter: OutgoingEnvelope, transport: Transport = hub.transport('site-b')) {
  const waiting = (await transport.list({ signal })).find(({ id }) => id === letter.id);
  if (waiting === undefined) throw new Error('it does not wait');
  const file = join(root, `taken-${letter.id}`);
  await transport.take(waiting, file, { signal });
  return file;
}

/** As a member that is no Drawbridge: any bytes, any media type. */
async function post(body: Buffer, type = 'application/x-tar') {
  const identity = hub.identity('site-a');
  return ask({
    port: hub.port(),
    tls: true,
    identity: { ...identity, fingerprint: fingerprintOf(identity.certificate) },
    method: 'POST',
    path: '/api/jmix',
    body: [body],
    headers: { 'content-type': type },
  });
}

it('what is not for a member, or in somebody else’s name, is refused and leaves nothing', async () => {
  hub = await makeHub();
  const forged = await sealLetter(root, { from: 'site-c', to: ['site-b'] });
  const toNobody = await sealLetter(root, { from: 'site-a', to: ['site-b', 'site-x'] });
  const toBoth = await sealLetter(root, { from: 'site-a', to: [HUB_ID, 'site-b'] });
  expect(await refusalOf(forged)).toEqual(['PEER_REFUSED', 'NOT_AUTHORISED']);
  expect(await refusalOf(toNobody)).toEqual(['PEER_REFUSED', 'RECIPIENT_MISMATCH']);
  expect(await refusalOf(toBoth)).toEqual(['PEER_REFUSED', 'RECIPIENT_MISMATCH']);
  expect(hub.gateway().parcels()).toEqual([]);
  expect([await heldFolders(), await readdir(hub.layout.scratch)]).toEqual([[], []]);
});

it('a payload that is not sealed is refused, and leaves nothing', async () => {
  hub = await makeHub();
  const sealed = await sealLetter(root, SMALL);
  const plain = join(root, 'plain.JMIX');
  await mkdir(join(plain, 'payload', 'dicom'), { recursive: true });
  await writeFile(join(plain, MANIFEST_FILE), (await openEnvelopeFolder(sealed.folder)).manifest);
  await writeFile(join(plain, 'payload', 'dicom', '1.2.3.dcm'), Buffer.alloc(2 * MIB, 'MUSTERMANN'));
  const answer = await post(await archiveOf({ ...sealed, folder: plain }));
  expect(json(answer)).toMatchObject({ status: 400, code: 'ENVELOPE_MALFORMED' });
  expect(await findIn(hub.layout.dataDir, ['MUSTERMANN'])).toEqual([]);
  expect([await heldFolders(), await readdir(hub.layout.scratch)]).toEqual([[], []]);
});

it('no archive, a packed one, and one with a foreign name are refused', async () => {
  hub = await makeHub();
  expect(json(await post(Buffer.alloc(3_000, 7)))['code']).toBe('ENVELOPE_MALFORMED');
  expect((await post(Buffer.alloc(10), 'application/gzip')).status).toBe(415);
  const sealed = await sealLetter(root, SMALL);
  expect((await post((await archiveOf(sealed)).subarray(0, -2_000))).status).toBe(400);
  expect(await readdir(hub.layout.scratch)).toEqual([]);
});

it('an id is taken once, with one manifest, even when all is over', async () => {
  hub = await makeHub();
  const letter = await sealLetter(root, SMALL);
  const other = await sealLetter(root, SMALL, { id: letter.id });
  const transport = hub.transport('site-a');
  // At once, so that they meet.
  const codes = await Promise.all([letter, other, letter].map((one) => codeOf(put(one, transport))));
  expect(codes.filter((code) => code === 'ENVELOPE_EXISTS').length).toBeGreaterThan(0);
  const [winner, loser] = codes[0] === undefined ? [letter, other] : [other, letter];
  await take(winner);
  await hub.transport('site-b').acknowledge(letter.id, 'taken', signal);
  expect(await codeOf(put(winner))).toBeUndefined();
  expect(await codeOf(put(loser))).toBe('ENVELOPE_EXISTS');
  expect([await idsFor('site-b'), await heldFolders()]).toEqual([[], []]);
  expect(events().filter((event) => event === 'parcel.deposited')).toHaveLength(1);
});

it('an envelope for two is held until both have it', async () => {
  hub = await makeHub();
  const letter = await sealLetter(root, { from: 'site-a', to: ['site-b', 'site-c'] });
  await put(letter);
  await hub.transport('site-b').acknowledge(letter.id, 'taken', signal);
  expect([await idsFor('site-b'), await idsFor('site-c')]).toEqual([[], [letter.id]]);
  await take(letter, hub.transport('site-c'));
  await hub.transport('site-c').acknowledge(letter.id, 'taken', signal);
  expect(hub.parcel(letter.id)?.state).toBe('done');
  expect(await heldFolders()).toEqual([]);
});

it.each([
  ['behind the sender’s step', ['created', 'forwarded']],
  ['alone, where the sender wrote none', ['forwarded']],
])('the receiver can open it, and finds who passed it on, signed and chained, %s', async (_, events) => {
  hub = await makeHub();
  const letter = await sealLetter(root, SMALL);
  if (events.length === 1) await rm(join(letter.folder, AUDIT_FILE));
  await put(letter);
  const folder = await mkdtemp(join(root, 'unpacked-'));
  const file = await take(letter);
  await unpackEnvelopeArchive(createReadStream(file), 'application/x-tar', folder, LIMITS);
  const source = await openEnvelopeFolder(folder);
  expect((await openEnvelope(openRequest(source, { stage: memoryStaging().stage }))).id).toBe(letter.id);
  const trail = parseAuditTrail(source.audit ?? Buffer.alloc(0));
  expect(trail.map(({ event }) => event)).toEqual(events);
  expect(trail.at(-1)).toMatchObject({ by: { id: HUB_ID }, to: { id: 'site-b' } });
  const subject = { envelopeId: letter.id, manifestSha256: sha256Hex(source.manifest) };
  const known = [
    { key: SIGNER.publicKey, id: 'site-a' },
    { key: hub.keys.signing.publicKey, id: HUB_ID },
  ];
  expect(judgeCustody(trail, subject, known).result).toBe('ok');
});

it('an inbox that is full refuses what does not fit, keeps what there is, and has room again when it is emptied', async () => {
  hub = await makeHub({ peers: { 'site-b': { quotaBytes: MIB } } });
  const files = [payloadFile('dicom/1.dcm', Buffer.alloc(600 * 1024))];
  const [one, two] = [await sealLetter(root, SMALL, { files }), await sealLetter(root, SMALL, { files })];
  // At once: the last of the room goes to one of them.
  const codes = await Promise.all([codeOf(put(one)), codeOf(put(two))]);
  expect(codes.sort()).toEqual(['QUOTA_EXCEEDED', undefined]);
  expect(
    await codeOf(put(await sealLetter(root, { from: 'site-a', to: ['site-c'] }, { files }))),
  ).toBeUndefined();
  const [first] = await idsFor('site-b');
  const [taken, left] = first === one.id ? [one, two] : [two, one];
  await hub.transport('site-b').acknowledge(taken.id, 'taken', signal);
  expect(await codeOf(put(left))).toBeUndefined();
});

it('what nobody takes is parked, then removed, each with a line; a retry gives it new time', async () => {
  hub = await makeHub({ settings: { hub: { expiryDays: 2 } } });
  const [letter, refused] = [await sealLetter(root, SMALL), await sealLetter(root, SMALL)];
  await put(letter);
  await put(refused);
  await hub.transport('site-b').acknowledge(refused.id, 'refused', signal);
  hub.time.ms += 1.9 * DAY_MS;
  await hub.gateway().tick();
  expect([await idsFor('site-b'), hub.parcel(refused.id)?.state]).toEqual([[letter.id], 'parked']);
  hub.time.ms += 0.2 * DAY_MS;
  await hub.gateway().tick();
  expect([hub.parcel(letter.id)?.state, hub.parcel(refused.id)?.state]).toEqual(['parked', 'expired']);
  expect([await idsFor('site-b'), await heldFolders()]).toEqual([[], [`${letter.id}.JMIX`]]);
  expect(hub.logged).toEqual(
    expect.arrayContaining([
      { event: 'parcel.expired', parcel: letter.id, from: 'site-a', to: 'site-b' },
      { event: 'parcel.removed', parcel: refused.id, from: 'site-a', to: ['site-b'], why: 'expired' },
    ]),
  );

  await hub.gateway().retry(letter.id);
  expect(await idsFor('site-b')).toEqual([letter.id]);
  expect(await codeOf(hub.gateway().retry(letter.id))).toBe('STATE_INVALID');
  hub.time.ms += 2.1 * DAY_MS;
  await hub.gateway().tick();
  hub.time.ms += 2.1 * DAY_MS;
  await hub.gateway().tick();
  expect([hub.parcel(letter.id)?.state, await heldFolders()]).toEqual(['expired', []]);
  expect(await codeOf(hub.gateway().retry(letter.id))).toBe('STATE_INVALID');
});

it('what was parked for want of a taker waits again when its sender brings it again', async () => {
  hub = await makeHub({ settings: { hub: { expiryDays: 1 } } });
  const letter = await sealLetter(root, SMALL);
  await put(letter);
  hub.time.ms += 1.1 * DAY_MS;
  await hub.gateway().tick();
  expect(await idsFor('site-b')).toEqual([]);
  await put(letter);
  expect(await idsFor('site-b')).toEqual([letter.id]);
});

it('whoever has it in hand when it expires may still say so', async () => {
  hub = await makeHub({ settings: { hub: { expiryDays: 1 } } });
  const letter = await sealLetter(root, SMALL);
  await put(letter);
  hub.time.ms += 1.1 * DAY_MS;
  await hub.gateway().tick();
  await hub.transport('site-b').acknowledge(letter.id, 'taken', signal);
  expect([hub.parcel(letter.id)?.state, await heldFolders()]).toEqual(['done', []]);
});

it('what an operator drops is gone, and may be brought again', async () => {
  hub = await makeHub();
  const letter = await sealLetter(root, SMALL);
  await put(letter);
  await hub.gateway().discard(letter.id);
  expect([hub.parcel(letter.id)?.state, await idsFor('site-b'), await heldFolders()]).toEqual([
    'discarded',
    [],
    [],
  ]);
  expect(await codeOf(hub.gateway().discard(letter.id))).toBe('STATE_INVALID');
  // To say "I have it already" of what nobody will get would be a lie.
  expect(await hub.transport('site-a').probe(letter, signal)).toBe('absent');
  await put(letter);
  expect(await idsFor('site-b')).toEqual([letter.id]);
});

it('a restart keeps what is held and what was parked, and a transfer goes on behind it', async () => {
  hub = await makeHub();
  const files = [payloadFile('dicom/1.dcm', Buffer.alloc(3 * MIB, 'x'))];
  const [letter, parked] = [await sealLetter(root, SMALL, { files }), await sealLetter(root, SMALL)];
  await put(letter);
  await put(parked);
  await hub.transport('site-b').acknowledge(parked.id, 'refused', signal);
  const [waiting] = await hub.transport('site-b').list({ signal });
  if (waiting === undefined) throw new Error('nothing waits');
  const stop = new AbortController();
  const file = join(root, 'half');
  const onBytes = () => stop.abort();
  const half = hub.transport('site-b').take(waiting, file, { signal: stop.signal, onBytes });
  expect(await codeOf(half)).toBe('CANCELLED');

  await hub.restart();
  expect(await idsFor('site-b')).toEqual([letter.id]);
  expect(hub.parcel(parked.id)?.state).toBe('parked');
  await hub.transport('site-b').take(waiting, file, { signal });
  const unpacked = await mkdtemp(join(root, 'unpacked-'));
  await unpackEnvelopeArchive(createReadStream(file), 'application/x-tar', unpacked, LIMITS);
  expect(hub.logged.filter(({ event }) => event === 'parcel.lost')).toEqual([]);
});

it('a folder without a record is dropped at start, since its sender never heard that it was taken', async () => {
  hub = await makeHub();
  const letter = await sealLetter(root, SMALL);
  await mkdir(join(hub.layout.held, `${letter.id}.JMIX`));
  await mkdir(join(hub.layout.held, 'not-an-id.JMIX'));
  await hub.restart();
  expect(await heldFolders()).toEqual([]);
  await put(letter);
  expect(await idsFor('site-b')).toEqual([letter.id]);
});

it('an envelope that is gone from the disk is shown as lost, and taken again from its sender', async () => {
  hub = await makeHub();
  const [one, two] = [await sealLetter(root, SMALL), await sealLetter(root, SMALL)];
  await put(one);
  await put(two);
  await rm(hub.layout.heldEnvelope(one.id), { recursive: true });
  const waiting = { id: one.id, sizeBytes: hub.parcel(one.id)?.archiveBytes ?? 0 };
  const taking = hub.transport('site-b').take(waiting, join(root, 'lost'), { signal });
  expect(await codeOf(taking)).toBe('ENVELOPE_NOT_FOUND');
  await hub.gateway().tick();
  expect(hub.parcel(one.id)?.state).toBe('lost');
  await rm(hub.layout.heldEnvelope(two.id), { recursive: true });
  await hub.restart();
  expect(hub.parcel(two.id)?.state).toBe('lost');
  expect(events().filter((event) => event === 'parcel.lost')).toHaveLength(2);

  expect(await hub.transport('site-a').probe(one, signal)).toBe('absent');
  await put(one);
  // Its archive is the very one that it was, so that a transfer that broke goes on.
  expect(await hub.transport('site-b').list({ signal })).toEqual([waiting]);
  await take(one);
});

it('stopping refuses what is new, and lets those go who wait', async () => {
  hub = await makeHub();
  const waiting = codeOf(hub.transport('site-b').list({ signal, waitMs: 60_000 }));
  await idsFor('site-c');
  await hub.gateway().close(5_000);
  expect([undefined, 'PEER_UNREACHABLE']).toContain(await waiting);
  await hub.restart();
});

it('an archive above the limit is refused', async () => {
  hub = await makeHub({ settings: { https: { host: '127.0.0.1', port: 0, maxEnvelopeBytes: MIB } } });
  const files = [payloadFile('dicom/1.dcm', Buffer.alloc(2 * MIB))];
  expect(await codeOf(put(await sealLetter(root, SMALL, { files })))).toBe('ENVELOPE_TOO_LARGE');
});
