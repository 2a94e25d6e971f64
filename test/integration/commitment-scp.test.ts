/** Modalities ask us to commit: what they are told, on which association, and what survives a restart. */
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatCommitmentRequest } from '../../src/dimse/commitment-data-set.js';
import type { CommitmentReported } from '../../src/dimse/commitment-service.js';
import type { InstanceReference } from '../../src/domain/commitment.js';
import { transactionUidOf } from '../../src/domain/commitment-transaction.js';
import { parseEnvelopeId } from '../../src/domain/envelope-id.js';
import { GatewayError } from '../../src/errors/gateway-error.js';
import { sweepStudies } from '../../src/outbound/sweep.js';
import {
  listenForReports,
  type Modality,
  openModality,
  startGateway,
  type TestGateway,
} from '../support/commitment.js';
import { freePort } from '../support/ports.js';
import { makeSites, type TestSite, type TestSites } from '../support/site-parts.js';
import { completeFor, gatherStudy, routeTo } from '../support/site-studies.js';
import { until } from '../support/until.js';

const MISSING = { sopClassUid: '1.2.840.10008.5.1.4.1.1.2', sopInstanceUid: '1.2.3.404' };
const DAY_MS = 86_400_000;

let sites: TestSites;
let site: TestSite;
let key: string;
let held: readonly InstanceReference[];
const closing: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  sites = await makeSites(['site-a', 'site-b']);
  site = sites.site('site-a');
  key = await gatherStudy(site.outbound);
  const study = await site.outbound.studies.find(key);
  held = [...(study?.instances.values() ?? [])].map(({ sopClassUid, sopInstanceUid }) => ({
    sopClassUid,
    sopInstanceUid,
  }));
});

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  await sites.close();
});

const newUid = () => transactionUidOf(parseEnvelopeId(randomUUID()));

async function gateway(dimse: Parameters<typeof startGateway>[1] = {}): Promise<TestGateway> {
  const started = await startGateway(site, dimse);
  closing.push(started.close);
  return started;
}

async function modality(port: number): Promise<Modality> {
  const opened = await openModality(port);
  closing.push(() => opened.association.release());
  return opened;
}

const toldTo = (reports: readonly CommitmentReported[], count = 1) =>
  until(() => reports.length === count, { what: `${count} reports` });

describe('commitment: here', () => {
  it('what is durable is committed to, on the association that asked', async () => {
    const { reports, ask } = await modality((await gateway()).port);
    const transactionUid = newUid();
    expect(await ask(transactionUid, held)).toBe(0);
    await toldTo(reports);
    expect(reports).toEqual([{ transactionUid, committed: held, failed: [] }]);
  });

  it('an unknown instance and a wrong class are told with their reasons, the rest is committed to', async () => {
    const { reports, ask } = await modality((await gateway()).port);
    const [first, second] = held;
    if (first === undefined || second === undefined) throw new Error('the study has two instances');
    const wrongClass = { ...second, sopClassUid: '1.2.840.10008.5.1.4.1.1.4' };
    expect(await ask(newUid(), [first, MISSING, wrongClass])).toBe(0);
    await toldTo(reports);
    expect(reports[0]).toMatchObject({
      committed: [first],
      failed: [
        { ...MISSING, reason: 0x0112 },
        { ...wrongClass, reason: 0x0119 },
      ],
    });
  });

  it('an instance that came in two versions is committed to for nobody while one is kept aside', async () => {
    const { reports, ask } = await modality((await gateway()).port);
    const [first, second] = held;
    if (first === undefined || second === undefined) throw new Error('the study has two instances');
    const folder = site.context.layout.conflictsOf(key);
    const path = join(folder, `${first.sopInstanceUid}-0123456789abcdef.dcm`);
    await mkdir(folder, { recursive: true });
    await writeFile(path, 'the other version');
    await ask(newUid(), held);
    await toldTo(reports);
    expect(reports[0]).toMatchObject({ committed: [second], failed: [{ ...first, reason: 0x0110 }] });
    await rm(path);
    await ask(newUid(), held);
    await toldTo(reports, 2);
    expect(reports[1]?.committed).toEqual(held);
  });

  it('an instance whose file was cut off or removed is not committed to, whatever the index says', async () => {
    const { reports, ask } = await modality((await gateway()).port);
    const [first, second] = held.map(({ sopInstanceUid }) =>
      site.context.layout.instance(key, sopInstanceUid as never),
    );
    if (first === undefined || second === undefined) throw new Error('the study has two instances');
    await truncate(first, 1_000);
    await rm(second);
    await ask(newUid(), held);
    await toldTo(reports);
    expect(reports[0]?.committed).toEqual([]);
    expect(reports[0]?.failed.map(({ reason }) => reason)).toEqual([0x0110, 0x0110]);
    expect(site.logged).toContainEqual(expect.objectContaining({ event: 'study.damaged', instances: 2 }));
  });

  it('a modality that left and does not listen is told on its next association', async () => {
    const { port, look } = await gateway();
    const asking = await modality(port);
    await asking.ask(newUid(), held);
    await asking.association.release();
    await look();
    const next = await modality(port);
    await toldTo(next.reports);
    expect(asking.reports).toEqual([]);
  });

  it('a modality that listens elsewhere is told there, as soon as it can be reached', async () => {
    const reports: CommitmentReported[] = [];
    const listening = await freePort();
    const reportTo = { host: '127.0.0.1', port: listening, tls: false };
    const { port, look } = await gateway({ callers: [{ aeTitle: 'CT1' as never, reportTo }] });
    const { association, ask } = await modality(port);
    await ask(newUid(), held);
    await association.release();
    await look();
    await until(() => site.logged.some(({ event }) => event === 'commitment.unreported'), {
      what: 'the failed report is logged',
    });
    const listener = await listenForReports(reports, listening);
    closing.push(() => listener.close(0));
    await look();
    expect(reports).toEqual([]);
    site.time.ms += 60_000;
    await look();
    expect(reports).toMatchObject([{ committed: held }]);
  });

  it('a restart between request and report loses nothing', async () => {
    const first = await startGateway(site);
    const asking = await openModality(first.port);
    await asking.ask(newUid(), held);
    await first.close();
    const { reports } = await modality((await gateway()).port);
    await toldTo(reports);
    expect(reports[0]?.committed).toEqual(held);
  });

  it('a power cut before the record is written leaves nothing that could stand in the way', async () => {
    const { port } = await gateway();
    const { reports, ask } = await modality(port);
    const transactionUid = newUid();
    await ask(transactionUid, held);
    await toldTo(reports);
    const [id = ''] = await readdir(site.context.layout.commitments);
    const folder = join(site.context.layout.commitments, id);
    const records = async () => (await readdir(folder)).filter((name) => /^\d+\.json$/.test(name));
    // Asked, judged, and, only after the modality has answered the report, reported.
    await until(async () => (await records()).length === 3, { what: 'the last record is written' });
    for (const name of await records()) await rm(join(folder, name));
    expect(await ask(transactionUid, [MISSING])).toBe(0);
    await toldTo(reports, 2);
    expect(reports[1]?.failed).toEqual([{ ...MISSING, reason: 0x0112 }]);
  });

  it('the same request again is answered again; another one under its transaction UID is refused', async () => {
    const { reports, ask } = await modality((await gateway()).port);
    const transactionUid = newUid();
    await ask(transactionUid, held);
    await toldTo(reports);
    expect(await ask(transactionUid, held.slice(1))).toBe(0x0131);
    expect(await ask(transactionUid, [...held].reverse())).toBe(0);
    await toldTo(reports, 2);
    expect(reports.map(({ committed }) => committed.length)).toEqual([2, 2]);
  });

  it('while the disk is nearly full nothing is promised', async () => {
    const full = new GatewayError('SPOOL_ABOVE_WATERMARK', 'the disk is nearly full');
    const { port, close } = await startGateway(site, {}, undefined, full);
    closing.push(close);
    expect(await (await modality(port)).ask(newUid(), held)).toBe(0x0213);
    expect(await readdir(site.context.layout.commitments)).toEqual([]);
  });

  it('nothing but a whole, known request is taken', async () => {
    const { invoke } = await modality((await gateway()).port);
    const dataSet =
      (uid: string, references = held) =>
      (syntax: string) =>
        formatCommitmentRequest(uid, references, syntax);
    const statuses = {
      noDataSet: await invoke({}),
      notAUid: await invoke({ dataSet: dataSet('1.2.x') }),
      noReferences: await invoke({ dataSet: dataSet(newUid(), []) }),
      garbage: await invoke({ dataSet: () => Buffer.from('garbage, and more of it') }),
      otherInstance: await invoke({ sopInstanceUid: '1.2.3', dataSet: dataSet(newUid()) }),
      otherAction: await invoke({ typeId: 2, dataSet: dataSet(newUid()) }),
      otherEvent: await invoke({ commandField: 0x0100, typeId: 3, dataSet: dataSet(newUid()) }),
      unknownReport: await invoke({ commandField: 0x0100, dataSet: dataSet(newUid()) }),
      anyUidReported: await invoke({ commandField: 0x0100, dataSet: dataSet('1.2.3') }),
      otherOperation: await invoke({ commandField: 0x0120, dataSet: dataSet(newUid()) }),
    };
    expect(statuses).toEqual({
      noDataSet: 0x0120,
      notAUid: 0x0115,
      noReferences: 0x0120,
      garbage: 0x0115,
      otherInstance: 0x0112,
      otherAction: 0x0123,
      otherEvent: 0x0113,
      unknownReport: 0x0112,
      anyUidReported: 0x0112,
      otherOperation: 0x0211,
    });
  });
});

describe('commitment: delivered', () => {
  const carry = async () => {
    await completeFor(site.outbound, key, routeTo('site-b'));
    await site.work();
    await sites.site('site-b').poll();
  };

  it('nothing is said before the signed receipt is verified', async () => {
    const { port, look } = await gateway({ commitment: 'delivered' });
    const { reports, ask } = await modality(port);
    await ask(newUid(), held);
    await look();
    await carry();
    await look();
    expect(reports).toEqual([]);
    await site.poll();
    await look();
    await toldTo(reports);
    expect(reports[0]?.committed).toEqual(held);
  });

  it('without a receipt for two weeks, the modality is told that there is no commitment', async () => {
    const { port, look } = await gateway({ commitment: 'delivered' });
    const { reports, ask } = await modality(port);
    await ask(newUid(), held);
    await look();
    site.time.ms += 14 * DAY_MS;
    await look();
    await toldTo(reports);
    expect(reports[0]?.failed.map(({ reason }) => reason)).toEqual([0x0110, 0x0110]);
  });

  it.each(['here', 'delivered'] as const)(
    '%s: what was forgotten after its receipt is committed to all the same',
    async (commitment) => {
      await carry();
      await site.poll();
      site.time.ms += 2 * DAY_MS;
      expect(await sweepStudies(site.outbound, DAY_MS)).toBe(1);
      const { reports, ask } = await modality((await gateway({ commitment })).port);
      await ask(newUid(), [...held, MISSING]);
      await toldTo(reports);
      expect(reports[0]).toMatchObject({ committed: held, failed: [{ ...MISSING, reason: 0x0112 }] });
    },
  );
});
