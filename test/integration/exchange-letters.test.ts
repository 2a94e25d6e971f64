/** Receipts that may settle nothing: dishonest ones, misdirected ones, forged ones; and letters that nobody can open. */
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type EnvelopeId, parseEnvelopeId } from '../../src/domain/envelope-id.js';
import { nextReceptionSteps } from '../../src/domain/reception-steps.js';
import { mailReceipt } from '../../src/inbound/mail-receipt.js';
import { rawPublicKey } from '../../src/jmix/raw-keys.js';
import type { Receipt } from '../../src/trust/receipt.js';
import {
  areIdle,
  honestReceipt,
  lettersAt,
  lineDown,
  lyingFor,
  mailTo,
  peerOf,
  receiptAt,
  receptionsOf,
  sealedAt,
  signedBy,
  storedInstance,
  withPut,
} from '../support/site-letters.js';
import { makeSites, type TestSite, type TestSites } from '../support/site-parts.js';

const { signal } = new AbortController();

let sites: TestSites;
let a: TestSite;
let b: TestSite;
let c: TestSite;

const start = async (...choice: Parameters<typeof makeSites>) => {
  sites = await makeSites(...choice);
  a = sites.site('site-a');
  b = sites.site('site-b');
};
afterEach(() => sites.close());

const deliveryOf = (id: EnvelopeId) => a.context.deliveries.read(id);

describe('between two sites', () => {
  beforeEach(() => start(['site-a', 'site-b']));

  it.each<[string, (honest: Receipt) => Partial<Receipt>]>([
    [
      'names an instance that was not sent',
      () => ({ instances: [storedInstance('1.2.3'), storedInstance('1.2.4')] }),
    ],
    ['names too few', ({ instances }) => ({ instances: instances.slice(1) })],
    ['names none', () => ({ instances: [] })],
    [
      'names other bytes',
      ({ instances }) => ({ instances: instances.map((each) => ({ ...each, sha256: '0'.repeat(64) })) }),
    ],
    ['names no PACS', ({ instances }) => ({ instances: instances.map((each) => ({ ...each, status: {} })) })],
    ['is about another manifest', () => ({ manifest_sha256: '0'.repeat(64) })],
    ['is about another envelope', () => ({ envelope_id: randomUUID() })],
    ['speaks for another site', () => ({ receiver: { id: 'site-c', name: 'C' } })],
  ])('a receipt that %s leaves the delivery open, and is kept for the operator', async (_what, change) => {
    const id = await a.send('site-b');
    const honest = await honestReceipt(a, id);
    await mailTo(b, { ...honest, ...change(honest) }, id);
    await a.poll();
    expect(await deliveryOf(id)).toMatchObject({ carriage: 'acknowledged', receipt: 'awaited' });
    const [letter] = await lettersAt(a);
    expect(letter).toMatchObject({ progress: 'confirmed', quarantined: { code: 'RECEIPT_INVALID' } });
    expect(await readdir(a.context.layout.quarantine)).toHaveLength(1);
    expect(await readdir(a.context.layout.staging)).toEqual([]);
    expect(a.jobs).toEqual([]);
    await b.poll();
    await a.poll();
    expect(await deliveryOf(id)).toMatchObject({ receipt: 'verified' });
  });

  it('a receipt for what was never sent is put aside, and nobody answers it', async () => {
    const id = parseEnvelopeId(randomUUID());
    await mailTo(b, { ...(await honestReceipt(a, await a.send('site-b'))), envelope_id: id }, id);
    const before = await lyingFor(b);
    await a.poll();
    const letters = await lettersAt(a);
    expect(letters).toMatchObject([{ quarantined: { code: 'ENVELOPE_NOT_FOUND' }, receiptFor: id }]);
    // Nor does it when the records are gone through after a restart.
    expect(letters.flatMap(nextReceptionSteps)).toEqual([]);
    expect(await lyingFor(b)).toEqual(before);
  });
});

describe('with somebody in between', () => {
  beforeEach(async () => {
    await start(['site-a', 'site-b', 'site-c']);
    c = sites.site('site-c');
  });

  it('a receipt by another peer settles nothing', async () => {
    const id = await a.send('site-b');
    const honest = await honestReceipt(a, id);
    await mailTo(c, { ...honest, receiver: { id: 'site-c', name: 'C' } }, id);
    await mailTo(c, honest, id);
    await a.poll();
    expect(await deliveryOf(id)).toMatchObject({ receipt: 'awaited' });
    expect(await lettersAt(a)).toMatchObject([
      { senderId: 'site-c', quarantined: { code: 'ENVELOPE_NOT_FOUND' } },
      { senderId: 'site-c', quarantined: { code: 'ENVELOPE_NOT_FOUND' } },
    ]);
    expect([a.jobs, await lyingFor(c)]).toEqual([[], []]);
  });

  it('the right receipt in an envelope of another peer settles nothing', async () => {
    const id = await a.send('site-b');
    await b.process(withPut(b, lineDown)).poll();
    const receipt = await receiptAt(b, id);
    if (receipt === undefined) throw new Error('there is no receipt');
    await mailReceipt(c.inbound, peerOf(c, 'site-a'), { id, receipt }, signal);
    await a.poll();
    expect(await deliveryOf(id)).toMatchObject({ receipt: 'awaited' });
    expect(await lettersAt(a)).toMatchObject([{ quarantined: { code: 'ENVELOPE_NOT_FOUND' } }]);
  });

  it('an envelope in the name of the receiver, but not by its key, is not even opened', async () => {
    const id = await a.send('site-b');
    const inbound = { ...c.inbound, site: b.context.settings.site };
    const receipt = signedBy(c, await honestReceipt(a, id));
    await mailReceipt(inbound, peerOf(c, 'site-a'), { id, receipt }, signal);
    await a.poll();
    expect(await deliveryOf(id)).toMatchObject({ receipt: 'awaited' });
    expect(await receptionsOf(a)).toMatchObject([
      { progress: 'received', quarantined: { code: 'SIGNER_NOT_PINNED' }, senderId: 'site-b' },
    ]);
  });
});

describe('with keys that do not fit', () => {
  const wrongKey = () => rawPublicKey(generateKeyPairSync('x25519').publicKey).toString('base64');
  const wrongSigner = () => rawPublicKey(generateKeyPairSync('ed25519').publicKey).toString('base64');

  it('a peer without a key for it gets no receipt, and an operator hears why', async () => {
    await start(['site-a', 'site-b'], (site) => (site === 'site-b' ? { encryptionKey: undefined } : {}));
    const id = await a.send('site-b');
    await b.poll();
    expect(await b.context.receptions.read(id)).toMatchObject({
      progress: 'delivered',
      parked: {
        code: 'PEER_REFUSED',
        stage: 'confirm',
        message: 'no receipt can be sealed to site-a: it has no encryptionKey',
      },
    });
    expect([await lyingFor(a), await sealedAt(b), b.jobs]).toEqual([[], [], []]);
  });

  it('a study that cannot be opened is refused by mail', async () => {
    await start(['site-a', 'site-b'], (site) => (site === 'site-a' ? { encryptionKey: wrongKey() } : {}));
    const id = await a.send('site-b');
    await b.poll();
    await a.poll();
    expect(await deliveryOf(id)).toMatchObject({
      receipt: 'refused',
      refusal: { code: 'PAYLOAD_DECRYPT_FAILED' },
    });
    expect(await areIdle(a, b)).toBe(true);
  });

  it.each([
    ['open', () => ({ encryptionKey: wrongKey() })],
    ['verify', () => ({ signingKeys: [wrongSigner()] })],
  ])(
    'two sites that cannot %s what the other sends do not refuse each other without end',
    async (_what, wrong) => {
      await start(['site-a', 'site-b'], wrong);
      await a.send('site-b');
      for (let round = 0; round < 3; round += 1) {
        await b.poll();
        await a.poll();
      }
      expect([await receptionsOf(a), await receptionsOf(b)].map(({ length }) => length)).toEqual([1, 1]);
      expect(await areIdle(a, b)).toBe(true);
    },
  );
});
