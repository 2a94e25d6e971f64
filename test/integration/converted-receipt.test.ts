/** A compressed study for a PACS that takes no compressed one: the sender's receipt proves what was sealed, and tells. */
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import { parseFileMeta } from '../../src/dicom/part10.js';
import { createTranscoder } from '../../src/dicom/transcoder.js';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import { parseUid } from '../../src/domain/uid.js';
import { deliver } from '../../src/inbound/deliver.js';
import { parseCompactJws } from '../../src/jmix/manifest-jws.js';
import { createFeeding } from '../../src/outbound/feeding.js';
import { createIntake } from '../../src/outbound/intake.js';
import { hashFrom } from '../../src/spool/instance-file.js';
import { studyKey } from '../../src/spool/layout.js';
import { freePort } from '../support/ports.js';
import { type RunningProcess, runProcess, startProcess } from '../support/processes.js';
import { makeSites, type TestSite, type TestSites } from '../support/site-parts.js';
import { completeFor, routeTo } from '../support/site-studies.js';
import { describeWith } from '../support/tools.js';

const IMPLICIT = '1.2.840.10008.1.2';
const SLICES = 3;
/** As it is built, since a thread is started from a file. */
const ENTRY = new URL('../../dist/src/dicom/transcode-worker.js', import.meta.url);

let root: string;
let sites: TestSites;
let pacs: RunningProcess | undefined;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'drawbridge-converted-'));
  sites = await makeSites(['site-a', 'site-b']);
});
afterEach(async () => {
  await pacs?.stop();
  await sites.close();
  await rm(root, { recursive: true, force: true });
});

/** CT slices in JPEG lossless, taken in and on their way; with the SHA-256 of each data set. */
async function sendCompressed({ outbound, work }: TestSite) {
  const { studies, clock, log } = outbound;
  const made = await makeStudy({ kind: 'ct', out: join(root, 'plain'), slices: SLICES, rows: 32 });
  const intake = createIntake({ studies, clock, log, feeding: createFeeding(), arrived: () => undefined });
  const association = {
    id: 'modality',
    callingAe: 'MODALITY',
    calledAe: 'DRAWBRIDGE',
    remoteAddress: '127.0.0.1',
    openedAtMs: clock.now(),
  };
  const sealed = new Map<string, string>();
  for (const { path: plain, ...instance } of made) {
    const path = `${plain}.jpeg`;
    const { code, output } = await runProcess({ command: 'dcmcjpeg', args: [plain, path] });
    if (code !== 0) throw new Error(output);
    const file = await readFile(path);
    const meta = parseFileMeta(file);
    if (meta === undefined) throw new Error('no Part 10 file');
    const { transferSyntaxUid, dataSetOffset } = meta;
    const session = await intake.begin({ ...instance, transferSyntaxUid, association });
    await session.write(file.subarray(dataSetOffset));
    await session.commit();
    sealed.set(instance.sopInstanceUid, await hashFrom(path, dataSetOffset));
  }
  const key = studyKey(parseUid(made[0]?.studyInstanceUid ?? '', 'StudyInstanceUID'));
  const [id] = await completeFor(outbound, key, routeTo('site-b'));
  if (id === undefined) throw new Error('the study goes nowhere');
  await work();
  return { id, sealed };
}

/** A PACS that takes Implicit VR Little Endian and nothing else. */
async function startPacs(): Promise<number> {
  const port = await freePort();
  await mkdir(join(root, 'received'));
  pacs = await startProcess({
    command: 'storescp',
    args: ['-aet', 'PACS', '-B', '+xi', '-od', join(root, 'received'), String(port)],
    env: { TCP_NODELAY: '1' },
    ready: { port },
  });
  return port;
}

/** Takes it from the exchange, opens it, and delivers it to the PACS at this port. */
async function takeIn(site: TestSite, id: EnvelopeId, port: number): Promise<void> {
  const main = site.context.pacs.get('main');
  if (main === undefined) throw new Error('the site has a PACS main');
  const live = { ...main, port, commitment: 'off' } as const;
  const at = site.process({ pacs: new Map([['main', { ...live, paused: true }]]) });
  await at.poll();
  expect(at.postponed.map(({ code }) => code)).toEqual(['PACS_PAUSED']);
  const transcoder = createTranscoder({ entry: ENTRY });
  const parts = { ...at.inbound, pacs: new Map([['main', live]]), transcoder };
  await deliver(parts, id, 'main', new AbortController().signal);
  await at.work();
}

/** SHA-256 of what the PACS has, by SOP Instance UID. */
async function received(): Promise<ReadonlyMap<string, string>> {
  const hashes = new Map<string, string>();
  for (const name of await readdir(join(root, 'received'))) {
    const path = join(root, 'received', name);
    const meta = parseFileMeta(await readFile(path));
    hashes.set(meta?.sopInstanceUid ?? '', await hashFrom(path, meta?.dataSetOffset ?? 0));
  }
  return hashes;
}

describeWith('dcmtk', 'the receipt for a study that its PACS took converted', () => {
  it('is verified by the sender, holds what was sealed, and says what each instance became', async () => {
    const [a, b] = [sites.site('site-a'), sites.site('site-b')];
    const { id, sealed } = await sendCompressed(a);
    await takeIn(b, id, await startPacs());
    expect(await b.context.receptions.read(id)).toMatchObject({
      progress: 'confirmed',
      pacs: { main: { state: 'stored', storedCount: SLICES, convertedCount: SLICES } },
    });
    await a.poll();
    expect(await a.context.deliveries.read(id)).toMatchObject({ receipt: 'verified' });
    const jws = await a.context.deliveries.readDocument(id, 'receipt.jws');
    if (jws === undefined) throw new Error('the sender keeps no receipt');
    const { instances } = JSON.parse(parseCompactJws(jws).payload.toString('utf8'));
    const there = await received();
    expect(there.size).toBe(SLICES);
    const expected = [...sealed].map(([sop_instance_uid, sha256]) => ({
      sop_instance_uid,
      sha256,
      status: { main: '0x0000' },
      converted: { main: { transfer_syntax: IMPLICIT, sha256: there.get(sop_instance_uid) } },
    }));
    expect(instances).toHaveLength(SLICES);
    expect(instances).toEqual(expect.arrayContaining(expected));
    expect([...there.values()]).not.toContain(expected[0]?.sha256);
  });
});
