/**
 * The demo: two bridges, a small PACS, and the sample study on its whole road over real sockets, with keys and
 * certificates made for it. Ends with a table; leaves nothing behind.
 */
import { closeSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { findInputFiles, type InputInstance } from '../cli/input-files.js';
import { formatBytes } from '../cli/output.js';
import { untilStopped } from '../cli/stop-signal.js';
import type { Bridge } from '../compose/supervisor.js';
import { storeInstances } from '../dimse/store-scu.js';
import { parseAeTitle } from '../domain/ae-title.js';
import type { DeliveryView, ReceptionView } from '../http/ports.js';
import { createLog, type Log } from '../observe/log.js';
import { hashFrom, readBytesFrom } from '../spool/instance-file.js';
import { type DemoPacs, startDemoPacs } from './demo-pacs.js';
import { askSite, type DemoSite, lastLines, prepareSite, startSite } from './demo-site.js';
import { formatLegs, type Leg, legsOf } from './legs.js';

const TIMEOUT_MS = 120_000;
const LOOK_EVERY_MS = 100;
const MODALITY = 'CT1';
const CLOSE_GRACE_MS = 3_000;

interface Stage {
  readonly a: DemoSite;
  readonly b: DemoSite;
  readonly pacs: DemoPacs;
  close(): Promise<void>;
}

/** @returns the exit code: 0 when every instance at the PACS is bit-identical to the one sent */
export async function main(argv: readonly string[]): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'drawbridge-demo-'));
  const logPath = join(folder, 'demo.log');
  const logFile = openSync(logPath, 'a');
  const stopped = untilStopped();
  let stage: Stage | undefined;
  try {
    stage = await raise(folder, createLog('info', { service: 'demo', destination: logFile }));
    const result = await Promise.race([run(stage), stopped.then(() => 130)]);
    if (result === 0 && argv.includes('--keep')) await keep(stage, stopped);
    return result;
  } catch (error) {
    tell(`the demo failed: ${error instanceof Error ? error.message : String(error)}`);
    tell(await lastLines(logPath, 20));
    return 1;
  } finally {
    await stage?.close();
    closeSync(logFile);
    await rm(folder, { recursive: true, force: true });
  }
}

/** Starts both bridges and the PACS. */
async function raise(folder: string, log: Log): Promise<Stage> {
  tell('two sites make their keys and certificates');
  const a = await prepareSite(await made(folder, 'site-a'), {
    id: 'site-a',
    name: 'Hospital A',
    contact: 'pacs@a.example',
  });
  const b = await prepareSite(await made(folder, 'site-b'), {
    id: 'site-b',
    name: 'Hospital B',
    contact: 'pacs@b.example',
  });
  const bridges: Bridge[] = [];
  const pacs = await startDemoPacs('PACS_B', await made(folder, 'pacs-b'), log);
  const close = async () => {
    await Promise.all(bridges.map((bridge) => bridge.close(CLOSE_GRACE_MS)));
    await pacs.close();
  };
  try {
    bridges.push(
      await startSite(
        a,
        {
          dimse: { aeTitles: ['BRIDGE_A'], callers: [{ aeTitle: MODALITY, hosts: ['127.0.0.1'] }] },
          completion: { quietSeconds: 1 },
          peers: [b.card],
          routes: [{ to: ['site-b'] }],
        },
        log,
      ),
      await startSite(
        b,
        {
          dimse: { aeTitles: ['BRIDGE_B'] },
          peers: [a.card],
          pacs: [{ name: 'main', aeTitle: 'PACS_B', host: '127.0.0.1', port: pacs.port }],
        },
        log,
      ),
    );
  } catch (error) {
    await close();
    throw error;
  }
  for (const [name, bridge] of [
    ['A', bridges[0]],
    ['B', bridges[1]],
  ] as const) {
    tell(
      `bridge ${name} is up, Redis: ${bridge?.redisKind}${bridge?.redisNote === undefined ? '' : ` (${bridge.redisNote})`}`,
    );
  }
  return { a, b, pacs, close };
}

async function run(stage: Stage): Promise<number> {
  const { instances } = await findInputFiles([sampleFolder()]);
  const first = await sendStudy(stage.a, instances);
  const delivery = await follow(stage);
  const reception = await settled(stage, delivery.id);
  const sent = await Promise.all(instances.map(({ path, dataSetOffset }) => hashFrom(path, dataSetOffset)));
  const identical = instances.filter(
    ({ sopInstanceUid }, at) => stage.pacs.stored.get(sopInstanceUid) === sent[at],
  );
  tell('');
  tell(formatLegs([first, ...legsOf(delivery, reception)]));
  tell('');
  const all = identical.length === instances.length && stage.pacs.stored.size === instances.length;
  tell(
    `${identical.length} of ${instances.length} instances at the PACS of B are bit-identical to those sent${all ? '' : ': FAILED'}`,
  );
  return all ? 0 : 1;
}

/** The modality: C-STORE over a real socket. */
async function sendStudy(a: DemoSite, instances: readonly InputInstance[]): Promise<Leg> {
  const bytes = instances.reduce((sum, instance) => sum + instance.dataSetBytes, 0);
  const syntaxes = new Set(instances.map((instance) => instance.transferSyntaxUid)).size;
  tell(
    `${MODALITY} sends ${instances.length} instances, ${formatBytes(bytes)}, in ${syntaxes} transfer syntaxes, to BRIDGE_A`,
  );
  const startMs = performance.now();
  const summary = await storeInstances({
    pacs: { aeTitle: parseAeTitle('BRIDGE_A'), host: '127.0.0.1', port: a.ports.dimse },
    callingAe: parseAeTitle(MODALITY),
    instances: instances.map((instance) => ({
      ...instance,
      sizeBytes: instance.dataSetBytes,
      open: () => readBytesFrom(instance.path, instance.dataSetOffset),
    })),
    onOutcome: () => undefined,
  });
  if (summary.stored !== instances.length)
    throw new Error(`bridge A stored ${summary.stored} of ${instances.length}`);
  return { name: 'C-STORE to bridge A', instances: instances.length, bytes, ms: performance.now() - startMs };
}

/** Tells each state of the delivery as it comes; returns it when it is verified. */
async function follow({ a }: Stage): Promise<DeliveryView> {
  const deadlineMs = Date.now() + TIMEOUT_MS;
  let told = '';
  while (Date.now() < deadlineMs) {
    const [delivery] = await askSite<DeliveryView[]>(a, '/api/deliveries');
    if (delivery !== undefined && delivery.state !== told) {
      told = delivery.state;
      tell(`delivery ${delivery.id}: ${told}`);
    }
    if (delivery?.state === 'verified') return delivery;
    if (delivery?.state === 'parked' || delivery?.state === 'refused') {
      throw new Error(
        `the delivery is ${delivery.state}: ${delivery.parked?.message ?? delivery.refusal?.message}`,
      );
    }
    await pause(LOOK_EVERY_MS);
  }
  throw new Error(`the study did not arrive within ${TIMEOUT_MS / 1000} s`);
}

/** Site B's record, when it has come to its end too. */
async function settled({ b }: Stage, id: string): Promise<ReceptionView> {
  const deadlineMs = Date.now() + TIMEOUT_MS;
  while (Date.now() < deadlineMs) {
    const receptions = await askSite<ReceptionView[]>(b, '/api/receptions');
    const reception = receptions.find((each) => each.id === id);
    if (reception?.progress === 'confirmed') return reception;
    await pause(LOOK_EVERY_MS);
  }
  throw new Error('site B does not close the reception');
}

async function keep({ a, b }: Stage, stopped: Promise<void>): Promise<void> {
  tell('');
  for (const [name, site] of [
    ['A', a],
    ['B', b],
  ] as const) {
    tell(`dashboard ${name}: http://127.0.0.1:${site.ports.dashboard}/   password ${site.password}`);
  }
  tell(
    `send more: storescu -aet ${MODALITY} -aec BRIDGE_A 127.0.0.1 ${a.ports.dimse} FILES   (Ctrl-C to end)`,
  );
  await stopped;
}

/** Beside this file when built, and when not. */
function sampleFolder(): string {
  return fileURLToPath(new URL('../../../samples/studies/demo', import.meta.url));
}

async function made(folder: string, name: string): Promise<string> {
  const path = join(folder, name);
  await mkdir(path);
  return path;
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}
