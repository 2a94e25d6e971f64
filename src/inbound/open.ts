/**
 * open: inbox → staging. Verifies signatures against the keys pinned for the sender, and that the envelope is of our
 * time, by a timestamp that they cover; only then decrypts, and proves every byte. It grows in scratch; of two runs side by
 * side one gives it its name, and what an earlier one has given it stays. Commit point: the record says `opened`.
 */
import type { EnvelopeId } from '../domain/envelope-id.js';
import { advanceReception, type Reception, type ReceptionEvent } from '../domain/reception.js';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import { attestationOf } from '../jmix/assertion.js';
import { type EnvelopeSource, openEnvelopeFolder } from '../jmix/envelope-folder.js';
import { announcementsOf } from '../jmix/extensions.js';
import { readManifest } from '../jmix/manifest.js';
import { type OpenedEnvelope, type OpenRequest, openEnvelope } from '../jmix/open.js';
import { stagedIn } from '../jmix/payload-staging.js';
import type { Trust } from '../jmix/signatures.js';
import { discardFolder, placeFolder } from '../spool/envelope-store.js';
import { inScratch } from '../spool/scratch.js';
import { enqueueNext, type InboundParts, isHalted, MAX_ENTRIES } from './parts.js';
import { assertNotRevoked, tellRevoked } from './revoked-key.js';
import { isOpenpgpMessage, openOpenpgp } from './unseal-openpgp.js';

/**
 * @throws what `openEnvelope` throws; KEY_REVOKED; PEER_BUSY (fact `retryAfterMs`) when the sender's published keys were
 *   read before the envelope came, and may not be asked for again yet; SPOOL_WRITE_FAILED
 */
export async function open(parts: InboundParts, id: EnvelopeId, signal: AbortSignal): Promise<void> {
  const reception = await parts.receptions.read(id);
  if (reception?.progress === 'received' && !isHalted(reception)) {
    // Opened on its way here by a run that died before it was in the record.
    await discardFolder(parts.layout, parts.layout.openedOf(id));
    await inScratch(parts.layout, 'open', async (folder) => {
      const opened = await openWithNewKeys(parts, folder.path, reception, signal);
      const isDue = (record: Reception | undefined) =>
        record?.progress === 'received' &&
        record.manifestSha256 === reception.manifestSha256 &&
        !isHalted(record);
      if (!isDue(await parts.receptions.read(id))) return;
      await placeFolder(folder, parts.layout.stagingOf(id));
      await parts.receptions.update(id, (record) =>
        isDue(record) ? advanceReception(record, openedEvent(parts, opened), parts.clock.now()) : record,
      );
      parts.log.info({ event: 'envelope.opened', reception: id, files: opened.files.length });
    });
  }
  await enqueueNext(parts, await parts.receptions.read(id));
}

/** What the record says of it. */
export function openedEvent(parts: InboundParts, opened: OpenedEnvelope): ReceptionEvent {
  const { signedBy = 'nobody', dialect } = opened;
  return { type: 'opened', signedBy, dialect, ...attestedBy(parts, opened) };
}

/** What a directory says of the signer; it adds to the pins, and stands in for none. */
function attestedBy(parts: InboundParts, { manifest, signedBy }: OpenedEnvelope): { attestedBy?: string } {
  const jws = attestationOf(manifest.sender.assertion);
  if (jws === undefined || signedBy === undefined) return {};
  const attestedBy = parts.attester(jws, manifest.sender.id, signedBy);
  return attestedBy === undefined ? {} : { attestedBy };
}

/** By a key that we do not know, it may still be good: it brings word of that key, or the sender publishes it. */
async function openWithNewKeys(
  parts: InboundParts,
  staging: string,
  reception: Reception,
  signal: AbortSignal,
): Promise<OpenedEnvelope> {
  const { id, senderId } = reception;
  const source = await openEnvelopeFolder(parts.layout.inboxEnvelope(id), { inSpool: true });
  const { extensions, sha256 } = readManifest(source.manifest);
  if (sha256 !== reception.manifestSha256) {
    throw new GatewayError('SPOOL_CORRUPT', 'the envelope in the inbox is not the one that was received');
  }
  await parts.keyNews.learn(senderId, announcementsOf(extensions));
  if (isOpenpgpMessage(source)) {
    return openOpenpgp(parts, reception, signal, (within, trust) =>
      openInto(parts, staging, within, trust, signal),
    );
  }
  try {
    return await openInto(parts, staging, source, trustIn(parts, senderId), signal);
  } catch (error) {
    // Signatures are judged before anything is staged, so staging is still empty.
    if (!isStranger(error)) throw error;
    assertNotRevoked(error, source, parts.keyNews.revokedBy(senderId));
    const answer = await parts.keyNews.ask(senderId, { sinceMs: dueSince(reception), signal });
    if (answer === 'nothing') throw error;
    try {
      return await openInto(parts, staging, source, trustIn(parts, senderId), signal);
    } catch (again) {
      if (!isStranger(again)) throw again;
      assertNotRevoked(again, source, parts.keyNews.revokedBy(senderId));
      throw answer === 'learned' ? again : askedTooEarly(again, senderId, answer.retryAfterMs);
    }
  }
}

function isStranger(error: unknown): error is GatewayError {
  return isGatewayError(error) && error.code === 'SIGNER_NOT_PINNED';
}

/** When it came, or an operator last wanted it opened: what the sender publishes after that decides. */
function dueSince({ steps, receivedAtMs }: Reception): number {
  return steps.findLast(({ event }) => event === 'retried')?.atMs ?? receivedAtMs;
}

/** They may have changed their keys since, so this envelope is not to be judged yet. */
function askedTooEarly(cause: GatewayError, senderId: string, retryAfterMs: number): GatewayError {
  return new GatewayError(
    'PEER_BUSY',
    `signed by a key of ${senderId} that is not known yet; the keys that they publish were read before it came, and are read again in ${Math.ceil(retryAfterMs / 60_000)} min`,
    { cause, facts: { retryAfterMs } },
  );
}

/** Into a staging folder that is empty; it is worthless when this throws. @param inspect sees the head of each instance */
export async function openInto(
  parts: InboundParts,
  staging: string,
  source: EnvelopeSource,
  trust: Trust,
  signal: AbortSignal,
  inspect?: OpenRequest['inspect'],
): Promise<OpenedEnvelope> {
  return openEnvelope({
    source,
    recipientKeys: parts.keys.decryption,
    trust,
    nowMs: parts.clock.now(),
    age: parts.age,
    limits: { maxEntries: MAX_ENTRIES, maxBytes: parts.maxEnvelopeBytes },
    signal,
    ...(inspect === undefined ? {} : { inspect }),
    ...stagedIn(staging),
  }).catch(async (error: unknown) => {
    throw await tellRevoked(error, source, parts.keys.revoked);
  });
}

/** A sender that is no peer has no pinned key, so nothing of it is accepted. */
export function trustIn(parts: InboundParts, senderId: string): Trust {
  const peer = parts.peers.get(senderId);
  const keys = peer?.signingKeys ?? [];
  return peer?.allowUnsigned === true ? { kind: 'allow-unsigned', keys } : { kind: 'pinned', keys };
}
