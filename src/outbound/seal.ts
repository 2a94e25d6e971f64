/**
 * seal: draft and instances → sealed envelope, in one pass from disk to disk. Each instance is proved, while it passes,
 * to have the very bytes that were acknowledged to the modality. Commit point: the rename to `sealed/<id>.JMIX`. Never
 * resumed: a second run draws a new key and IV.
 */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { advanceDelivery, type Delivery } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Instance } from '../domain/instance.js';
import { GatewayError } from '../errors/gateway-error.js';
import { sha256Hex } from '../jmix/digest.js';
import { AUDIT_FILE, MANIFEST_FILE, MANIFEST_JWS, SEALED_PAYLOAD } from '../jmix/envelope-names.js';
import { type PayloadFile, type SealedEnvelope, sealEnvelope } from '../jmix/seal.js';
import { classifyDiskError, isErrno } from '../spool/atomic.js';
import { openScratchFolder, promoteFolder } from '../spool/envelope-store.js';
import { readBytesFrom, readInstanceMeta } from '../spool/instance-file.js';
import { type Draft, writeDraft } from './pack.js';
import { dueDelivery, type OutboundParts } from './parts.js';

/** @throws SPOOL_CORRUPT, SPOOL_WRITE_FAILED, PEER_REFUSED when the peer has no encryption key */
export async function seal(parts: OutboundParts, id: EnvelopeId, signal: AbortSignal): Promise<void> {
  const delivery = dueDelivery(await parts.deliveries.read(id), ['packed']);
  if (delivery !== undefined) {
    const draft = (await readDraft(parts, id)) ?? (await writeDraft(parts, delivery, signal));
    const folder = await openScratchFolder(parts.layout, 'seal');
    try {
      const sealed = await sealInto(parts, folder, delivery, draft, signal);
      await promoteFolder(parts.layout, folder, parts.layout.sealedEnvelope(id));
      await parts.deliveries.update(id, (record) =>
        advanceDelivery(
          record,
          { type: 'sealed', sizeBytes: sealed.payloadSizeBytes, manifestSha256: sha256Hex(sealed.manifest) },
          parts.clock.now(),
        ),
      );
      parts.log.info({ event: 'envelope.sealed', delivery: id, bytes: sealed.payloadSizeBytes });
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw isErrno(error, 'ENOSPC', 'EDQUOT', 'EIO', 'EROFS') ? classifyDiskError(error) : error;
    }
    await rm(parts.layout.draft(id), { force: true });
  }
  await parts.enqueue('ship', id);
}

async function readDraft(parts: OutboundParts, id: EnvelopeId): Promise<Draft | undefined> {
  try {
    return JSON.parse(await readFile(parts.layout.draft(id), 'utf8')) as Draft;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function sealInto(
  parts: OutboundParts,
  folder: string,
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
  const sealed = await sealEnvelope({
    id: delivery.id,
    createdAtMs: parts.clock.now(),
    sender: parts.site,
    receivers: [{ id: peer.id, name: peer.name, contact: peer.contact }],
    ...(delivery.addendumTo === undefined
      ? {}
      : { extensions: { drawbridge: { addendum_to: delivery.addendumTo } } }),
    metadata: draft.metadata,
    files,
    recipientKey: peer.encryptionKey,
    signingKey: parts.signingKey,
    payloadSink: createWriteStream(join(folder, SEALED_PAYLOAD), {
      flags: 'wx',
      mode: 0o600,
      highWaterMark: 1 << 20,
    }),
    signal,
  });
  await writeFile(join(folder, MANIFEST_FILE), sealed.manifest, { mode: 0o600 });
  await writeFile(join(folder, MANIFEST_JWS), sealed.jws, { mode: 0o600 });
  await writeFile(join(folder, AUDIT_FILE), sealed.audit, { mode: 0o600 });
  return sealed;
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
