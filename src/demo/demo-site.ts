/** One site of the demo: a folder with config and keys, and a running bridge. */
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { ensureSite } from '../compose/first-run.js';
import { type Bridge, startBridge } from '../compose/supervisor.js';
import { loadSettings } from '../config/load.js';
import type { Site } from '../domain/site.js';
import type { Log } from '../observe/log.js';
import { createLayout } from '../spool/layout.js';
import { ownCard, type PeerCard } from '../trust/peer-card.js';
import { readApiToken, readSiteKeys } from '../trust/site-keys.js';

export interface SitePorts {
  readonly dimse: number;
  readonly https: number;
  readonly dashboard: number;
}

export interface DemoSite {
  readonly site: Site;
  readonly folder: string;
  readonly configPath: string;
  readonly ports: SitePorts;
  readonly card: PeerCard;
  readonly password: string;
}

/** Makes a site's keys; its config is completed when the other one is known. */
export async function prepareSite(folder: string, site: Site): Promise<DemoSite> {
  const [dimse = 0, https = 0, dashboard = 0] = await freePorts(3);
  const ports = { dimse, https, dashboard };
  const configPath = join(folder, 'drawbridge.yaml');
  const first = await ensureSite(configPath, {}, site);
  const keys = await readSiteKeys(createLayout(first.settings.dataDir).keys, first.settings);
  return {
    site,
    folder,
    configPath,
    ports,
    card: ownCard(first.settings, keys, '127.0.0.1', ports.https),
    password: first.password ?? '',
  };
}

/** Writes the whole config (JSON is YAML) and starts the bridge. */
export async function startSite(
  { site, configPath, ports }: DemoSite,
  config: Readonly<Record<string, unknown>>,
  log: Log,
): Promise<Bridge> {
  const whole = {
    site,
    https: { host: '127.0.0.1', port: ports.https },
    dashboard: { port: ports.dashboard },
    disk: { warnFreeBytes: 0, refuseFreeBytes: 0 },
    log: { level: 'warn' },
    ...config,
    dimse: { host: '127.0.0.1', port: ports.dimse, ...(config['dimse'] as object | undefined) },
  };
  await writeFile(configPath, `${JSON.stringify(whole, null, 2)}\n`);
  const settings = loadSettings(configPath, {});
  return startBridge(settings, configPath, new URL('../../workers/main.js', import.meta.url), log);
}

/** Asks the site's own API. */
export async function askSite<T>({ folder, ports }: DemoSite, path: string): Promise<T> {
  const token = await readApiToken(join(folder, 'data', 'keys'));
  const response = await fetch(`http://127.0.0.1:${ports.dashboard}${path}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  return (await response.json()) as T;
}

/** The last lines of a log file, for when something went wrong. */
export async function lastLines(path: string, count: number): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.trimEnd().split('\n').slice(-count).join('\n');
}

/** Held all at once, so that no two are the same. */
async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(Array.from({ length: count }, () => listen()));
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

function listen(): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}
