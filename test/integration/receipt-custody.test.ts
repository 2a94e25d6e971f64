/** What becomes of the audit trail on its way: what the sender makes of the one that a receipt brings back. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import { type AuditEntry, formatAuditEntry, parseAuditTrail } from '../../src/jmix/audit-trail.js';
import { type CustodySubject, withSteps } from '../../src/jmix/custody-step.js';
import { acceptReceipt, RECEIPT_DOCUMENT } from '../../src/outbound/receipt.js';
import {
  RECEIPT_MAX_STEPS,
  type Receipt,
  readReceipt,
  receiptAnnouncements,
  signReceipt,
} from '../../src/trust/receipt.js';
import { honestReceipt, signedBy } from '../support/site-letters.js';
import { makeSites, type TestSite, type TestSites } from '../support/site-parts.js';
import { STRANGER } from '../unit/jmix/support/sealing.js';

let sites: TestSites;
let a: TestSite;
let b: TestSite;
let id: EnvelopeId;
let sealed: readonly AuditEntry[];
let subject: CustodySubject;

beforeEach(async () => {
  sites = await makeSites(['site-a', 'site-b']);
  a = sites.site('site-a');
  b = sites.site('site-b');
  id = await a.send('site-b');
  sealed = parseAuditTrail((await a.context.deliveries.readDocument(id, 'audit.json')) ?? Buffer.alloc(0));
  const manifestSha256 = (await a.context.deliveries.read(id))?.sealed?.manifestSha256 ?? '';
  subject = { envelopeId: id, manifestSha256 };
});
afterEach(() => sites.close());

const received = () => {
  const by = { id: 'site-b', name: 'Hospital site-b' };
  return ['received', 'stored'].map((event) => ({ event, by, timestamp: '2026-11-21T08:17:00Z' }));
};

/** The receipt of site-b for a trail that came to it as `trail`. */
async function receiptOver(trail: readonly AuditEntry[]): Promise<Receipt> {
  const { privateKey } = b.context.keys.signing;
  const steps = withSteps(trail, received(), subject, privateKey).map(formatAuditEntry);
  return { ...(await honestReceipt(a, id)), audit: steps };
}

async function accept(receipt: Receipt) {
  await acceptReceipt(a.outbound, 'site-b', id, signedBy(b, receipt));
  return a.context.deliveries.read(id);
}

const warnings = () => a.logged.filter(({ event }) => event === 'custody.broken');

function altered(change: Partial<AuditEntry>): readonly AuditEntry[] {
  return sealed.map((entry) => ({ ...entry, ...change }));
}

it.each<[string, () => readonly AuditEntry[]]>([
  ['was altered', () => altered({ timestamp: '2026-01-01T00:00:00Z' })],
  ['was left out', () => []],
  [
    'is signed by somebody else',
    () => {
      const drafts = sealed.map(({ assertion: _, ...draft }) => draft);
      return withSteps([], drafts, subject, STRANGER.privateKey);
    },
  ],
  ['has lost its signature', () => sealed.map(({ assertion: _, ...draft }) => draft)],
  ['has another in front of it', () => [...received(), ...sealed]],
])(
  'when our step %s on the way, the delivery is verified, and its custody marked broken',
  async (_, trail) => {
    expect(sealed).toHaveLength(1);
    expect(await accept(await receiptOver(trail()))).toMatchObject({
      receipt: 'verified',
      custody: 'broken',
    });
    expect(warnings()).toMatchObject([{ delivery: id, code: 'CUSTODY_BROKEN' }]);
    expect(await a.context.deliveries.readDocument(id, RECEIPT_DOCUMENT)).toBeDefined();
  },
);

it('when a step by a hub in between is bad, it is marked as well', async () => {
  const forwarded = { event: 'forwarded', by: { id: 'hub' }, timestamp: '2026-11-21T08:16:00Z' };
  const trail = withSteps(sealed, [forwarded], subject, STRANGER.privateKey);
  const bad = trail.map((entry) => (entry.event === 'forwarded' ? { ...entry, by: { id: 'hub-2' } } : entry));
  expect(await accept(await receiptOver(bad))).toMatchObject({ receipt: 'verified', custody: 'broken' });
});

it('a good step by a hub that we do not know breaks nothing', async () => {
  const forwarded = { event: 'forwarded', by: { id: 'hub' }, timestamp: '2026-11-21T08:16:00Z' };
  const trail = withSteps(sealed, [forwarded], subject, STRANGER.privateKey);
  expect(await accept(await receiptOver(trail))).toMatchObject({ receipt: 'verified', custody: 'whole' });
  expect(warnings()).toEqual([]);
});

it('a receipt by software that chains no steps says nothing of the way', async () => {
  const record = await accept({ ...(await honestReceipt(a, id)), audit: received() });
  expect(record?.receipt).toBe('verified');
  expect(record).not.toHaveProperty('custody');
});

it('a real receiver keeps the trail as it came, and chains its own steps to it', async () => {
  await b.poll();
  await a.poll();
  expect(await a.context.deliveries.read(id)).toMatchObject({ receipt: 'verified', custody: 'whole' });
  expect(await b.context.receptions.readDocument(id, 'audit.json')).toEqual(
    await a.context.deliveries.readDocument(id, 'audit.json'),
  );
});

it.each<[string, () => Buffer]>([
  ['is no JSON', () => Buffer.from('MUSTERMANN')],
  [
    'has more steps than a receipt',
    () =>
      Buffer.from(JSON.stringify({ audit: Array.from({ length: RECEIPT_MAX_STEPS }, () => received()[0]) })),
  ],
])(
  'when audit.json %s, the study is stored and confirmed all the same, and the sender told of the break',
  async (_, bytes) => {
    const readDocument = async (of: EnvelopeId, name: string) =>
      name === 'audit.json' ? bytes() : b.context.receptions.readDocument(of, name);
    await b.process({ receptions: { ...b.context.receptions, readDocument } }).poll();
    await a.poll();
    expect(await a.context.deliveries.read(id)).toMatchObject({ receipt: 'verified', custody: 'broken' });
  },
);

it('a receipt brings word of new keys in its header, bounded', async () => {
  const { privateKey, publicKey } = b.context.keys.signing;
  const receipt = await receiptOver(sealed);
  const expected = { keys: [publicKey], id, receiverId: 'site-b', manifestSha256: subject.manifestSha256 };
  const jws = signReceipt(receipt, privateKey, publicKey, ['a.b.c', 'd.e.f']);
  expect(receiptAnnouncements(jws)).toEqual(['a.b.c', 'd.e.f']);
  expect(readReceipt(jws, expected).outcome).toBe('stored');
  expect(receiptAnnouncements(signReceipt(receipt, privateKey, publicKey))).toEqual([]);
  const many = Array.from({ length: 1000 }, (_, index) => `statement ${index}`);
  expect(receiptAnnouncements(signReceipt(receipt, privateKey, publicKey, many)).at(-1)).toBe(
    'statement 999',
  );
  expect(receiptAnnouncements(signReceipt(receipt, privateKey, publicKey, many)).length).toBeLessThan(100);
  expect(() => receiptAnnouncements(Buffer.from('nothing'))).toThrow(
    expect.objectContaining({ code: 'RECEIPT_INVALID' }),
  );
});
