/**
 * seal: draft and instances → sealed envelope, in one pass from disk to disk; one for each delivery, or one for several
 * peers. Commit points: the rename to `sealed/<id>.JMIX`, then the record. What a run finds sealed under its id, it
 * takes as it is: it was never shipped, since the record knows nothing of it.
 */
import { readFile, rm } from 'node:fs/promises';
import {
  advanceDelivery,
  type Delivery,
  envelopeIdOf,
  ownEnvelopeId,
  type Sealed,
} from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Peer } from '../domain/peer.js';
import { GatewayError } from '../errors/gateway-error.js';
import { isErrno } from '../spool/atomic.js';
import { discardFolder, folderExists } from '../spool/envelope-store.js';
import { sealAround, type Travelling } from '../spool/sealed-envelope.js';
import { readSealedFolder } from '../spool/sealed-folder.js';
import { type Draft, writeDraft } from './pack.js';
import { dueDelivery, type OutboundParts } from './parts.js';
import { keepSealed, takeShare } from './seal-shared.js';
import { sealStudy } from './seal-study.js';

/** @throws SPOOL_CORRUPT, SPOOL_WRITE_FAILED, PEER_REFUSED or PEER_BUSY when the peer has no encryption key */
export async function seal(parts: OutboundParts, id: EnvelopeId, signal: AbortSignal): Promise<void> {
  const delivery = dueDelivery(await parts.deliveries.read(id), ['packed']);
  if (delivery !== undefined) {
    const sealed =
      (await sealAgainForHub(parts, delivery, signal)) ?? (await sealAnew(parts, delivery, signal));
    // Then the delivery that it waits for puts it to work.
    if (sealed === undefined) return;
    await parts.deliveries.update(id, (record) =>
      record.carriage === 'packed'
        ? advanceDelivery(record, { type: 'sealed', sealed }, parts.clock.now())
        : record,
    );
    const { envelopeId: envelope = id, sizeBytes } = sealed;
    parts.log.info({ event: 'envelope.sealed', delivery: id, envelope, bytes: sizeBytes });
  }
  await rm(parts.layout.draft(id), { force: true });
  await parts.enqueue('ship', id);
}

/** Undefined while another delivery seals for this one too. */
async function sealAnew(
  parts: OutboundParts,
  delivery: Delivery,
  signal: AbortSignal,
): Promise<Sealed | undefined> {
  const sealFor = async (id: EnvelopeId, peers: readonly Peer[]) => {
    const draft = (await readDraft(parts, delivery.id)) ?? (await writeDraft(parts, delivery, signal));
    await sealStudy(parts, id, peers, delivery, draft, signal);
  };
  const share = await takeShare(parts, delivery, sealFor);
  if (share === 'waits') return undefined;
  return share === 'alone' ? sealAlone(parts, delivery, sealFor, signal) : share.sealed;
}

async function sealAlone(
  parts: OutboundParts,
  delivery: Delivery,
  sealFor: (id: EnvelopeId, peers: readonly Peer[]) => Promise<void>,
  signal: AbortSignal,
): Promise<Sealed> {
  const peer = parts.peers.get(delivery.peerId);
  if (peer === undefined) {
    throw new GatewayError('PEER_REFUSED', `there is no peer ${delivery.peerId} in the config`);
  }
  const id = ownEnvelopeId(delivery);
  if (!(await folderExists(parts.layout.sealedEnvelope(id)))) await sealFor(id, [peer]);
  const envelope = await readSealedFolder(parts.layout, id);
  if (envelope === undefined) throw new GatewayError('SPOOL_CORRUPT', 'a sealed envelope has disappeared');
  const sealed = await keepSealed(parts, delivery, id, envelope);
  const outer = await sealForHub(parts, delivery.peerId, id, 0, signal);
  return outer === undefined ? sealed : { ...sealed, outer };
}

/** Another envelope around the same one, which the receiver may have already; undefined when that is not asked for. */
async function sealAgainForHub(
  parts: OutboundParts,
  delivery: Delivery,
  signal: AbortSignal,
): Promise<Sealed | undefined> {
  const before = delivery.sealed?.outer;
  if (delivery.sealed === undefined || before === undefined) return undefined;
  const inner = envelopeIdOf(delivery);
  if (!(await folderExists(parts.layout.sealedEnvelope(inner)))) return undefined;
  const round = (before.round ?? 0) + 1;
  const outer = await sealForHub(parts, delivery.peerId, inner, round, signal);
  await discardFolder(parts.layout, parts.layout.sealedEnvelope(before.id));
  const { outer: _, ...sealed } = delivery.sealed;
  return { ...sealed, ...(outer === undefined ? {} : { outer: { ...outer, round } }) };
}

async function readDraft(parts: OutboundParts, id: EnvelopeId): Promise<Draft | undefined> {
  try {
    return JSON.parse(await readFile(parts.layout.draft(id), 'utf8')) as Draft;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Where the peer is reached via a hub that shall see as little as possible. */
async function sealForHub(
  parts: OutboundParts,
  peerId: string,
  inner: EnvelopeId,
  round: number,
  signal: AbortSignal,
): Promise<Travelling | undefined> {
  const hub = parts.hubTo(peerId);
  if (hub === undefined) return undefined;
  return sealAround(parts.layout, inner, round, {
    createdAtMs: parts.clock.now(),
    sender: parts.site,
    recipients: [{ entity: { id: hub.id, name: hub.id, contact: 'unknown' }, key: hub.encryptionKey }],
    signingKey: parts.keys.signing.privateKey,
    signal,
  });
}
