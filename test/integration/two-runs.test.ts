/**
 * One step of one envelope, run by two processes at once: a worker that has lost its claim without knowing it, and the one
 * that took the step over. The result is one, whoever is slower.
 */

import { generateKeyPairSync } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import type { Reception } from '../../src/domain/reception.js';
import { GatewayError } from '../../src/errors/gateway-error.js';
import { receiptFor } from '../../src/inbound/confirm.js';
import { giveUpReception } from '../../src/inbound/give-up.js';
import { open } from '../../src/inbound/open.js';
import { createReceiver } from '../../src/inbound/receive.js';
import { verify } from '../../src/inbound/verify.js';
import { sha256Hex } from '../../src/jmix/digest.js';
import { openEnvelopeArchive } from '../../src/jmix/envelope-archive.js';
import { parkDelivery } from '../../src/outbound/give-up.js';
import { pack } from '../../src/outbound/pack.js';
import { seal } from '../../src/outbound/seal.js';
import type { RecordStore } from '../../src/spool/record-store.js';
import { makeSites, type SiteProcess, type TestSite, type TestSites } from '../support/site-parts.js';
import { completeFor, gatherStudy, routeTo } from '../support/site-studies.js';

const { signal } = new AbortController();

let sites: TestSites;
let a: TestSite;
let b: TestSite;

beforeEach(async () => {
  sites = await makeSites(['site-a', 'site-b']);
  a = sites.site('site-a');
  b = sites.site('site-b');
});
afterEach(() => sites.close());

const packed = async (): Promise<EnvelopeId> => {
  const [id] = await completeFor(a.outbound, await gatherStudy(a.outbound, {}), routeTo('site-b'));
  if (id === undefined) throw new Error('the study goes nowhere');
  a.jobs.length = 0;
  await pack(a.outbound, id, signal);
  return id;
};
/** At B, and not yet opened. */
const received = async (): Promise<EnvelopeId> => {
  const id = await packed();
  await seal(a.outbound, id, signal);
  const archive = await buffer((await openEnvelopeArchive(a.context.layout.sealedEnvelope(id))).stream);
  const upload = { body: Readable.from([archive]), mediaType: 'application/x-tar', signal } as const;
  await createReceiver(b.inbound)({ from: { peerId: 'site-a' }, ...upload });
  return id;
};
const receptionOf = (id: EnvelopeId) => b.context.receptions.read(id);
const left = async () => {
  const { scratch, staging, opened, inbox, quarantine } = b.context.layout;
  const folders = [scratch, staging, opened, inbox, quarantine];
  return (await Promise.all(folders.map((folder) => readdir(folder)))).flat();
};
/** A process of B that stands still the first time that it does this with its records, while `meanwhile` happens. */
const slowAt = <K extends 'read' | 'update' | 'readDocument' | 'writeDocument'>(
  call: K,
  meanwhile: () => Promise<unknown>,
): SiteProcess => {
  const { receptions } = b.context;
  let isDone = false;
  const slow = async (...args: Parameters<RecordStore<Reception>[K]>) => {
    const before = call === 'readDocument' ? await callOf(receptions, call, args) : undefined;
    if (!isDone) {
      isDone = true;
      await meanwhile();
    }
    return call === 'readDocument' ? before : callOf(receptions, call, args);
  };
  return b.process({ receptions: { ...receptions, [call]: slow } });
};
const callOf = (store: object, call: string, args: readonly unknown[]): unknown =>
  Reflect.apply(Reflect.get(store, call), store, args);
const learningSlowly = (meanwhile: () => Promise<unknown>) =>
  b.process({
    keyNews: {
      ...b.context.keyNews,
      learn: async (...args) => {
        const learned = await b.context.keyNews.learn(...args);
        await meanwhile();
        return learned;
      },
    },
  });
/** Without what its PACS says to storage commitment. */
const eventsOf = async (id: EnvelopeId) =>
  (await receptionOf(id))?.steps.map(({ event }) => event).filter((event) => event !== 'commitment');
const STORY = ['opened', 'verified', 'pacs', 'delivered', 'confirmed'];

it('open: the slower one finds it at the PACS already, and changes nothing', async () => {
  const id = await received();
  await open(learningSlowly(() => b.work()).inbound, id, signal);
  expect(await eventsOf(id)).toEqual(STORY);
  expect(await left()).toEqual([id, `${id}.JMIX`]);
});

it('open: of two that come to their end together, one gives the payload its name', async () => {
  const id = await received();
  const slower = slowAt('update', () => open(b.inbound, id, signal));
  await open(slower.inbound, id, signal);
  expect(await eventsOf(id)).toEqual(['opened']);
  expect(await left()).toEqual([id, `${id}.JMIX`]);
  await b.work();
  expect(await eventsOf(id)).toEqual(STORY);
});

it('verify: the slower one finds it at the PACS already, and changes nothing', async () => {
  const id = await received();
  await open(b.inbound, id, signal);
  await verify(slowAt('writeDocument', () => b.work()).inbound, id, signal);
  expect(await eventsOf(id)).toEqual(STORY);
  expect(await left()).toEqual([id, `${id}.JMIX`]);
});

it.each([1, 2, 3])(
  'open and verify, three times each and side by side: the study is stored, round %i',
  async () => {
    const id = await received();
    for (const step of [open, verify]) {
      const ends = await Promise.allSettled([1, 2, 3].map(() => step(b.process({}).inbound, id, signal)));
      expect(ends.some(({ status }) => status === 'fulfilled')).toBe(true);
      // What fails comes again.
      for (const end of ends) if (end.status === 'rejected') expect(end.reason.kind).toBe('transient');
    }
    await b.work();
    expect(await eventsOf(id)).toEqual(STORY);
    expect(await left()).toEqual([id, `${id}.JMIX`]);
  },
);

it('a step that fails here, and that another process has done meanwhile, is not given up', async () => {
  const id = await received();
  await b.work();
  const before = await receptionOf(id);
  for (const error of [
    new GatewayError('FAULT', 'missing'),
    new GatewayError('PAYLOAD_INCONSISTENT', 'half'),
  ]) {
    for (const stage of ['open', 'verify'] as const) await giveUpReception(b.inbound, { stage }, id, error);
  }
  expect(await receptionOf(id)).toEqual(before);
  expect(await left()).toEqual([id, `${id}.JMIX`]);
  const sealed = await a.context.deliveries.read(id);
  await parkDelivery(a.outbound, 'seal', id, new GatewayError('FAULT', 'missing'));
  expect(await a.context.deliveries.read(id)).toEqual(sealed);
  await parkDelivery(a.outbound, 'ship', id, new GatewayError('FAULT', 'missing'));
  expect(await a.context.deliveries.read(id)).toMatchObject({ parked: { stage: 'ship' } });
});

it('confirm: two that make the receipt side by side send the same one', async () => {
  const id = await received();
  await open(b.inbound, id, signal);
  await verify(b.inbound, id, signal);
  let first: Buffer | undefined;
  const slower = slowAt('readDocument', async () => {
    first = await receiptFor(b.inbound, 'site-a', id);
    b.time.ms += 1_000;
  });
  await b.context.receptions.update(id, (record) => ({ ...record, progress: 'delivered' }));
  expect(await receiptFor(slower.inbound, 'site-a', id)).toEqual(first);
  expect(await b.context.receptions.readDocument(id, 'receipt.jws')).toEqual(first);
});

it('seal: the envelope around another one, for a hub, is the one that the record names', async () => {
  const id = await packed();
  const hub = { id: 'hub', encryptionKey: generateKeyPairSync('x25519').publicKey };
  const hubTo = () => hub;
  const faster = a.process({ hubTo });
  const { deliveries } = a.context;
  let isDone = false;
  const slower = a.process({
    hubTo,
    deliveries: {
      ...deliveries,
      writeDocument: async (...args) => {
        await deliveries.writeDocument(...args);
        if (isDone) return;
        isDone = true;
        await seal(faster.outbound, id, signal);
      },
    },
  });
  await seal(slower.outbound, id, signal);
  const outer = (await deliveries.read(id))?.sealed?.outer;
  if (outer === undefined) throw new Error('it was sealed once only');
  const manifest = await readFile(join(a.context.layout.sealedEnvelope(outer.id), 'manifest.json'));
  expect(sha256Hex(manifest)).toBe(outer.manifestSha256);
});
