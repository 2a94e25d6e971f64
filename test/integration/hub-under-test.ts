/** A hub over real TLS sockets, with members that have certificates or tokens, and sealed envelopes to send through it. */
import { createHash, type KeyObject, X509Certificate } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type HubGateway, type ParcelView, startHubGateway } from '../../src/compose/hub-gateway.js';
import { KEY_DISK } from '../../src/compose/key-disk.js';
import { type Settings, settingsSchema } from '../../src/config/settings.js';
import type { Clock } from '../../src/domain/clock.js';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import type { HubExchange } from '../../src/domain/exchange.js';
import { openEnvelopeArchive } from '../../src/jmix/envelope-archive.js';
import { AUDIT_FILE, MANIFEST_FILE, MANIFEST_JWS, SEALED_PAYLOAD } from '../../src/jmix/envelope-names.js';
import { type SealRequest, sealEnvelope } from '../../src/jmix/seal.js';
import type { Log } from '../../src/observe/log.js';
import { createSpool } from '../../src/spool/envelope-store.js';
import { createLayout, type Layout } from '../../src/spool/layout.js';
import type { ClientIdentity } from '../../src/transport/client-identity.js';
import { createHubTransport } from '../../src/transport/https/hub.js';
import type { OutgoingEnvelope, Transport } from '../../src/transport/transport.js';
import { makeCertificate } from '../../src/trust/certificate.js';
import { ensureSiteKeys, readSiteKeys, type SiteKeys } from '../../src/trust/site-keys.js';
import { RECEIVER, RECIPIENT, SENDER, sealRequest } from '../unit/jmix/support/sealing.js';

/** Of the first bridge of every site. */
export const BRIDGE_ID = '0123456789abcdef';
export const HUB_ID = 'hub';
export const TOKEN = 'c2l0ZS1kLWlzLWtub3duLWJ5LXRoaXMtdG9rZW4';

export type SiteId = 'site-a' | 'site-b' | 'site-c' | 'site-d' | 'stranger';

export interface HubUnderTest {
  readonly layout: Layout;
  readonly keys: SiteKeys;
  /** The clock that the hub goes by. */
  readonly time: { ms: number };
  readonly logged: Record<string, unknown>[];
  port(): number;
  gateway(): HubGateway;
  identity(site: SiteId): ClientIdentity;
  /** The transport of one site; each has its certificate, site-d a token, the stranger neither. */
  /** @param more `bridgeId` for a second bridge of the site */
  transport(site: SiteId, more?: Partial<HubExchange> & { readonly bridgeId?: string }): Transport;
  parcel(id: EnvelopeId): ParcelView | undefined;
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** @param more settings that differ; `peers` by id */
export async function makeHub(
  more: { readonly peers?: Partial<Record<SiteId, object>>; readonly settings?: object } = {},
): Promise<HubUnderTest> {
  const folder = await mkdtemp(join(tmpdir(), 'drawbridge-hub-'));
  const sites: readonly SiteId[] = ['site-a', 'site-b', 'site-c', 'site-d', 'stranger'];
  const identities = new Map<SiteId, ClientIdentity>();
  for (const site of sites) identities.set(site, await makeCertificate(site, ['127.0.0.1'], Date.now()));
  const identity = (site: SiteId): ClientIdentity => {
    const found = identities.get(site);
    if (found === undefined) throw new Error(`no certificate for ${site}`);
    return found;
  };
  const peers = sites.slice(0, 4).map((id) => ({
    id,
    name: `Hospital ${id}`,
    ...(id === 'site-d'
      ? { tokenSha256: createHash('sha256').update(TOKEN).digest('hex') }
      : { certificateFingerprints: [fingerprintOf(identity(id).certificate)] }),
    ...more.peers?.[id],
  }));
  const settings: Settings = settingsSchema.parse({
    role: 'hub',
    site: { id: HUB_ID, name: 'The hub', contact: 'hub@example.org' },
    dataDir: folder,
    https: { host: '127.0.0.1', port: 0 },
    disk: { warnFreeBytes: 0, refuseFreeBytes: 0 },
    peers,
    ...more.settings,
  });
  const layout = createLayout(folder);
  await createSpool(layout);
  await ensureSiteKeys(layout.keys, settings, KEY_DISK, Date.now());
  const keys = await readSiteKeys(layout.keys, settings);
  const logged: Record<string, unknown>[] = [];
  const write = (fields: Record<string, unknown>, message?: string) =>
    void logged.push(message === undefined ? fields : { ...fields, message });
  const log: Log = { debug: write, info: write, warn: write, error: write, child: () => log };
  const time = { ms: Date.now() };
  const clock: Clock = { now: () => time.ms };
  const transports: Transport[] = [];
  let gateway = await startHubGateway({ settings, log, clock });

  return {
    layout,
    keys,
    time,
    logged,
    identity,
    port: () => gateway.ports.https,
    gateway: () => gateway,
    transport(site, { bridgeId = BRIDGE_ID, ...options } = {}) {
      const transport = createHubTransport(
        {
          type: 'hub',
          name: 'hub',
          pollMs: 1_000,
          afterTaking: 'delete',
          url: `https://127.0.0.1:${gateway.ports.https}`,
          trust: { certificateFingerprints: [fingerprintOf(keys.tls.certificate)] },
          ...(site === 'site-d' ? { token: async () => TOKEN } : {}),
          ...options,
        },
        identity(site),
        bridgeId,
      );
      transports.push(transport);
      return transport;
    },
    parcel: (id) => gateway.parcels().find((parcel) => parcel.id === id),
    async restart() {
      await gateway.close(0);
      gateway = await startHubGateway({ settings, log, clock });
    },
    async close() {
      for (const transport of transports) transport.close();
      await gateway.close(0);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export function fingerprintOf(certificate: string): string {
  return createHash('sha256').update(new X509Certificate(certificate).raw).digest('hex');
}

export interface Letter {
  readonly from: string;
  readonly to: readonly string[];
  /** That all of them have; the tests' recipient's by default. */
  readonly key?: KeyObject;
}

/** A sealed envelope in a folder below `root`. */
export async function sealLetter(
  root: string,
  { from, to, key = RECIPIENT.publicKey }: Letter,
  more: Partial<SealRequest> = {},
): Promise<OutgoingEnvelope> {
  const id = more.id ?? (crypto.randomUUID() as EnvelopeId);
  const folder = join(await mkdtemp(join(root, 'letter-')), `${id}.JMIX`);
  await mkdir(folder);
  const sealed = await sealEnvelope(
    sealRequest({
      sender: { ...SENDER, id: from },
      recipients: to.map((receiverId) => ({ entity: { ...RECEIVER, id: receiverId }, key })),
      ...more,
      id,
      payloadSink: createWriteStream(join(folder, SEALED_PAYLOAD), { flags: 'wx' }),
    }),
  );
  await writeFile(join(folder, MANIFEST_FILE), sealed.manifest);
  await writeFile(join(folder, MANIFEST_JWS), sealed.jws);
  await writeFile(join(folder, AUDIT_FILE), sealed.audit);
  return { id, folder, manifestSha256: createHash('sha256').update(sealed.manifest).digest('hex') };
}

/** An envelope for the hub with `inner` in it, as a sender makes it that lets nobody else see where it goes. */
export async function nestLetter(
  root: string,
  hub: HubUnderTest,
  from: string,
  inner: OutgoingEnvelope,
  more: Partial<SealRequest> = {},
): Promise<OutgoingEnvelope> {
  const { sizeBytes } = await openEnvelopeArchive(inner.folder);
  const open = async function* () {
    yield* (await openEnvelopeArchive(inner.folder)).stream as AsyncIterable<Buffer>;
  };
  return sealLetter(
    root,
    { from, to: [HUB_ID], key: hub.keys.encryption.publicKey },
    {
      metadata: { patient: { id: 'none' } },
      files: [{ name: `files/${inner.id}.JMIX.tar`, sizeBytes, open }],
      ...more,
    },
  );
}

/** Whether any file below `folder`, by its name or its bytes, holds one of `needles`; which, and where. */
export async function findIn(folder: string, needles: readonly (string | Buffer)[]): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const bytes = entry.isFile() ? await readFile(path) : Buffer.alloc(0);
    for (const needle of needles)
      if (bytes.includes(needle) || path.includes(String(needle))) found.push(path);
  }
  return found;
}
