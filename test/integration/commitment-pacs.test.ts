/** We ask a PACS to commit to what it stored: every way in which it may answer, and not answer. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { reportCommitment } from '../../src/dimse/commitment-messages.js';
import {
  type CommitmentAsked,
  type CommitmentHandlers,
  createCommitmentService,
} from '../../src/dimse/commitment-service.js';
import type { Scp } from '../../src/dimse/scp.js';
import type { ServicePeer } from '../../src/dimse/service.js';
import type { StoreHandler } from '../../src/dimse/store-scp.js';
import { transactionUidOf } from '../../src/domain/commitment-transaction.js';
import { type EnvelopeId, parseEnvelopeId } from '../../src/domain/envelope-id.js';
import type { Pacs } from '../../src/domain/peer.js';
import { type Reception, receptionState } from '../../src/domain/reception.js';
import { acceptCommitmentReport } from '../../src/inbound/commitment-report.js';
import { retryReception } from '../../src/inbound/retry.js';
import { parseCompactJws } from '../../src/jmix/manifest-jws.js';
import { listen, openModality, SILENT, startGateway } from '../support/commitment.js';
import { makeSites, type SiteProcess, type TestSite, type TestSites } from '../support/site-parts.js';

type Asked = NonNullable<CommitmentHandlers['asked']>;

const TIMEOUT_MS = 300_000;
const TAKEN = { status: 0 };

let sites: TestSites;
let site: TestSite;
/** What the PACS was asked for, and what it stored. */
let requests: CommitmentAsked[];
let stored: string[];
const closing: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  sites = await makeSites(['site-a', 'site-b']);
  site = sites.site('site-b');
  requests = [];
  stored = [];
});

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  await sites.close();
});

const all = ({ references }: CommitmentAsked) => ({ committed: references, failed: [] });

/** A PACS that stores everything, and answers storage commitment by `asked`. */
async function startPacs(asked: Asked): Promise<Scp> {
  const handler: StoreHandler = {
    begin: async ({ sopInstanceUid }) => ({
      write: () => undefined,
      commit: async () => void stored.push(sopInstanceUid),
      discard: async () => undefined,
    }),
  };
  const service = createCommitmentService(
    {
      asked: (request, peer) => {
        requests.push(request);
        return asked(request, peer);
      },
      reported: async () => ({ status: 0x0112 }),
    },
    SILENT,
  );
  const pacs = await listen('PACS', [service], handler);
  closing.push(() => pacs.close(0));
  return pacs;
}

/** After the answer has gone out. */
function reportLater(peer: ServicePeer, request: CommitmentAsked): typeof TAKEN {
  setTimeout(
    () => void reportCommitment(peer, request.transactionUid, all(request)).catch(() => undefined),
    50,
  );
  return TAKEN;
}

/** Ends before it answers. */
async function dies(pacs: Scp, peer: ServicePeer): Promise<typeof TAKEN> {
  const over = once(peer.signal, 'abort');
  void pacs.close(0);
  await over;
  return TAKEN;
}

function process(port: number, more: Partial<Pacs> = {}): SiteProcess {
  return site.process({ pacs: pacsAt(port, more) });
}

function pacsAt(port: number, more: Partial<Pacs> = {}): ReadonlyMap<string, Pacs> {
  const main = site.context.pacs.get('main');
  if (main === undefined) throw new Error('the site has a PACS main');
  return new Map([['main', { ...main, port, commitmentTimeoutMs: TIMEOUT_MS, ...more }]]);
}

/** A study comes from site-a, and goes as far as it gets. */
async function receive(at: SiteProcess): Promise<Reception> {
  await sites.site('site-a').send('site-b');
  await at.poll();
  return reception();
}

async function reception(): Promise<Reception> {
  const [id] = await site.context.receptions.ids();
  const record = id === undefined ? undefined : await site.context.receptions.read(id);
  if (record === undefined) throw new Error('nothing was received');
  return record;
}

async function receiptOf({ id }: Reception): Promise<Record<string, unknown>> {
  const jws = await site.context.receptions.readDocument(id, 'receipt.jws');
  if (jws === undefined) throw new Error('there is no receipt');
  return JSON.parse(parseCompactJws(jws).payload.toString('utf8')) as Record<string, unknown>;
}

/** Runs again what was put off, and what has been put on the queues. */
async function again(at: SiteProcess): Promise<Reception> {
  const { id } = await reception();
  for (const { stage, id: job } of at.postponed.splice(0)) at.jobs.push({ stage, id: job });
  if (at.jobs.length === 0) await at.inbound.enqueue({ stage: 'deliver', pacs: 'main' }, id);
  await at.work();
  return reception();
}

async function openTransaction(): Promise<EnvelopeId> {
  const [id] = await site.context.transactions.ids();
  if (id === undefined) throw new Error('no transaction was kept');
  return id;
}

const reportedBy = (at: SiteProcess, request: CommitmentAsked, pacs = 'main') =>
  acceptCommitmentReport(
    at.inbound,
    { transactionUid: request.transactionUid, ...all(request) },
    async (name) => name === pacs,
  );

describe('a PACS that commits', () => {
  it.each(['offered', 'required'] as const)(
    '%s: its report on the same association confirms the delivery, and the receipt says so',
    async (commitment) => {
      const pacs = await startPacs(async (request, peer) => reportLater(peer, request));
      const done = await receive(process(pacs.port, { commitment }));
      expect(done).toMatchObject({
        progress: 'confirmed',
        pacs: { main: { state: 'stored', commitment: { state: 'committed' } } },
      });
      expect(requests).toHaveLength(1);
      expect(await receiptOf(done)).toMatchObject({ commitment: { main: { state: 'committed' } } });
    },
  );

  it('a report that comes before the answer to the request counts', async () => {
    const pacs = await startPacs(async (request, peer) => {
      await reportCommitment(peer, request.transactionUid, all(request));
      return TAKEN;
    });
    const done = await receive(process(pacs.port));
    expect(done.pacs['main']?.commitment?.state).toBe('committed');
  });

  it('a report that comes late, and to the gateway, wakes the step', async () => {
    const pacs = await startPacs(async () => TAKEN);
    const at = process(pacs.port, { commitment: 'required' });
    const waiting = await receive(at);
    expect(at.postponed).toMatchObject([{ stage: 'deliver', code: 'COMMITMENT_PENDING' }]);
    expect(waiting).toMatchObject({
      progress: 'verified',
      pacs: { main: { state: 'pending', storedCount: 2 } },
    });
    const gateway = await startGateway(site, {}, pacsAt(pacs.port));
    closing.push(gateway.close);
    const [request] = requests;
    if (request === undefined) throw new Error('the PACS was asked');
    const caller = await openModality(gateway.port, 'PACS');
    closing.push(() => caller.association.release());
    const { signal } = new AbortController();
    const peer = { signal, invoke: caller.association.invoke.bind(caller.association) };
    expect(await reportCommitment(peer, request.transactionUid, all(request))).toBe(0);
    expect(await again(at)).toMatchObject({
      progress: 'confirmed',
      pacs: { main: { commitment: { state: 'committed' } } },
    });
    expect(requests).toHaveLength(1);
    expect(stored).toHaveLength(2);
  });
});

describe('a PACS that takes no part', () => {
  it.each([
    ['does not know the class', undefined],
    ['is not allowed to', 0x0124],
  ])('offered: one that %s is noted, and the delivery goes on', async (_what, status) => {
    const pacs = status === undefined ? sites.pacs : await startPacs(async () => ({ status }));
    const done = await receive(process(pacs.port));
    expect(done).toMatchObject({
      progress: 'confirmed',
      pacs: { main: { commitment: { state: 'not-offered' } } },
    });
    expect(await receiptOf(done)).toMatchObject({ commitment: { main: { state: 'not-offered' } } });
  });

  it('required: the reception is parked, and its sender gets no receipt', async () => {
    const parked = await receive(process(sites.pacs.port, { commitment: 'required' }));
    expect(parked).toMatchObject({ progress: 'verified', parked: { code: 'COMMITMENT_FAILED' } });
    await expect(receiptOf(parked)).rejects.toThrow('no receipt');
  });

  it('off: it is not asked', async () => {
    const pacs = await startPacs(async () => TAKEN);
    const done = await receive(process(pacs.port, { commitment: 'off' }));
    expect(done.progress).toBe('confirmed');
    expect(requests).toEqual([]);
    expect(await receiptOf(done)).not.toHaveProperty('commitment');
  });
});

describe('a PACS that says nothing', () => {
  it('offered: after the timeout the delivery goes on, noted', async () => {
    const pacs = await startPacs(async () => TAKEN);
    const at = process(pacs.port);
    await receive(at);
    site.time.ms += TIMEOUT_MS;
    expect(await again(at)).toMatchObject({
      progress: 'confirmed',
      pacs: { main: { commitment: { state: 'unreported' } } },
    });
    expect(site.logged).toContainEqual(
      expect.objectContaining({ event: 'study.uncommitted', state: 'unreported' }),
    );
  });

  it('required: after the timeout it is parked; a report that comes then takes it up again', async () => {
    const pacs = await startPacs(async () => TAKEN);
    const at = process(pacs.port, { commitment: 'required' });
    await receive(at);
    site.time.ms += TIMEOUT_MS;
    const parked = await again(at);
    expect(receptionState(parked)).toBe('parked');
    expect(parked.parked?.code).toBe('COMMITMENT_PENDING');
    const [request] = requests;
    if (request === undefined) throw new Error('the PACS was asked');
    expect(await reportedBy(at, request)).toEqual(TAKEN);
    await at.work();
    expect(await reception()).toMatchObject({
      progress: 'confirmed',
      pacs: { main: { commitment: { state: 'committed' } } },
    });
    expect(requests).toHaveLength(1);
  });

  it('one that dies after the request is asked again, and its report to either request counts', async () => {
    let calls = 0;
    const pacs = await startPacs((request, peer) => {
      calls += 1;
      if (calls > 1) return Promise.resolve(reportLater(peer, request));
      return dies(pacs, peer);
    });
    const at = process(pacs.port);
    await receive(at);
    expect(at.postponed).toMatchObject([{ code: 'PACS_UNREACHABLE' }]);
    expect((await site.context.transactions.read(await openTransaction()))?.progress).toBe('prepared');
    const [request] = requests;
    if (request === undefined) throw new Error('the PACS was asked');
    expect(await reportedBy(at, request)).toEqual(TAKEN);
    expect(await again(at)).toMatchObject({ progress: 'confirmed' });
    expect(stored).toHaveLength(2);
  });

  it('offered: one that cannot be asked until the timeout does not hold the delivery up for ever', async () => {
    const pacs = await startPacs((_request, peer) => dies(pacs, peer));
    const at = process(pacs.port);
    await receive(at);
    site.time.ms += TIMEOUT_MS;
    expect(await again(at)).toMatchObject({
      progress: 'confirmed',
      pacs: { main: { state: 'stored', commitment: { state: 'unreported' } } },
    });
  });
});

describe('a PACS that does not commit to an instance', () => {
  it('refuses it by that; a retry sends it again, alone, and asks for it alone', async () => {
    let calls = 0;
    const pacs = await startPacs(async (request, peer) => {
      calls += 1;
      if (calls > 1) return reportLater(peer, request);
      const [lost, ...committed] = request.references;
      const failed = lost === undefined ? [] : [{ ...lost, reason: 0x0112 }];
      await reportCommitment(peer, request.transactionUid, { committed, failed });
      return TAKEN;
    });
    const at = process(pacs.port);
    const refused = await receive(at);
    expect(refused.pacs['main']).toMatchObject({
      state: 'refused',
      storedCount: 1,
      refusedCount: 1,
      lastError: { code: 'COMMITMENT_FAILED' },
      commitment: { state: 'failed' },
    });
    await retryReception(at.inbound, refused.id);
    await at.work();
    expect(await reception()).toMatchObject({
      progress: 'confirmed',
      pacs: { main: { state: 'stored', commitment: { state: 'committed' } } },
    });
    expect(stored).toHaveLength(3);
    expect(requests[1]?.references).toEqual(requests[0]?.references.slice(0, 1));
  });

  it('one that it passes over in silence is not committed to', async () => {
    const pacs = await startPacs(async (request, peer) => {
      const committed = request.references.slice(1);
      await reportCommitment(peer, request.transactionUid, { committed, failed: [] });
      return TAKEN;
    });
    expect((await receive(process(pacs.port))).pacs['main']?.state).toBe('refused');
  });
});

describe('who reports', () => {
  it('a stranger, another PACS and the same PACS twice change nothing', async () => {
    const pacs = await startPacs(async () => TAKEN);
    const at = process(pacs.port);
    await receive(at);
    const [request] = requests;
    if (request === undefined) throw new Error('the PACS was asked');
    const unknown = { ...request, transactionUid: transactionUidOf(parseEnvelopeId(randomUUID())) };
    expect(await reportedBy(at, unknown)).toMatchObject({ status: 0x0112 });
    expect(await reportedBy(at, request, 'other')).toMatchObject({ status: 0x0112 });
    const id = await openTransaction();
    expect((await site.context.transactions.read(id))?.progress).toBe('asked');
    expect(await reportedBy(at, request)).toEqual(TAKEN);
    const first = await site.context.transactions.read(id);
    const failed = request.references.map((each) => ({ ...each, reason: 0x0110 }));
    const second = { transactionUid: request.transactionUid, committed: [], failed };
    expect(await acceptCommitmentReport(at.inbound, second, async () => true)).toEqual(TAKEN);
    expect(await site.context.transactions.read(id)).toEqual(first);
  });

  it('a caller with another AE title than the PACS is told that there is no such transaction', async () => {
    const pacs = await startPacs(async () => TAKEN);
    await receive(process(pacs.port));
    const gateway = await startGateway(site, {}, pacsAt(pacs.port, { host: '192.0.2.1' }));
    closing.push(gateway.close);
    const [request] = requests;
    if (request === undefined) throw new Error('the PACS was asked');
    for (const callingAe of ['OTHER', 'PACS']) {
      const caller = await openModality(gateway.port, callingAe);
      closing.push(() => caller.association.release());
      const { signal } = new AbortController();
      const peer = { signal, invoke: caller.association.invoke.bind(caller.association) };
      expect(await reportCommitment(peer, request.transactionUid, all(request))).toBe(0x0112);
    }
    expect(site.logged).toContainEqual(expect.objectContaining({ event: 'commitment.foreign_host' }));
  });

  it('a PACS that is spoken to by TLS is not heard without', async () => {
    const pacs = await startPacs(async () => TAKEN);
    await receive(process(pacs.port));
    const gateway = await startGateway(site, {}, pacsAt(pacs.port, { tls: true }));
    closing.push(gateway.close);
    const [request] = requests;
    if (request === undefined) throw new Error('the PACS was asked');
    const caller = await openModality(gateway.port, 'PACS');
    closing.push(() => caller.association.release());
    const { signal } = new AbortController();
    const peer = { signal, invoke: caller.association.invoke.bind(caller.association) };
    expect(await reportCommitment(peer, request.transactionUid, all(request))).toBe(0x0112);
    expect(site.logged).toContainEqual(expect.objectContaining({ event: 'commitment.without_tls' }));
  });
});
