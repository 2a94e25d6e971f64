/** What the sender hears of a study, asked for at the worst moment: never that a PACS refused what it has taken. */
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import type { PacsOutcome, Reception } from '../../src/domain/reception.js';
import { receiptFor } from '../../src/inbound/confirm.js';
import { deliver } from '../../src/inbound/deliver.js';
import { open } from '../../src/inbound/open.js';
import { createReceiver } from '../../src/inbound/receive.js';
import { recoverReceptions } from '../../src/inbound/recover.js';
import { verify } from '../../src/inbound/verify.js';
import { openEnvelopeArchive } from '../../src/jmix/envelope-archive.js';
import { acceptReceipt } from '../../src/outbound/receipt.js';
import { makeSites, type TestSite, type TestSites } from '../support/site-parts.js';

const { signal } = new AbortController();
const REFUSED: PacsOutcome = { state: 'refused', storedCount: 0, refusedCount: 2 };

let sites: TestSites;
let a: TestSite;
let b: TestSite;
let id: EnvelopeId;

/** A study of A, verified at B, and not yet sent to the PACS. */
beforeEach(async () => {
  sites = await makeSites(['site-a', 'site-b']);
  a = sites.site('site-a');
  b = sites.site('site-b');
  id = await a.send('site-b');
  const archive = await buffer((await openEnvelopeArchive(a.context.layout.sealedEnvelope(id))).stream);
  const upload = { body: Readable.from([archive]), mediaType: 'application/x-tar', signal } as const;
  await createReceiver(b.inbound)({ from: { peerId: 'site-a' }, ...upload });
  for (const step of [open, verify]) await step(b.inbound, id, signal);
});
afterEach(() => sites.close());

const receptionOf = () => b.context.receptions.read(id);
const askedFor = () => receiptFor(b.inbound, 'site-a', id);
/** B, where something happens when the PACS has stored it all, and the record does not say `delivered` yet. */
const whenStored = (happens: () => Promise<unknown>) => {
  const { receptions } = b.context;
  const update: typeof receptions.update = async (of, change) => {
    const record = await receptions.read(of);
    const next = record === undefined ? undefined : change(record);
    if (record?.progress === 'verified' && next?.progress === 'delivered') await happens();
    return receptions.update(of, change);
  };
  return b.process({ receptions: { ...receptions, update } });
};

it('between the last answer of the PACS and the record there is no receipt yet', async () => {
  let asked: unknown = 'nobody asked';
  const slow = whenStored(async () => {
    asked = await askedFor();
  });
  await deliver(slow.inbound, id, 'main', signal);
  expect(asked).toBeUndefined();
  expect(await b.context.receptions.readDocument(id, 'refusal.jws')).toBeUndefined();
  expect(await receptionOf()).toMatchObject({ progress: 'delivered' });
});

it('a bridge that dies there goes on to the receipt, and tells no refusal', async () => {
  const dying = whenStored(() => Promise.reject(new Error('killed')));
  await expect(deliver(dying.inbound, id, 'main', signal)).rejects.toThrow('killed');
  expect(await receptionOf()).toMatchObject({ progress: 'verified', pacs: { main: { state: 'stored' } } });
  b.jobs.length = 0;
  expect(await recoverReceptions(b.inbound, [id])).toBe(1);
  await b.work();
  expect(await receptionOf()).toMatchObject({ progress: 'confirmed' });
  expect((await receptionOf())?.refusalConfirmed).toBeUndefined();
  expect(await b.context.receptions.readDocument(id, 'refusal.jws')).toBeUndefined();
  await a.poll();
  expect(await a.context.deliveries.read(id)).toMatchObject({ receipt: 'verified' });
});

it('one that was told of as refused, by a bridge that knew no better, is told of as stored', async () => {
  const dying = whenStored(() => Promise.reject(new Error('killed')));
  await expect(deliver(dying.inbound, id, 'main', signal)).rejects.toThrow('killed');
  await b.context.receptions.update(id, (record) => ({ ...record, refusalConfirmed: true }));
  await recoverReceptions(b.inbound, [id]);
  await b.work();
  expect(await receptionOf()).toMatchObject({ progress: 'confirmed' });
  await a.poll();
  expect(await a.context.deliveries.read(id)).toMatchObject({ receipt: 'verified' });
});

it('a refusal that was overtaken by the receipt changes neither record nor proof', async () => {
  const before = (await receptionOf()) as Reception;
  const says = (change: Partial<Reception>) =>
    b.context.receptions.update(id, ({ revision }) => ({ ...before, ...change, revision }));
  await says({ pacs: { main: REFUSED } });
  const refusal = await askedFor();
  await says({});
  await deliver(b.inbound, id, 'main', signal);
  const receipt = await askedFor();
  if (refusal === undefined || receipt === undefined) throw new Error('there are both');
  const { keyNews, deliveries } = a.context;
  let isOvertaken = false;
  const slow = a.process({
    keyNews: {
      ...keyNews,
      async learn(...args) {
        if (!isOvertaken) {
          isOvertaken = true;
          await acceptReceipt(a.outbound, 'site-b', id, receipt);
        }
        return keyNews.learn(...args);
      },
    },
  });
  await acceptReceipt(slow.outbound, 'site-b', id, refusal);
  expect(await deliveries.read(id)).toMatchObject({ receipt: 'verified' });
  expect(await deliveries.readDocument(id, 'receipt.jws')).toEqual(receipt);
  expect(a.logged.filter(({ event }) => event === 'delivery.refused')).toEqual([]);
});
