/** Envelopes within envelopes: the hub opens its own, passes on what is within, and can read neither patient nor study. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { unpackEnvelopeArchive } from '../../src/jmix/envelope-archive.js';
import { openEnvelopeFolder } from '../../src/jmix/envelope-folder.js';
import { openEnvelope } from '../../src/jmix/open.js';
import { rawPublicKey } from '../../src/jmix/raw-keys.js';
import type { SealRequest } from '../../src/jmix/seal.js';
import type { OutgoingEnvelope } from '../../src/transport/transport.js';
import { archiveOf } from '../conformance/sealed-envelopes.js';
import { until } from '../support/until.js';
import { LIMITS, openRequest, payloadFile, RECEIVER, SIGNER } from '../unit/jmix/support/sealing.js';
import { memoryStaging } from '../unit/jmix/support/staging.js';
import { findIn, HUB_ID, type HubUnderTest, makeHub, nestLetter, sealLetter } from './hub-under-test.js';

const { signal } = new AbortController();
const STUDY = {
  metadata: {
    patient: {
      id: 'PAT-4711',
      name: { family: 'MUSTERMANN', given: ['Erika'] },
      dob: '1961-08-12',
    },
    studies: { studyDescription: 'Schaedel nativ', studyUid: '1.2.826.0.1.4711' },
  },
  files: [
    payloadFile(
      'dicom/1.2.826.0.1.4711.1.dcm',
      Buffer.from('PN MUSTERMANN^ERIKA 1.2.826.0.1.4711'.repeat(99)),
    ),
  ],
} as const satisfies Partial<SealRequest>;
const SECRETS = [
  'MUSTERMANN',
  'Mustermann',
  'Erika',
  'ERIKA',
  'PAT-4711',
  '1961-08-12',
  '19610812',
  'Schaedel',
  '1.2.826.0.1.4711',
];

let hub: HubUnderTest;
let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'drawbridge-letters-'));
});
afterEach(async () => {
  await hub.close();
  await rm(root, { recursive: true, force: true });
});

const put = (letter: OutgoingEnvelope) => hub.transport('site-a').put(letter, { signal });
const study = (from = 'site-a', to = ['site-b']) => sealLetter(root, { from, to }, STUDY);
const idsFor = async (site: 'site-b' | 'site-c') =>
  (await hub.transport(site).list({ signal })).map(({ id }) => id);
const hubBox = (letter: OutgoingEnvelope) => hub.parcel(letter.id)?.boxes[HUB_ID];
/** The hub has looked at it: why it refused, or nothing when it did not. */
const verdictOn = async (letter: OutgoingEnvelope) =>
  (await until(() => hubBox(letter)?.state !== 'waiting' && hubBox(letter))).code;
/** What is held, when nothing is half-way any more. */
const heldAtRest = async () => {
  await until(async () => (await readdir(hub.layout.scratch)).length === 0);
  return readdir(hub.layout.held);
};

it('passes on what is within, and forgets the envelope around it', async () => {
  hub = await makeHub();
  const inner = await study();
  const outer = await nestLetter(root, hub, 'site-a', inner);
  await put(outer);
  expect(await verdictOn(outer)).toBeUndefined();
  expect(hub.parcel(outer.id)).toMatchObject({ state: 'done', senderId: 'site-a' });
  expect(hub.parcel(inner.id)).toMatchObject({ state: 'waiting', senderId: 'site-a' });
  await until(async () => (await heldAtRest()).length === 1);
  expect(await heldAtRest()).toEqual([`${inner.id}.JMIX`]);

  const transport = hub.transport('site-b');
  const [waiting] = await transport.list({ signal, waitMs: 10_000 });
  if (waiting === undefined) throw new Error('nothing waits');
  const file = join(root, 'taken');
  await transport.take(waiting, file, { signal });
  const folder = await mkdtemp(join(root, 'unpacked-'));
  await unpackEnvelopeArchive(Readable.from([await readFile(file)]), 'application/x-tar', folder, LIMITS);
  const staging = memoryStaging();
  const opened = await openEnvelope(openRequest(await openEnvelopeFolder(folder), { stage: staging.stage }));
  expect(opened.metadata.model.patient.id).toBe('PAT-4711');
});

it('holds nothing of the patient, in no file, no name and no line of the log, sealed once or twice', async () => {
  hub = await makeHub();
  const once = await study();
  const twice = await study('site-a', ['site-c']);
  await put(once);
  await put(await nestLetter(root, hub, 'site-a', twice));
  await until(async () => (await idsFor('site-c')).includes(twice.id));
  await until(async () => (await heldAtRest()).length === 2);
  expect(await findIn(hub.layout.dataDir, SECRETS)).toEqual([]);
  const lines = JSON.stringify([hub.logged, hub.gateway().parcels()]);
  expect(SECRETS.filter((secret) => lines.includes(secret))).toEqual([]);
  // The search would find it, if it were there.
  expect(await findIn(hub.layout.dataDir, [once.id])).not.toEqual([]);
});

it('while the outer one waits, not even its receiver can be found', async () => {
  // The hub cannot open it, so it stays as it came.
  hub = await makeHub();
  const inner = await study();
  const strangerKey = generateKeyPairSync('x25519').publicKey;
  const recipients = [{ entity: { ...RECEIVER, id: HUB_ID }, key: strangerKey }];
  const outer = await nestLetter(root, hub, 'site-a', inner, { recipients });
  await put(outer);
  expect(await verdictOn(outer)).toBe('PAYLOAD_DECRYPT_FAILED');
  expect(await findIn(hub.layout.held, ['site-b', inner.id])).toEqual([]);
  expect(JSON.stringify(hub.logged)).not.toContain('site-b');
  expect(hub.parcel(outer.id)?.state).toBe('parked');
});

it.each<[string, string, () => Promise<OutgoingEnvelope>]>([
  ['in the name of another member', 'NOT_AUTHORISED', () => study('site-c')],
  ['for nobody here', 'RECIPIENT_MISMATCH', () => study('site-a', ['site-x'])],
  ['for the hub again', 'RECIPIENT_MISMATCH', () => study('site-a', [HUB_ID])],
])('what is within is refused when it is %s', async (_what, code, make) => {
  hub = await makeHub();
  const inner = await make();
  const outer = await nestLetter(root, hub, 'site-a', inner);
  await put(outer);
  expect(await verdictOn(outer)).toBe(code);
  expect([await idsFor('site-b'), hub.parcel(inner.id)]).toEqual([[], undefined]);
  expect(await heldAtRest()).toEqual([`${outer.id}.JMIX`]);
});

it('a study that is sealed to the hub itself is refused, and never written', async () => {
  hub = await makeHub();
  const outer = await sealLetter(
    root,
    { from: 'site-a', to: [HUB_ID], key: hub.keys.encryption.publicKey },
    STUDY,
  );
  await put(outer);
  expect(await verdictOn(outer)).toBe('PAYLOAD_INCONSISTENT');
  await heldAtRest();
  expect(await findIn(hub.layout.dataDir, SECRETS)).toEqual([]);
  // Not for `4711` alone, which an id or a port may hold by chance.
  const lines = JSON.stringify(hub.logged);
  expect(SECRETS.filter((secret) => lines.includes(secret))).toEqual([]);
});

it.each([
  ['no archive', Buffer.alloc(5_000, 'MUSTERMANN'), 'ENVELOPE_MALFORMED'],
  ['nothing', Buffer.alloc(0), 'ENVELOPE_MALFORMED'],
])('%s in the place of an envelope is refused, and never written', async (_what, bytes, code) => {
  hub = await makeHub();
  const inner = await study();
  const outer = await nestLetter(root, hub, 'site-a', inner, {
    files: [payloadFile(`files/${inner.id}.JMIX.tar`, bytes)],
  });
  await put(outer);
  expect(await verdictOn(outer)).toBe(code);
  expect(await heldAtRest()).toEqual([`${outer.id}.JMIX`]);
  expect(await findIn(hub.layout.dataDir, SECRETS)).toEqual([]);
});

it('two envelopes within, or one under another id, are refused', async () => {
  hub = await makeHub();
  const [one, two] = [await study(), await study()];
  const bytes = payloadFile(`files/${two.id}.JMIX.tar`, Buffer.alloc(1_024));
  const both = await nestLetter(root, hub, 'site-a', one, { files: [await fileOf(one), bytes] });
  const renamed = await nestLetter(root, hub, 'site-a', one, {
    files: [{ ...(await fileOf(one)), name: `files/${two.id}.JMIX.tar` }],
  });
  await put(both);
  await put(renamed);
  expect(await verdictOn(both)).toBe('PAYLOAD_INCONSISTENT');
  expect(await verdictOn(renamed)).toBe('ENVELOPE_MALFORMED');
  expect(await idsFor('site-b')).toEqual([]);
});

it('where the hub knows the keys of its member, an envelope by another key is refused', async () => {
  const pinned = { 'site-a': { signingKeys: [rawPublicKey(SIGNER.publicKey).toString('base64')] } };
  hub = await makeHub({ peers: pinned });
  const good = await nestLetter(root, hub, 'site-a', await study());
  const forged = await nestLetter(root, hub, 'site-a', await study(), {
    signingKey: generateKeyPairSync('ed25519').privateKey,
  });
  await put(good);
  await put(forged);
  expect(await verdictOn(good)).toBeUndefined();
  expect(['ASSERTION_INVALID', 'SIGNER_NOT_PINNED']).toContain(await verdictOn(forged));
});

it('a full inbox keeps the outer one waiting, and it goes on when there is room', async () => {
  hub = await makeHub({ peers: { 'site-b': { quotaBytes: 1024 ** 2 } } });
  const files = [payloadFile('dicom/1.dcm', Buffer.alloc(700 * 1024))];
  const first = await sealLetter(root, { from: 'site-a', to: ['site-b'] }, { files });
  const second = await sealLetter(root, { from: 'site-a', to: ['site-b'] }, { files });
  await put(first);
  const outer = await nestLetter(root, hub, 'site-a', second);
  await put(outer);
  await until(() => hub.logged.some(({ event }) => event === 'parcel.unwrap_postponed'));
  expect(hubBox(outer)?.state).toBe('waiting');
  await hub.transport('site-b').acknowledge(first.id, 'taken', signal);
  expect(await verdictOn(outer)).toBeUndefined();
  expect(await idsFor('site-b')).toEqual([second.id]);
});

it('after a restart, what waits for the hub is opened, and once is enough', async () => {
  hub = await makeHub({ peers: { 'site-b': { quotaBytes: 1024 ** 2 } } });
  const inner = await study();
  const big = [payloadFile('dicom/1.dcm', Buffer.alloc(1000 * 1024))];
  const first = await sealLetter(root, { from: 'site-a', to: ['site-b'] }, { files: big });
  await put(first);
  const [outer, again] = [
    await nestLetter(root, hub, 'site-a', inner),
    await nestLetter(root, hub, 'site-a', inner),
  ];
  await put(outer);
  await until(() => hub.logged.some(({ event }) => event === 'parcel.unwrap_postponed'));
  await hub.restart();
  await hub.gateway().discard(first.id);
  await hub.gateway().tick();
  expect(await verdictOn(outer)).toBeUndefined();
  // As if the crash had come between the two commits.
  await put(again);
  expect(await verdictOn(again)).toBeUndefined();
  expect(await idsFor('site-b')).toEqual([inner.id]);
});

it('an operator can let the hub try once more, when the cause is mended', async () => {
  hub = await makeHub();
  const outer = await nestLetter(root, hub, 'site-a', await study('site-a', ['site-x']));
  await put(outer);
  expect(await verdictOn(outer)).toBe('RECIPIENT_MISMATCH');
  const tried = hub.logged.filter(({ event }) => event === 'parcel.refused').length;
  await hub.gateway().retry(outer.id);
  await until(() => hub.logged.filter(({ event }) => event === 'parcel.refused').length > tried);
  expect(hubBox(outer)?.state).toBe('refused');
});

async function fileOf(inner: OutgoingEnvelope) {
  return payloadFile(`files/${inner.id}.JMIX.tar`, await archiveOf(inner));
}
