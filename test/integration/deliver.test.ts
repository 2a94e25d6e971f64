/** What a PACS answers to a study, and what becomes of it: refusals in words, repeats, runs that broke off. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { STORAGE_COMMITMENT_SOP_CLASS } from '../../src/dimse/commitment-service.js';
import { readUserItems } from '../../src/dimse/user-items.js';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import type { Pacs } from '../../src/domain/peer.js';
import { receptionState } from '../../src/domain/reception.js';
import { retryReception } from '../../src/inbound/retry.js';
import { parseCompactJws } from '../../src/jmix/manifest-jws.js';
import { makeSites, type SiteProcess, type TestSite, type TestSites } from '../support/site-parts.js';
import { pdu, type ScriptedPeer, startPeer, storingScript } from './dimse-scu-peer.js';

const DUPLICATE = 0x0111;

let sites: TestSites;
let site: TestSite;
let peers: ScriptedPeer[];

beforeEach(async () => {
  sites = await makeSites(['site-a', 'site-b', 'site-c']);
  site = sites.site('site-b');
  peers = [];
});
afterEach(async () => {
  for (const peer of peers) await peer.close();
  await sites.close();
});

/** A PACS that answers the n-th C-STORE of all by the n-th of these, then the last; undefined: it hangs up. */
async function pacsThat(...statuses: readonly (number | undefined)[]) {
  let stores = 0;
  const peer = await startPeer((connection, number) =>
    storingScript(() => {
      const status = statuses[Math.min(stores++, statuses.length - 1)];
      if (status === undefined) connection.socket.destroy();
      return status;
    })(connection, number),
  );
  peers.push(peer);
  return { port: peer.pacs.port, stores: () => stores };
}

function process(port: number, more: Partial<Pacs> = {}): SiteProcess {
  const main = site.context.pacs.get('main');
  if (main === undefined) throw new Error('the site has a PACS main');
  const pacs: Pacs = { ...main, port, commitment: 'off', associations: 1, ...more };
  return site.process({ pacs: new Map([['main', pacs]]) });
}

async function receive(at: SiteProcess, from = 'site-a'): Promise<EnvelopeId> {
  const id = await sites.site(from).send('site-b');
  await at.poll();
  return id;
}

async function recordOf(id: EnvelopeId) {
  const record = await site.context.receptions.read(id);
  if (record === undefined) throw new Error('it was not received');
  return { record, state: receptionState(record), main: record.pacs['main'] };
}

/** Runs again what was put off. */
async function again(at: SiteProcess): Promise<void> {
  for (const { stage, id } of at.postponed.splice(0)) at.jobs.push({ stage, id });
  await at.work();
}

async function retry(at: SiteProcess, id: EnvelopeId): Promise<void> {
  await retryReception(at.inbound, id);
  await at.work();
}

async function statusesIn(id: EnvelopeId): Promise<readonly unknown[]> {
  const jws = await site.context.receptions.readDocument(id, 'receipt.jws');
  if (jws === undefined) throw new Error('there is no receipt');
  const { instances } = JSON.parse(parseCompactJws(jws).payload.toString('utf8'));
  return instances.map(({ status }: { status: { main: string } }) => status.main);
}

describe('0x0111, Duplicate SOP Instance', () => {
  it('to what was never sent there: refused in words; the operator compares, and a retry counts it as delivered', async () => {
    const at = process((await pacsThat(0, DUPLICATE)).port);
    const id = await receive(at);
    const refused = await recordOf(id);
    expect(refused.state).toBe('refused');
    expect(refused.main?.lastError).toMatchObject({
      code: 'PACS_REFUSED',
      message:
        '1 of 2 instances were refused: PACS answers 0x0111 Duplicate SOP Instance: it has another object of this UID already, or refuses duplicates (CT Image Storage, 1); compare what the PACS has; after a retry, what it has already counts as delivered',
    });
    await retry(at, id);
    expect((await recordOf(id)).state).toBe('confirmed');
    expect([...(await statusesIn(id))].sort()).toEqual(['0x0000', '0x0111']);
  });

  it('to a repeat, after the first C-STORE had no answer: the PACS has it', async () => {
    const pacs = await pacsThat(undefined, undefined, DUPLICATE);
    const at = process(pacs.port);
    const id = await receive(at);
    expect(at.postponed.map(({ code }) => code)).toEqual(['STORE_UNANSWERED']);
    await again(at);
    expect((await recordOf(id)).state).toBe('confirmed');
  });

  it('to a repeat of what it had no room for: the PACS has it', async () => {
    const at = process((await pacsThat(0xa700, 0, DUPLICATE)).port);
    const id = await receive(at);
    expect(at.postponed.map(({ code }) => code)).toEqual(['PACS_BUSY']);
    await again(at);
    expect((await recordOf(id)).state).toBe('confirmed');
  });

  it('after a run that reached no PACS: nothing was sent there, so it is refused', async () => {
    const { port, stores } = await pacsThat(DUPLICATE);
    const dead = await startPeer(async () => undefined);
    await dead.close();
    const before = process(dead.pacs.port);
    const id = await receive(before);
    expect(before.postponed.map(({ code }) => code)).toEqual(['PACS_UNREACHABLE']);
    const at = process(port);
    at.postponed.push(...before.postponed);
    await again(at);
    expect(stores()).toBe(2);
    expect(await recordOf(id)).toMatchObject({ state: 'refused', main: { refusedCount: 2 } });
  });

  it('after a run that was killed before it noted what was answered: the PACS has it', async () => {
    const { port } = await pacsThat(0xa700, 0xa700, DUPLICATE);
    const at = process(port);
    const id = await receive(at);
    const journal = site.context.receptions.documentPath(id, 'outcomes-main.jsonl');
    const [begun] = (await readFile(journal, 'utf8')).split('\n');
    expect(begun).toBe('{"run":"begun"}');
    await writeFile(journal, `${begun}\n{"sopInst`);
    await again(at);
    expect((await recordOf(id)).state).toBe('confirmed');
  });

  it('to the same bytes that went there in another envelope: the PACS has them', async () => {
    const at = process((await pacsThat(0, 0, DUPLICATE)).port);
    await receive(at);
    const id = await receive(at, 'site-c');
    expect((await recordOf(id)).state).toBe('confirmed');
    expect(await statusesIn(id)).toEqual(['0x0111', '0x0111']);
  });
});

describe('an instance that the PACS refuses for good', () => {
  it('is told with its status, how many and of what kind; the sender hears of it, and a retry sends it again', async () => {
    const pacs = await pacsThat(0, 0xc000, 0);
    const at = process(pacs.port);
    const id = await receive(at);
    const { state, main } = await recordOf(id);
    expect(state).toBe('refused');
    expect(main?.lastError).toMatchObject({
      code: 'PACS_REFUSED',
      stage: 'deliver',
      message:
        '1 of 2 instances were refused: PACS answers 0xC000 Error: Cannot Understand (CT Image Storage, 1)',
    });
    await retry(at, id);
    expect(pacs.stores()).toBe(3);
    expect((await recordOf(id)).state).toBe('confirmed');
  });

  it('is not sent again while another one of its study waits for room', async () => {
    const pacs = await pacsThat(0xc000, 0xa700, 0xa700, 0);
    const at = process(pacs.port);
    const id = await receive(at);
    await again(at);
    await again(at);
    expect(pacs.stores()).toBe(4);
    expect(await recordOf(id)).toMatchObject({
      state: 'refused',
      main: { storedCount: 1, refusedCount: 1, lastError: { code: 'PACS_REFUSED' } },
    });
  });

  it('is named by the kinds of refusal, where there are several', async () => {
    const at = process((await pacsThat(0x0122, 0x0124)).port);
    const { main } = await recordOf(await receive(at));
    expect(main?.lastError?.message).toBe(
      '2 of 2 instances were refused: PACS answers 0x0122 Refused: SOP Class Not Supported (CT Image Storage, 1); PACS answers 0x0124 Refused: Not Authorized (CT Image Storage, 1)',
    );
  });
});

it('a fault of ours towards the PACS is parked, and the sender hears no refusal; after a retry it arrives', async () => {
  const passwordFile = join(sites.root, 'pacs.password');
  const at = process((await pacsThat(0)).port, { user: { name: 'bridge', passwordFile } });
  const id = await receive(at);
  const parked = await recordOf(id);
  expect(parked.record.parked).toMatchObject({ code: 'KEY_UNREADABLE', stage: 'deliver' });
  expect(parked.main?.state).toBe('pending');
  expect(await site.context.receptions.readDocument(id, 'refusal.jws')).toBeUndefined();
  await writeFile(passwordFile, 'secret');
  await retry(at, id);
  expect((await recordOf(id)).state).toBe('confirmed');
});

it('every association of a delivery gives the user of the PACS: to store, and to ask for commitment', async () => {
  const given: (string | undefined)[] = [];
  const asked: string[] = [];
  const script = storingScript(() => 0, {
    confirmsUser: true,
    result: ({ abstractSyntax }) => (abstractSyntax === STORAGE_COMMITMENT_SOP_CLASS ? 3 : 0),
    seen: ([first]) => void asked.push(first?.abstractSyntax ?? ''),
  });
  const peer = await startPeer((connection, number) => {
    const receive = async () => {
      const received = await connection.receive();
      if (received?.type === 1)
        given.push(readUserItems(pdu(1, received.body)).userIdentity?.primary.toString());
      return received;
    };
    return script({ ...connection, receive }, number);
  });
  peers.push(peer);
  const at = process(peer.pacs.port, { commitment: 'offered', user: { name: 'bridge' } });
  const id = await receive(at);
  expect(asked).toEqual(['1.2.840.10008.5.1.4.1.1.2', STORAGE_COMMITMENT_SOP_CLASS]);
  expect(given).toEqual(['bridge', 'bridge']);
  expect((await recordOf(id)).main?.commitment?.state).toBe('not-offered');
});
