/** Envelopes within envelopes, from the sites' side: what the hub can open, and what stays behind after a crash. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import { GatewayError } from '../../src/errors/gateway-error.js';
import { openEnvelopeArchive, unpackEnvelopeArchive } from '../../src/jmix/envelope-archive.js';
import { openEnvelopeFolder } from '../../src/jmix/envelope-folder.js';
import { openEnvelope } from '../../src/jmix/open.js';
import { retryDelivery } from '../../src/outbound/retry.js';
import { seal } from '../../src/outbound/seal.js';
import { ship } from '../../src/outbound/ship.js';
import { sweepStudies } from '../../src/outbound/sweep.js';
import { archiveName, parseExchangeName } from '../../src/transport/exchange-names.js';
import { makeSites, type SiteProcess, type TestSite, type TestSites } from '../support/site-parts.js';
import { LIMITS } from '../unit/jmix/support/sealing.js';
import { memoryStaging } from '../unit/jmix/support/staging.js';

const { signal } = new AbortController();
const HUB = generateKeyPairSync('x25519');
const hubTo = () => ({ id: 'hub', encryptionKey: HUB.publicKey });
const HOUR_MS = 3_600_000;

let sites: TestSites;
let a: TestSite;
let b: TestSite;
/** The sites as they are when they reach each other via a hub. */
let nestingA: SiteProcess;
let nestingB: SiteProcess;

beforeEach(async () => {
  sites = await makeSites(['site-a', 'site-b']);
  a = sites.site('site-a');
  b = sites.site('site-b');
  nestingA = a.process({ hubTo });
  nestingB = b.process({ hubTo });
});
afterEach(() => sites.close());

const sealedOf = async ({ context }: TestSite) => (await readdir(context.layout.sealed)).sort();
const outerOf = async (id: EnvelopeId) => {
  const outer = (await a.context.deliveries.read(id))?.sealed?.outer?.id;
  if (outer === undefined) throw new Error('it was sealed once only');
  return outer;
};
const archiveOf = async ({ context }: TestSite, id: EnvelopeId) => {
  const { stream } = await openEnvelopeArchive(context.layout.sealedEnvelope(id));
  return Buffer.concat(await stream.toArray());
};
/** Opens the archive that lies in the inbox of `at`. */
const openAt = async (at: TestSite, sender: TestSite, key = HUB.privateKey) => {
  const [name = ''] = await readdir(at.inboxFolder);
  const folder = await mkdtemp(join(sites.root, 'unpacked-'));
  const archive = await readFile(join(at.inboxFolder, name));
  await unpackEnvelopeArchive(Readable.from([archive]), 'application/x-tar', folder, LIMITS);
  const staging = memoryStaging();
  await openEnvelope({
    source: await openEnvelopeFolder(folder),
    recipientKeys: [key],
    trust: { kind: 'pinned', keys: [sender.context.keys.signing.publicKey] },
    nowMs: Date.now(),
    limits: LIMITS,
    stage: staging.stage,
  });
  return { name, archive, staging };
};
/** Does what the hub does: puts what is within in the place of what is around it. */
const passOn = async (at: TestSite, sender: TestSite) => {
  const { name, staging } = await openAt(at, sender);
  const within = [...staging.files].filter(([file]) => file.startsWith('files/'));
  expect(within).toHaveLength(1);
  for (const [file, bytes] of within)
    await writeFile(join(at.inboxFolder, file.slice('files/'.length)), bytes);
  await rm(join(at.inboxFolder, name));
};

it('the hub opens the outer one with its key, and finds the inner archive byte for byte', async () => {
  const id = await nestingA.send('site-b');
  const outer = await outerOf(id);
  expect(await readdir(b.inboxFolder)).toEqual([archiveName(outer)]);
  const { staging } = await openAt(b, a);
  const documents = ['files.json', 'metadata.json'];
  expect([...staging.files.keys()].filter((name) => !documents.includes(name))).toEqual([
    `files/${id}.JMIX.tar`,
  ]);
  expect(staging.files.get(`files/${id}.JMIX.tar`)).toEqual(await archiveOf(a, id));
});

it('one whose receipt does not come is put into another outer one, for a hub takes an id once', async () => {
  const id = await nestingA.send('site-b');
  const [first, within] = [await outerOf(id), await archiveOf(a, id)];
  await rm(join(b.inboxFolder, archiveName(first)));
  await retryDelivery(nestingA.outbound, id);
  await nestingA.work();
  const second = await outerOf(id);
  expect(second).not.toBe(first);
  expect(await readdir(b.inboxFolder)).toEqual([archiveName(second)]);
  expect((await openAt(b, a)).staging.files.get(`files/${id}.JMIX.tar`)).toEqual(within);
  expect(await sealedOf(a)).toEqual([`${id}.JMIX`, `${second}.JMIX`].sort());
});

it('nobody else opens it, nor sees in it whom it is for', async () => {
  const id = await nestingA.send('site-b');
  await expect(openAt(b, a, b.context.keys.encryption.privateKey)).rejects.toMatchObject({
    code: 'PAYLOAD_DECRYPT_FAILED',
  });
  const { archive } = await openAt(b, a);
  const { studyInstanceUid = '' } = (await a.context.deliveries.read(id)) ?? {};
  expect(studyInstanceUid).not.toBe('');
  for (const secret of [id, 'site-b', studyInstanceUid]) {
    expect([secret, archive.includes(secret)]).toEqual([secret, false]);
  }
});

it('a crash before the record says so takes the inner one as it was sealed, and seals the outer one again', async () => {
  const update = () => Promise.reject(new Error('killed'));
  const id = await packed();
  const dying = a.process({ hubTo, deliveries: { ...a.context.deliveries, update } });
  await expect(seal(dying.outbound, id, signal)).rejects.toThrow('killed');
  const before = await sealedOf(a);
  const archive = await archiveOf(a, id);
  await seal(nestingA.outbound, id, signal);
  expect(await sealedOf(a)).toEqual(before);
  expect(before).toHaveLength(2);
  expect(await archiveOf(a, id)).toEqual(archive);
  expect(await readdir(a.context.layout.scratch)).toEqual([]);
  await ship(nestingA.outbound, id, signal);
  const { staging } = await openAt(b, a);
  expect(staging.files.get(`files/${id}.JMIX.tar`)).toEqual(await archiveOf(a, id));
});

it('an outer one that cannot be made leaves no half of it behind', async () => {
  const id = await packed();
  const badKey = generateKeyPairSync('ed25519').publicKey;
  const failing = a.process({ hubTo: () => ({ id: 'hub', encryptionKey: badKey }) });
  await expect(seal(failing.outbound, id, signal)).rejects.toThrow();
  expect(await sealedOf(a)).toEqual([`${id}.JMIX`]);
  expect(await readdir(a.context.layout.scratch)).toEqual([]);
});

it('what nobody confirmed is looked for under the id of the outer one', async () => {
  const { lines } = a.context;
  const outboxTo = (peerId: string) => ({
    ...lines.outboxTo(peerId),
    async put(...args: Parameters<ReturnType<typeof lines.outboxTo>['put']>) {
      await lines.outboxTo(peerId).put(...args);
      throw new GatewayError('SHIP_UNCONFIRMED', 'nobody answered');
    },
  });
  const unsure = a.process({ hubTo, lines: { ...lines, outboxTo } });
  const id = await unsure.send('site-b');
  expect(await a.context.deliveries.read(id)).toMatchObject({ carriage: 'sent' });
  // Were it put once more, that would fail again.
  await ship(unsure.outbound, id, signal);
  expect(await a.context.deliveries.read(id)).toMatchObject({ carriage: 'acknowledged' });
});

it('study and receipt travel nested both ways, and nothing of either is left when it is old', async () => {
  const id = await nestingA.send('site-b');
  await passOn(b, a);
  await nestingB.poll();
  expect(await b.context.receptions.read(id)).toMatchObject({ progress: 'confirmed' });
  expect(await sealedOf(b)).toEqual([]);
  const [letter = ''] = await readdir(a.inboxFolder);
  await passOn(a, b);
  expect(await readdir(a.inboxFolder)).not.toContain(letter);
  await nestingA.poll();
  expect(await a.context.deliveries.read(id)).toMatchObject({ receipt: 'verified' });
  expect(await sealedOf(a)).toHaveLength(2);
  a.time.ms += HOUR_MS;
  expect(await sweepStudies(nestingA.outbound, HOUR_MS)).toBe(1);
  expect(await sealedOf(a)).toEqual([]);
});

it('a nested letter that could not be put goes out as it was sealed', async () => {
  await nestingA.send('site-b');
  await passOn(b, a);
  const { lines } = b.context;
  const down = () => Promise.reject(new GatewayError('PEER_UNREACHABLE', 'the line is down'));
  const offline = b.process({
    hubTo,
    lines: { ...lines, outboxTo: (peerId) => ({ ...lines.outboxTo(peerId), put: down }) },
  });
  await offline.poll();
  const before = await manifestsOf(b);
  expect(before).toHaveLength(2);
  nestingB.jobs.push(...offline.postponed);
  await nestingB.work();
  const [name = ''] = await readdir(a.inboxFolder);
  const outer = parseExchangeName(name)?.id;
  const { archive } = await openAt(a, b);
  expect(before.find(([folder]) => folder === `${outer}.JMIX`)?.[1]).toBeDefined();
  for (const [folder, manifest] of before) {
    expect(archive.includes(manifest)).toBe(folder === `${outer}.JMIX`);
  }
});

async function manifestsOf({ context: { layout } }: TestSite) {
  const folders = await readdir(layout.sealed);
  return Promise.all(
    folders.map(
      async (folder) => [folder, await readFile(join(layout.sealed, folder, 'manifest.json'))] as const,
    ),
  );
}

/** A delivery that waits for `seal`. */
async function packed(): Promise<EnvelopeId> {
  const id = await nestingA.send('site-b');
  await rm(join(b.inboxFolder, archiveName(await outerOf(id))));
  for (const folder of await readdir(a.context.layout.sealed)) {
    await rm(join(a.context.layout.sealed, folder), { recursive: true });
  }
  await a.context.deliveries.update(id, ({ sealed: _, ...record }) => ({ ...record, carriage: 'packed' }));
  return id;
}
