/**
 * Sites in this process that reach each other through folders, as over a share: real keys, records, steps, transports
 * and a PACS that speaks DIMSE, but no queue. What would go on a queue is noted, and runs when the test says so; what
 * becomes of a failure, the queue's own policy says.
 */
import { randomUUID } from 'node:crypto';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { KEY_DISK } from '../../src/compose/key-disk.js';
import { openSite, type SiteContext } from '../../src/compose/site.js';
import { createSteps, inboundParts, outboundParts } from '../../src/compose/steps.js';
import { loadSettings } from '../../src/config/load.js';
import { type DemoPacs, startDemoPacs } from '../../src/demo/demo-pacs.js';
import type { Delivery } from '../../src/domain/delivery.js';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import type { FetchParts } from '../../src/inbound/fetch.js';
import { createReceiver } from '../../src/inbound/receive.js';
import type { Log, LogFields } from '../../src/observe/log.js';
import type { CompletionParts } from '../../src/outbound/complete-study.js';
import type { Stage } from '../../src/queue/jobs.js';
import { formatNamedId } from '../../src/queue/named-job.js';
import { outcomeOf } from '../../src/queue/outcome.js';
import { POLICIES } from '../../src/queue/policy.js';
import type { Producer } from '../../src/queue/producer.js';
import { createSpool } from '../../src/spool/envelope-store.js';
import { createLayout } from '../../src/spool/layout.js';
import { openStudyStore } from '../../src/spool/study-store.js';
import type { Pace } from '../../src/transport/pace.js';
import { ownCard, type PeerCard } from '../../src/trust/peer-card.js';
import { ensureSiteKeys, readSiteKeys } from '../../src/trust/site-keys.js';
import { sealBytes, takeStudyIn } from './site-studies.js';

/** What all sites call the place between them. */
export const EXCHANGE = 'share';

export interface Job {
  readonly stage: Stage;
  readonly id: string;
}

/** A site as one of its processes sees it. */
export interface SiteProcess {
  readonly outbound: CompletionParts;
  readonly inbound: FetchParts;
  /** What was put on the queues and has not been run. */
  readonly jobs: Job[];
  /** What failed and would be tried again by itself. */
  readonly postponed: (Job & { readonly code: string })[];
  /** A synthetic study of two instances, taken in and put on its way; the id of its delivery to `peerId`. */
  send(peerId: string): Promise<EnvelopeId>;
  /** Runs what is on the queues, and what follows from it. */
  work(): Promise<void>;
  /** Looks into the inbox and puts on the queue what waits there, then `work`. */
  poll(): Promise<void>;
}

export interface TestSite extends SiteProcess {
  readonly id: string;
  readonly context: SiteContext;
  /** What its clock shows. */
  readonly time: { ms: number };
  readonly logged: readonly (LogFields & { readonly event: string })[];
  /** Where envelopes for it are put. */
  readonly inboxFolder: string;
  /** Another process of it; `changes` replace what it is made of. */
  process(changes: Partial<SiteContext>): SiteProcess;
  /** An envelope for `peerId`, sealed and ready to ship, whose payload is nothing but `bytes` bytes. */
  seal(peerId: string, bytes: number, more?: Partial<Delivery>): Promise<EnvelopeId>;
}

export interface TestSites {
  readonly root: string;
  readonly pacs: DemoPacs;
  site(id: string): TestSite;
  /** A second bridge of a site: its keys and its inbox, but a data folder of its own. */
  twinOf(id: string): Promise<TestSite>;
  close(): Promise<void>;
}

/** @param peerOf what the entry of `peer` in the config of `site` has more, or instead; undefined removes a key */
export async function makeSites(
  ids: readonly string[],
  peerOf: (site: string, peer: string) => Readonly<Record<string, unknown>> = () => ({}),
): Promise<TestSites> {
  const root = await mkdtemp(join(tmpdir(), 'drawbridge-sites-'));
  await mkdir(join(root, 'pacs'));
  const opened = new Map<string, TestSite>();
  const cards = new Map<string, PeerCard>();
  const twins: TestSite[] = [];
  const pacs = await startDemoPacs('PACS', join(root, 'pacs'), logTo([]));

  const configOf = (id: string) => ({
    site: { id, name: `Hospital ${id}`, contact: `pacs@${id}.example` },
    https: { listen: false },
    disk: { warnFreeBytes: 0, refuseFreeBytes: 0 },
    exchanges: [
      {
        name: EXCHANGE,
        type: 'folder',
        outbox: join(root, EXCHANGE, '{peer}'),
        inbox: join(root, EXCHANGE, '{site}'),
        settleSeconds: 0,
      },
    ],
    peers: [...cards.values()]
      .filter((card) => card.id !== id)
      .map((card) => ({ ...card, via: EXCHANGE, ...peerOf(id, card.id) })),
    pacs: [{ name: 'main', aeTitle: 'PACS', host: '127.0.0.1', port: pacs.port }],
  });
  const writeConfig = async (folder: string, id: string) => {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'drawbridge.yaml'), JSON.stringify(configOf(id)));
    return join(folder, 'drawbridge.yaml');
  };
  const open = async (folder: string, id: string) =>
    openTestSite(await writeConfig(folder, id), join(root, EXCHANGE, id));

  for (const id of ids) {
    const settings = loadSettings(await writeConfig(join(root, id), id), {});
    const layout = createLayout(settings.dataDir);
    await createSpool(layout);
    await ensureSiteKeys(layout.keys, settings, KEY_DISK, Date.now());
    const keys = await readSiteKeys(layout.keys, settings);
    cards.set(id, ownCard(settings, keys, '127.0.0.1'));
    await mkdir(join(root, EXCHANGE, id), { recursive: true });
  }
  for (const id of ids) opened.set(id, await open(join(root, id), id));

  const site = (id: string): TestSite => {
    const found = opened.get(id);
    if (found === undefined) throw new Error(`there is no site ${id}`);
    return found;
  };
  return {
    root,
    pacs,
    site,
    async twinOf(id) {
      const folder = join(root, `twin-${randomUUID()}`);
      const { layout, settings } = site(id).context;
      const dataDir = join(folder, settings.dataDir.slice(join(root, id).length));
      await cp(layout.keys, join(dataDir, 'keys'), { recursive: true });
      const twin = await open(folder, id);
      twins.push(twin);
      return twin;
    },
    async close() {
      for (const each of [...opened.values(), ...twins]) each.context.close();
      await pacs.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}

async function openTestSite(configPath: string, inboxFolder: string): Promise<TestSite> {
  const logged: (LogFields & { readonly event: string })[] = [];
  const time = { ms: Date.now() };
  const site = await openSite(loadSettings(configPath, {}), logTo(logged));
  const context: SiteContext = { ...site, clock: { now: () => time.ms } };
  const studies = await openStudyStore(context.layout);
  const process = (changes: Partial<SiteContext>) => startProcess({ ...context, ...changes }, studies);
  const main = process({});
  return {
    ...main,
    id: context.settings.site.id,
    context,
    time,
    logged,
    inboxFolder,
    process,
    seal: (peerId, bytes, more) => sealBytes(context, peerId, bytes, more),
  };
}

function startProcess(context: SiteContext, studies: CompletionParts['studies']): SiteProcess {
  const { signal } = new AbortController();
  const jobs: Job[] = [];
  const postponed: SiteProcess['postponed'] = [];
  const isThere = (stage: Stage, id: string) => jobs.some((job) => job.stage === stage && job.id === id);
  const add = async (stage: Stage, id: string) => {
    if (!isThere(stage, id)) jobs.push({ stage, id });
  };
  const producer: Producer = {
    add,
    promote: add,
    remove: async () => undefined,
    close: async () => undefined,
  };
  const steps = createSteps(context, producer);
  const inbound = inboundParts(context, producer);

  const run = async ({ stage, id }: Job): Promise<void> => {
    const nowMs = context.clock.now();
    try {
      await steps[stage].run(id, signal);
    } catch (raw) {
      const { attempts } = POLICIES[stage];
      const failed = { id, data: { id }, attemptsMade: 0, opts: { attempts }, timestamp: nowMs };
      const outcome = outcomeOf(raw, failed, POLICIES[stage], nowMs);
      if (outcome.type === 'given-up') return steps[stage].givenUp(id, outcome.error);
      await steps[stage].retried(id, outcome.error, outcome.atMs, 1);
      postponed.push({ stage, id, code: outcome.error.code });
    }
  };
  const work = async () => {
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) await run(job);
  };
  const outbound = { ...outboundParts(context, producer), studies, routes: [] };
  return {
    outbound,
    inbound: { ...inbound, receive: createReceiver(inbound) },
    jobs,
    postponed,
    work,
    async send(peerId) {
      const id = await takeStudyIn(outbound, peerId);
      await work();
      return id;
    },
    async poll() {
      for (const { name } of context.lines.inboxes) {
        for (const { id } of await context.lines.inboxAt(name).list({ signal })) {
          await add('fetch', formatNamedId(id, name));
        }
      }
      await work();
    },
  };
}

/** A pace without a limit that lets `bytes` through; then the line breaks with what `then` gives, or hangs. */
export function paceUntil(bytes: number, then: () => Error | undefined): Pace {
  let left = bytes;
  return {
    bytesPerSecond: Number.MAX_SAFE_INTEGER,
    limiter: () =>
      new Transform({
        transform(chunk: Buffer, _encoding, done) {
          this.push(chunk.subarray(0, left));
          left = Math.max(0, left - chunk.length);
          if (left > 0) return done();
          const error = then();
          if (error !== undefined) done(error);
        },
      }),
  };
}

function logTo(lines: (LogFields & { readonly event: string })[]): Log {
  const write = (fields: LogFields & { readonly event: string }) => void lines.push(fields);
  const log: Log = { debug: write, info: write, warn: write, error: write, child: () => log };
  return log;
}
