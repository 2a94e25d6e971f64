/**
 * Whole bridges for tests: `drawbridge up` in processes of their own, each with its folder, keys and free ports. They
 * can be killed and started again, which is what they are for.
 */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureSite } from '../../src/compose/first-run.js';
import type { DeliveryView, ReceptionView, StudyView } from '../../src/http/ports.js';
import { isAlive } from '../../src/queue/redis/process-identity.js';
import { createLayout } from '../../src/spool/layout.js';
import { ownCard, type PeerCard } from '../../src/trust/peer-card.js';
import { readSiteKeys } from '../../src/trust/site-keys.js';
import { nodeOptions } from './node-options.js';
import { freePort } from './ports.js';
import { type RunningProcess, startProcess } from './processes.js';
import { until } from './until.js';

/** In dist/; where this file was compiled itself, as for the benchmarks, beside it. */
const LAUNCHER = ['../../dist/src/cli/launch.js', '../../src/cli/launch.js']
  .map((path) => fileURLToPath(new URL(path, import.meta.url)))
  .find(existsSync);

export interface TestBridge {
  readonly id: string;
  readonly folder: string;
  readonly dimsePort: number;
  readonly httpsPort: number;
  readonly card: PeerCard;
  /** Replaces parts of the config; takes effect at the next start. */
  configure(config: Readonly<Record<string, unknown>>): Promise<void>;
  start(): Promise<void>;
  /** SIGKILL to the bridge; its workers and its Redis go with it, as far as they notice. */
  kill(): Promise<void>;
  /** The same, but for its workers: they may still be at their steps when this returns. */
  killAlone(): Promise<void>;
  /** SIGTERM, and waits for the end. */
  stop(): Promise<void>;
  get<T>(path: string): Promise<T>;
  post<T>(path: string): Promise<T>;
  deliveries(): Promise<DeliveryView[]>;
  receptions(): Promise<ReceptionView[]>;
  studies(): Promise<StudyView[]>;
  output(): string;
  remove(): Promise<void>;
}

/** Makes a site; it does not run yet. */
export async function makeBridge(id: string): Promise<TestBridge> {
  const folder = await mkdtemp(join(tmpdir(), `drawbridge-${id}-`));
  await mkdir(join(folder, 'data'), { recursive: true });
  const configPath = join(folder, 'drawbridge.yaml');
  const site = { id, name: `Hospital ${id}`, contact: `pacs@${id}.example` };
  const ports = { dimse: await freePort(), https: await freePort(), dashboard: await freePort() };
  let config: Record<string, unknown> = {
    site,
    dimse: { host: '127.0.0.1', port: ports.dimse, aeTitles: ['DRAWBRIDGE'], anyCaller: true },
    completion: { quietSeconds: 1 },
    https: { host: '127.0.0.1', port: ports.https },
    dashboard: { port: ports.dashboard },
    disk: { warnFreeBytes: 0, refuseFreeBytes: 0, receptionLogMegabytes: 64 },
    redis: { download: false },
  };
  const write = () => writeFile(configPath, JSON.stringify(config, null, 2));
  await write();
  const first = await ensureSite(configPath, {});
  const keysFolder = createLayout(first.settings.dataDir).keys;
  const card = ownCard(
    first.settings,
    await readSiteKeys(keysFolder, first.settings),
    '127.0.0.1',
    ports.https,
  );
  const token = readFileSync(join(keysFolder, 'api.token'), 'utf8').trim();
  let running: RunningProcess | undefined;
  let said = '';

  const call = async <T>(method: string, path: string): Promise<T> => {
    const response = await fetch(`http://127.0.0.1:${ports.dashboard}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}` },
    });
    const body = (await response.json()) as T;
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(body)}`);
    return body;
  };

  const stop = async () => {
    said += running?.output() ?? '';
    await running?.stop();
    running = undefined;
  };

  return {
    id,
    folder,
    dimsePort: ports.dimse,
    httpsPort: ports.https,
    card,
    async configure(changes) {
      config = { ...config, ...changes };
      await write();
    },
    async start() {
      if (LAUNCHER === undefined) throw new Error('there is no build: npm run build');
      running = await startProcess({
        command: process.execPath,
        args: [...nodeOptions(), LAUNCHER, 'up', '--config', configPath],
        ready: /dashboard: http/,
      });
    },
    async kill() {
      said += running?.output() ?? '';
      running?.kill('SIGKILL');
      await running?.ended;
      running = undefined;
    },
    async killAlone() {
      const killed = running;
      if (killed === undefined) return;
      said += killed.output();
      running = undefined;
      killed.kill('SIGKILL');
      await until(() => !isAlive(killed.pid), { what: 'the bridge is gone' });
    },
    stop,
    get: (path) => call('GET', path),
    post: (path) => call('POST', path),
    deliveries: () => call('GET', '/api/deliveries'),
    receptions: () => call('GET', '/api/receptions'),
    studies: () => call('GET', '/api/studies'),
    output: () => said + (running?.output() ?? ''),
    async remove() {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Two sites that cannot be called, and reach each other via exchanges of their own. Each has its PACS. */
export async function makePairVia(
  exchangesOf: (site: 'site-a' | 'site-b') => readonly Readonly<Record<string, unknown>>[],
  pacsOf: (site: 'site-a' | 'site-b') => readonly Readonly<Record<string, unknown>>[],
): Promise<{ a: TestBridge; b: TestBridge }> {
  const a = await makeBridge('site-a');
  const b = await makeBridge('site-b');
  for (const [bridge, other] of [
    [a, b],
    [b, a],
  ] as const) {
    const id = bridge.id as 'site-a' | 'site-b';
    const exchanges = exchangesOf(id);
    const { url: _, ...card } = other.card;
    await bridge.configure({
      https: { listen: false },
      exchanges,
      peers: [{ ...card, via: exchanges[0]?.['name'] }],
      routes: [{ to: [other.id] }],
      pacs: pacsOf(id),
    });
  }
  return { a, b };
}

/** Two sites that know each other: what A takes in goes to B, and from there to a PACS. */
export async function makePair(
  pacs: readonly Readonly<Record<string, unknown>>[],
): Promise<{ a: TestBridge; b: TestBridge }> {
  const a = await makeBridge('site-a');
  const b = await makeBridge('site-b');
  await a.configure({ peers: [b.card], routes: [{ to: [b.id] }] });
  await b.configure({ peers: [a.card], pacs });
  return { a, b };
}
