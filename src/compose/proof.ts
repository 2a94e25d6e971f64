/**
 * The proof of one delivery or reception, from the documents beside its record: nothing else of the envelope is needed,
 * and no bridge has to run. Reads only.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Settings } from '../config/settings.js';
import { formatTimestamp, systemClock } from '../domain/clock.js';
import { type Delivery, envelopeIdOf } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Reception } from '../domain/reception.js';
import { GatewayError } from '../errors/gateway-error.js';
import { readManifest } from '../jmix/manifest.js';
import { silentLog } from '../observe/log.js';
import { createFileDurably, isErrno } from '../spool/atomic.js';
import { createLayout } from '../spool/layout.js';
import { openRecordStore, type RecordStore } from '../spool/record-store.js';
import { parsePublicKey, readPublicKey } from '../trust/key-files.js';
import { newestRevision, readRing } from '../trust/key-ring.js';
import { readPeerBook } from '../trust/peer-book.js';
import {
  formatProofKeys,
  formatRecord,
  keyFileName,
  MAX_ANNOUNCEMENT_FILES,
  PROOF_FILES,
  type ProofFiles,
  type ProofRecord,
  sealProof,
} from '../trust/proof.js';
import { proofReadme } from '../trust/proof-readme.js';
import { type KeyOrigin, signersOf } from '../trust/proof-signers.js';
import type { SiteContext } from './site.js';

/** What a proof is made from: the data folder and the config, and no private key. */
export type ProofSite = Pick<SiteContext, 'layout' | 'deliveries' | 'receptions' | 'peers'> & {
  readonly settings: Pick<Settings, 'site'>;
};

/** @throws CONFIG_INVALID, KEY_UNREADABLE */
export async function openProofSite(settings: Settings): Promise<ProofSite> {
  const layout = createLayout(settings.dataDir);
  return {
    settings,
    layout,
    deliveries: openRecordStore<Delivery>(layout.deliveries),
    receptions: openRecordStore<Reception>(layout.receptions),
    peers: await readPeerBook(settings, layout.trust, {
      createFile: createFileDurably,
      clock: systemClock,
      log: silentLog,
    }),
  };
}

/** The files that a proof takes over as they are. */
const DOCUMENTS = [
  PROOF_FILES.manifest,
  PROOF_FILES.jws,
  PROOF_FILES.audit,
  PROOF_FILES.receipt,
  PROOF_FILES.refusal,
];

/**
 * @param id of the delivery or of the reception, as the dashboard shows it
 * @throws ENVELOPE_NOT_FOUND when there is no such record, or its manifest was not kept
 */
export async function makeProof(site: ProofSite, id: EnvelopeId): Promise<ProofFiles> {
  const { record, documents, partnerId } = await evidenceOf(site, id);
  const manifestBytes = documents.get(PROOF_FILES.manifest);
  if (manifestBytes === undefined) {
    throw new GatewayError(
      'ENVELOPE_NOT_FOUND',
      'the manifest of this envelope was not kept: nothing can be proven',
    );
  }
  const manifest = readManifest(manifestBytes);
  const own = await ownKeys(site);
  const keys = signersOf(documents, [...own.signing, ...partnerKeys(site)]);
  const files = new Map(documents);
  for (const { key } of keys) {
    files.set(keyFileName(key), Buffer.from(key.export({ type: 'spki', format: 'pem' })));
  }
  const partner = site.peers.known().find(({ peer }) => peer.id === partnerId);
  const theirs = partner?.record.statements.map(({ jws }) => jws) ?? [];
  const statements = [...new Set([...own.announcements, ...theirs])].slice(-MAX_ANNOUNCEMENT_FILES);
  statements.forEach((jws, index) => {
    files.set(`announcements/${String(index + 1).padStart(3, '0')}.jws`, Buffer.from(jws));
  });
  files.set(PROOF_FILES.keys, formatProofKeys(keys));
  files.set(PROOF_FILES.record, formatRecord(record));
  files.set(PROOF_FILES.readme, proofReadme(manifest, files, keys));
  return sealProof(files);
}

interface Evidence {
  readonly record: ProofRecord;
  readonly documents: Map<string, Buffer>;
  readonly partnerId: string;
}

async function evidenceOf(site: ProofSite, id: EnvelopeId): Promise<Evidence> {
  const { id: siteId, name } = site.settings.site;
  const recordOf = (role: ProofRecord['role'], steps: StepList): ProofRecord => ({
    version: 1,
    id,
    role,
    exported_by: { id: siteId, name },
    steps: steps.map(({ event, atMs }) => ({ event, at: formatTimestamp(atMs) })),
  });
  const delivery = await site.deliveries.read(id);
  if (delivery !== undefined) {
    const envelopeId = envelopeIdOf(delivery);
    const steps = [{ event: 'accepted', atMs: delivery.createdAtMs }, ...delivery.steps];
    return {
      record: recordOf('sender', steps),
      // A bridge of an earlier version kept none of them beside the record.
      documents: await documentsOf(site.deliveries, id, site.layout.sealedEnvelope(envelopeId)),
      partnerId: delivery.peerId,
    };
  }
  const reception = await site.receptions.read(id);
  if (reception === undefined) {
    throw new GatewayError('ENVELOPE_NOT_FOUND', 'there is no delivery and no reception with this id');
  }
  const steps = [{ event: 'received', atMs: reception.receivedAtMs }, ...reception.steps];
  return {
    record: recordOf('receiver', steps),
    documents: await documentsOf(site.receptions, id, site.layout.inboxEnvelope(id)),
    partnerId: reception.senderId,
  };
}

type StepList = readonly { readonly event: string; readonly atMs: number }[];

/** @param folder of the envelope itself: only where no document of it was kept, so that two envelopes are never mixed */
async function documentsOf(
  store: RecordStore<Delivery> | RecordStore<Reception>,
  id: EnvelopeId,
  folder: string,
): Promise<Map<string, Buffer>> {
  const wasKept = (await store.readDocument(id, PROOF_FILES.manifest)) !== undefined;
  const found = new Map<string, Buffer>();
  for (const name of DOCUMENTS) {
    const bytes =
      (await store.readDocument(id, name)) ?? (wasKept ? undefined : await readIfThere(join(folder, name)));
    if (bytes !== undefined) found.set(name, bytes);
  }
  return found;
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

interface OwnKeys {
  readonly signing: readonly KeyOrigin[];
  readonly announcements: readonly string[];
}

/** Our signing keys of all generations, by the list that outlives their private halves. */
async function ownKeys({ layout, settings }: ProofSite): Promise<OwnKeys> {
  const { id } = settings.site;
  const revision = await newestRevision(layout.keys);
  if (revision === 0) {
    const key = await readPublicKey(join(layout.keys, 'signing.pub'), 'signing');
    return { signing: [{ key, id, source: 'own' }], announcements: [] };
  }
  const { generations, announcements } = await readRing(layout.keys, revision);
  const signing = generations
    .filter(({ purpose }) => purpose === 'signing')
    .map(({ key, state }) => ({ key: parsePublicKey(key, 'signing'), id, source: `own, ${state}` }));
  return { signing, announcements: announcements.map(({ jws }) => jws) };
}

/** Every signing key of a peer that this site has ever known, whether or not it still counts. */
function partnerKeys({ peers }: ProofSite): readonly KeyOrigin[] {
  return peers
    .known()
    .flatMap(({ peer, keys }) =>
      [...keys.known.values()]
        .filter(({ purpose }) => purpose === 'signing')
        .map(({ key, source }) => ({ key: parsePublicKey(key, 'signing'), id: peer.id, source })),
    );
}
