/** A PACS that answers storage commitment too late, or not for now, or turns us away. */
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type CommitmentAsked,
  type CommitmentHandlers,
  createCommitmentService,
  STORAGE_COMMITMENT_SOP_CLASS,
} from '../../src/dimse/commitment-service.js';
import type { Scp } from '../../src/dimse/scp.js';
import type { StoreHandler } from '../../src/dimse/store-scp.js';
import type { FailedReference } from '../../src/domain/commitment.js';
import type { Pacs } from '../../src/domain/peer.js';
import { isReceptionEnded, type Reception, receptionState } from '../../src/domain/reception.js';
import { acceptCommitmentReport } from '../../src/inbound/commitment-report.js';
import { dismissReception } from '../../src/inbound/dismiss.js';
import { retryReception } from '../../src/inbound/retry.js';
import { sweepReceptions } from '../../src/inbound/sweep.js';
import { listen, SILENT } from '../support/commitment.js';
import { makeSites, type SiteProcess, type TestSite, type TestSites } from '../support/site-parts.js';

const TIMEOUT_MS = 300_000;
const KEEP_MS = 3_600_000;
const TAKEN = { status: 0 };
const NO_SUCH_INSTANCE = 0x0112;
/** Source 0, PS3.8 §9.3.8. */
const ABORT_BY_APPLICATION = Buffer.from('07000000000400000000', 'hex');

let sites: TestSites;
let site: TestSite;
/** What the PACS was asked for, and what it stored. */
let requests: CommitmentAsked[];
let stored: string[];
const closing: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  sites = await makeSites(['site-a', 'site-b', 'site-c', 'site-d']);
  site = sites.site('site-b');
  requests = [];
  stored = [];
});

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  await sites.close();
});

type Asked = NonNullable<CommitmentHandlers['asked']>;

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
      reported: async () => ({ status: NO_SUCH_INSTANCE }),
    },
    SILENT,
  );
  const pacs = await listen('PACS', [service], handler);
  closing.push(() => pacs.close(0));
  return pacs;
}

/** The bridge at site-b, whose PACS answers by `asked`. */
async function bridge(asked: Asked, more: Partial<Pacs> = {}): Promise<SiteProcess> {
  return bridgeTo((await startPacs(asked)).port, more);
}

function bridgeTo(port: number, more: Partial<Pacs>): SiteProcess {
  const known = site.context.pacs.get('main');
  if (known === undefined) throw new Error('the site has a PACS main');
  return site.process({
    pacs: new Map([['main', { ...known, port, commitmentTimeoutMs: TIMEOUT_MS, ...more }]]),
  });
}

/** A study comes, and goes as far as it gets. */
async function receive(at: SiteProcess, from = 'site-a'): Promise<Reception> {
  await sites.site(from).send('site-b');
  await at.poll();
  return reception();
}

async function reception(): Promise<Reception> {
  const ids = await site.context.receptions.ids();
  const records = await Promise.all(ids.map((id) => site.context.receptions.read(id)));
  const newest = records.sort((a, b) => (a?.receivedAtMs ?? 0) - (b?.receivedAtMs ?? 0)).at(-1);
  if (newest === undefined) throw new Error('nothing was received');
  return newest;
}

/** Runs again what was put off. */
async function again(at: SiteProcess): Promise<Reception> {
  for (const { stage, id } of at.postponed.splice(0)) at.jobs.push({ stage, id });
  await at.work();
  return reception();
}

const main = ({ pacs }: Reception) => pacs['main'];

function request(at = 0): CommitmentAsked {
  const found = requests[at];
  if (found === undefined) throw new Error('the PACS was asked');
  return found;
}

function report(at: SiteProcess, failedCount: number, { transactionUid, references } = request()) {
  const failed: FailedReference[] = references
    .slice(0, failedCount)
    .map((each) => ({ ...each, reason: NO_SUCH_INSTANCE }));
  const committed = references.slice(failedCount);
  return acceptCommitmentReport(at.inbound, { transactionUid, committed, failed }, async () => true);
}

const receiptOf = ({ id }: Reception) =>
  readFile(site.context.receptions.documentPath(id, 'receipt.jws'), 'utf8');

describe('a report that comes when the receipt has gone out', () => {
  /** A PACS that says nothing until then. */
  const silentUntilConfirmed = async (asked: Asked = async () => TAKEN) => {
    const at = await bridge(asked);
    await receive(at);
    site.time.ms += TIMEOUT_MS;
    const done = await again(at);
    expect(done).toMatchObject({
      progress: 'confirmed',
      pacs: { main: { commitment: { state: 'unreported' } } },
    });
    return { at, receipt: await receiptOf(done) };
  };

  it('that the PACS has all of it is noted', async () => {
    const { at, receipt } = await silentUntilConfirmed();
    expect(await report(at, 0)).toEqual(TAKEN);
    const late = await reception();
    expect(receptionState(late)).toBe('confirmed');
    expect(main(late)).toMatchObject({ state: 'stored', commitment: { state: 'committed' } });
    expect(at.jobs).toEqual([]);
    expect(await receiptOf(late)).toBe(receipt);
  });

  it('that it has not all of it waits for an operator, whose retry sends that again, and no second receipt', async () => {
    const { at, receipt } = await silentUntilConfirmed(async () => TAKEN);
    expect(await report(at, 1)).toEqual(TAKEN);
    const late = await reception();
    expect(receptionState(late)).toBe('refused');
    expect(isReceptionEnded(late)).toBe(false);
    expect(main(late)).toMatchObject({
      state: 'refused',
      storedCount: 1,
      refusedCount: 1,
      lastError: {
        code: 'COMMITMENT_FAILED',
        message: expect.stringContaining('0x0112 no such instance (1)'),
      },
      commitment: { state: 'failed' },
    });
    expect(site.logged).toContainEqual(expect.objectContaining({ event: 'study.not_committed', failed: 1 }));
    expect(at.jobs).toEqual([]);

    await retryReception(at.inbound, late.id);
    await at.work();
    expect(requests[1]?.references).toEqual(request().references.slice(0, 1));
    expect(stored).toHaveLength(3);
    expect(await report(at, 0, request(1))).toEqual(TAKEN);
    expect(receptionState(await again(at))).toBe('confirmed');
    const done = await reception();
    expect(main(done)).toMatchObject({ state: 'stored', storedCount: 2, commitment: { state: 'committed' } });
    expect(isReceptionEnded(done)).toBe(true);
    expect(await receiptOf(done)).toBe(receipt);
    expect(done.steps.filter(({ event }) => event === 'confirmed')).toHaveLength(1);
  });

  const BY = 'dashboard, 10.1.2.3';
  const refusedLate = async () => {
    const { at, receipt } = await silentUntilConfirmed();
    await report(at, 1);
    return { at, receipt, ...(await reception()) };
  };
  const opened = (id: Reception['id']) => readdir(site.context.layout.openedOf(id));

  it('that it has not all of it needs nobody when a person has dealt with it; who and when is told, and all is kept', async () => {
    const { at, receipt, id, pacs } = await refusedLate();
    const files = await opened(id);
    for (const _twice of [1, 2]) await dismissReception(at.inbound, id, BY);
    const dismissed = await reception();
    expect(receptionState(dismissed)).toBe('dismissed');
    expect(isReceptionEnded(dismissed)).toBe(true);
    expect(dismissed.steps.filter(({ event }) => event === 'dismissed')).toEqual([
      { event: 'dismissed', atMs: site.time.ms, by: BY },
    ]);
    expect(site.logged.filter(({ event }) => event === 'reception.dismissed')).toEqual([
      { event: 'reception.dismissed', reception: id, by: BY },
    ]);
    expect([dismissed.pacs, await opened(id), await receiptOf(dismissed)]).toEqual([pacs, files, receipt]);
    expect(at.jobs).toEqual([]);
  });

  it('and was dismissed, can be sent again as long as it is kept, which is as long as what was delivered', async () => {
    const { at, id } = await refusedLate();
    site.time.ms += KEEP_MS;
    await dismissReception(at.inbound, id, BY);
    site.time.ms += KEEP_MS - 1;
    expect(await sweepReceptions(at.inbound, KEEP_MS)).toBe(0);
    await retryReception(at.inbound, id);
    await at.work();
    expect(stored).toHaveLength(3);
    await report(at, 1, request(1));
    // What it refuses from then on is news.
    expect(receptionState(await again(at))).toBe('refused');
    await dismissReception(at.inbound, id, BY);
    site.time.ms += KEEP_MS;
    expect(await sweepReceptions(at.inbound, KEEP_MS)).toBe(1);
    await expect(retryReception(at.inbound, id)).rejects.toMatchObject({
      code: 'STATE_INVALID',
      message: expect.stringContaining('no longer here'),
    });
  });

  it('that it has all of it leaves nothing to dismiss', async () => {
    const { at } = await silentUntilConfirmed();
    await report(at, 0);
    const { id } = await reception();
    await expect(dismissReception(at.inbound, id, BY)).rejects.toMatchObject({ code: 'STATE_INVALID' });
  });

  it('twice, and the second one says that more failed: that is told', async () => {
    const { at } = await silentUntilConfirmed();
    await report(at, 0);
    expect(await report(at, 1)).toEqual(TAKEN);
    expect(site.logged).toContainEqual(
      expect.objectContaining({ event: 'commitment.contradicted', failed: 1 }),
    );
  });
});

describe('a PACS that answers "not now"', () => {
  it.each([0x0213, 0x0110])('%i is asked again, and its commitment counts', async (status) => {
    const at = await bridge(async () => (requests.length === 1 ? { status } : TAKEN));
    expect(main(await receive(at))).toMatchObject({ state: 'pending' });
    expect(at.postponed).toMatchObject([{ code: 'COMMITMENT_PENDING' }]);
    site.time.ms += 5_000;
    await again(at);
    await report(at, 0, request(1));
    expect(main(await again(at))).toMatchObject({ state: 'stored', commitment: { state: 'committed' } });
    expect(stored).toHaveLength(2);
  });

  it('until the timeout: offered goes on', async () => {
    const at = await bridge(async () => ({ status: 0x0213 }));
    await receive(at);
    site.time.ms += TIMEOUT_MS;
    expect(await again(at)).toMatchObject({
      progress: 'confirmed',
      pacs: { main: { commitment: { state: 'unreported' } } },
    });
  });

  it('until the timeout: required is parked with its words', async () => {
    const at = await bridge(async () => ({ status: 0x0213 }), { commitment: 'required' });
    await receive(at);
    site.time.ms += TIMEOUT_MS;
    expect((await again(at)).parked).toMatchObject({
      code: 'COMMITMENT_PENDING',
      message: expect.stringContaining('0x0213'),
    });
  });
});

describe('a PACS that turns us away without a word on why', () => {
  let turnedAway: number;
  let isRestarting: boolean;

  /** Answers associations for storage commitment as Orthanc does for an AE title that it does not know: by an A-ABORT. */
  async function turnsAway(more: Partial<Pacs> = {}): Promise<SiteProcess> {
    turnedAway = 0;
    isRestarting = true;
    const pacs = await startPacs(async () => TAKEN);
    const door = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.once('data', (first) => {
        if (isRestarting && first.includes(STORAGE_COMMITMENT_SOP_CLASS)) {
          turnedAway += 1;
          socket.end(ABORT_BY_APPLICATION);
          return;
        }
        const inner = connect(pacs.port, '127.0.0.1');
        inner.on('error', () => socket.destroy());
        inner.write(first);
        socket.pipe(inner).pipe(socket);
      });
    });
    door.listen(0, '127.0.0.1');
    await once(door, 'listening');
    closing.push(async () => void door.close());
    return bridgeTo((door.address() as AddressInfo).port, more);
  }

  it('offered: three times, and it takes no part; the next study does not ask it', async () => {
    const at = await turnsAway();
    await receive(at);
    expect(await again(at)).toMatchObject({ progress: 'verified' });
    expect(await again(at)).toMatchObject({
      progress: 'confirmed',
      pacs: { main: { commitment: { state: 'not-offered' } } },
    });
    expect(turnedAway).toBe(3);
    site.time.ms += 1_000;
    expect(main(await receive(at, 'site-c'))?.commitment?.state).toBe('not-offered');
    expect(turnedAway).toBe(3);
    site.time.ms += 600_000;
    expect(main(await receive(at, 'site-d'))?.commitment?.state).toBe('asked');
    expect(turnedAway).toBe(4);
  });

  it('required: until the timeout; then it is parked with its words', async () => {
    const at = await turnsAway({ commitment: 'required' });
    await receive(at);
    for (let times = 0; times < 4; times += 1) expect((await again(at)).parked).toBeUndefined();
    site.time.ms += TIMEOUT_MS;
    expect((await again(at)).parked).toMatchObject({
      code: 'COMMITMENT_FAILED',
      message: expect.stringContaining('unknown there'),
    });
  });

  it('once, because it restarts, is asked again', async () => {
    const at = await turnsAway();
    await receive(at);
    isRestarting = false;
    await again(at);
    await report(at, 0);
    expect(main(await again(at))?.commitment?.state).toBe('committed');
  });
});
