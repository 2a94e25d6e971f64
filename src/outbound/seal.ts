/**
 * seal: draft and instances → sealed envelope, in one pass from disk to disk. Each instance is proved, while it passes,
 * to have the very bytes that were acknowledged to the modality. Commit point: the rename to `sealed/<id>.JMIX`. Never
 * resumed: a second run draws a new key and IV.
 */
import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { advanceDelivery, type Delivery, type Sealed } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Instance } from '../domain/instance.js';
import { GatewayError } from '../errors/gateway-error.js';
import { sha256Hex } from '../jmix/digest.js';
import type { PayloadFile, SealedEnvelope } from '../jmix/seal.js';
import { isErrno } from '../spool/atomic.js';
import { discardFolder, folderExists } from '../spool/envelope-store.js';
import { readBytesFrom, readInstanceMeta } from '../spool/instance-file.js';
import { sealAround, sealToFolder, type Travelling } from '../spool/sealed-envelope.js';
import { type Draft, writeDraft } from './pack.js';
import { dueDelivery, type OutboundParts } from './parts.js';

/** @throws SPOOL_CORRUPT, SPOOL_WRITE_FAILED, PEER_REFUSED when the peer has no encryption key */
export async function seal(parts: OutboundParts, id: EnvelopeId, signal: AbortSignal): Promise<void> {
  const delivery = dueDelivery(await parts.deliveries.read(id), ['packed']);
  if (delivery !== undefined) {
    const sealed =
      (await sealAgainForHub(parts, delivery, signal)) ?? (await sealAnew(parts, delivery, signal));
    await parts.deliveries.update(id, (record) =>
      advanceDelivery(record, { type: 'sealed', sealed }, parts.clock.now()),
    );
    parts.log.info({ event: 'envelope.sealed', delivery: id, bytes: sealed.sizeBytes });
    await rm(parts.layout.draft(id), { force: true });
  }
  await parts.enqueue('ship', id);
}

async function sealAnew(parts: OutboundParts, delivery: Delivery, signal: AbortSignal): Promise<Sealed> {
  const draft = (await readDraft(parts, delivery.id)) ?? (await writeDraft(parts, delivery, signal));
  const { payloadSizeBytes, manifest } = await sealInstances(parts, delivery, draft, signal);
  const outer = await sealForHub(parts, delivery, 0, signal);
  return {
    sizeBytes: payloadSizeBytes,
    manifestSha256: sha256Hex(manifest),
    ...(outer === undefined ? {} : { outer }),
  };
}

/** Another envelope around the same one, which the receiver may have already; undefined when that is not asked for. */
async function sealAgainForHub(
  parts: OutboundParts,
  delivery: Delivery,
  signal: AbortSignal,
): Promise<Sealed | undefined> {
  const before = delivery.sealed?.outer;
  if (delivery.sealed === undefined || before === undefined) return undefined;
  if (!(await folderExists(parts.layout.sealedEnvelope(delivery.id)))) return undefined;
  const round = (before.round ?? 0) + 1;
  const outer = await sealForHub(parts, delivery, round, signal);
  await discardFolder(parts.layout, parts.layout.sealedEnvelope(before.id));
  const { outer: _, ...inner } = delivery.sealed;
  return { ...inner, ...(outer === undefined ? {} : { outer: { ...outer, round } }) };
}

async function readDraft(parts: OutboundParts, id: EnvelopeId): Promise<Draft | undefined> {
  try {
    return JSON.parse(await readFile(parts.layout.draft(id), 'utf8')) as Draft;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function sealInstances(
  parts: OutboundParts,
  delivery: Delivery,
  draft: Draft,
  signal: AbortSignal,
): Promise<SealedEnvelope> {
  const peer = parts.peers.get(delivery.peerId);
  if (peer?.encryptionKey === undefined) {
    throw new GatewayError('PEER_REFUSED', `the peer ${delivery.peerId} has no encryption key in the config`);
  }
  const files: PayloadFile[] = [];
  for (const instance of draft.instances) {
    files.push(
      await payloadFile(parts.layout.instance(delivery.studyKey, instance.sopInstanceUid), instance),
    );
  }
  return sealToFolder(parts.layout, {
    id: delivery.id,
    dialect: peer.dialect ?? 'canon',
    createdAtMs: parts.clock.now(),
    sender: parts.site,
    receivers: [{ id: peer.id, name: peer.name, contact: peer.contact }],
    // In the sealed part, not in the manifest: it is nobody's business on the way which envelopes belong together.
    metadata: { ...draft.metadata, extensions: { drawbridge: extensionOf(delivery) } },
    files,
    recipientKey: peer.encryptionKey,
    signingKey: parts.signingKey,
    signal,
  });
}

function extensionOf({ priority, addendumTo }: Delivery): Readonly<Record<string, string>> {
  return {
    priority: priority ?? 'routine',
    ...(addendumTo === undefined ? {} : { addendum_to: addendumTo }),
  };
}

/** Where the peer is reached via a hub that shall see as little as possible. */
async function sealForHub(
  parts: OutboundParts,
  delivery: Delivery,
  round: number,
  signal: AbortSignal,
): Promise<Travelling | undefined> {
  const hub = parts.hubTo(delivery.peerId);
  if (hub === undefined) return undefined;
  return sealAround(parts.layout, delivery.id, round, {
    createdAtMs: parts.clock.now(),
    sender: parts.site,
    receivers: [{ id: hub.id, name: hub.id, contact: 'unknown' }],
    recipientKey: hub.encryptionKey,
    signingKey: parts.signingKey,
    signal,
  });
}

async function payloadFile(path: string, instance: Instance): Promise<PayloadFile> {
  const { meta, dataSetBytes } = await readInstanceMeta(path);
  if (dataSetBytes !== instance.dataSetBytes) throw corrupt();
  return {
    name: `dicom/${instance.sopInstanceUid}.dcm`,
    sizeBytes: meta.dataSetOffset + dataSetBytes,
    open: () => proved(path, meta.dataSetOffset, instance.sha256),
  };
}

/** The file's bytes; fails at the end if the data set is not the one that was acknowledged. */
async function* proved(path: string, dataSetOffset: number, sha256: string): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  let position = 0;
  for await (const chunk of readBytesFrom(path, 0)) {
    const skip = Math.max(0, dataSetOffset - position);
    if (skip < chunk.length) hash.update(skip === 0 ? chunk : chunk.subarray(skip));
    position += chunk.length;
    yield chunk;
  }
  if (hash.digest('hex') !== sha256) throw corrupt();
}

function corrupt(): GatewayError {
  return new GatewayError(
    'SPOOL_CORRUPT',
    'a stored instance no longer has the bytes that were acknowledged',
  );
}
