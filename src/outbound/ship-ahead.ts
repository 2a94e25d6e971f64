/**
 * Envelopes that were sealed ahead, on their way while their studies are still quiet: all but the end of the archive
 * leaves, so that the far side can look at what it may not keep yet. The end follows when the study is complete and the
 * delivery has its record; from there on it is `ship`, and what breaks is left to that step. What is not wanted after all
 * ends with its connection: without its end, nobody acknowledges, shows or delivers it. Only to peers that we call
 * ourselves, at any time and at any speed, and for which nothing else waits.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Delivery } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { sha256Hex } from '../jmix/digest.js';
import { envelopeArchiveSize } from '../jmix/envelope-archive.js';
import { MANIFEST_FILE } from '../jmix/envelope-names.js';
import type { Outbox, OutgoingEnvelope } from '../transport/transport.js';
import type { OutboundParts } from './parts.js';
import { noteAcknowledged, noteSent } from './ship.js';
import { isExpiring, isForRevokedKey } from './withdraw.js';

export interface ShippedAhead {
  /**
   * Sends an envelope ahead, in the background, if that may be.
   * @param id of the delivery that there would be
   * @param envelope where it lies; the folder may get another name later, but is not changed
   */
  begin(id: EnvelopeId, peerId: string, envelope: Omit<OutgoingEnvelope, 'manifestSha256'>): void;
  /**
   * The delivery has its record: the end of its envelope follows, and all that `ship` does then, in the background.
   * @returns false where nothing of it is on its way: then it has to be shipped like any other
   */
  finish(delivery: Delivery): boolean;
  /** It is not wanted after all; harmless where nothing was begun. */
  abandon(id: EnvelopeId): void;
  /** Whether its step `ship` is being done here. */
  isUnderWay(id: EnvelopeId): boolean;
  /** Breaks off what is on its way; what has a record is put on its queue. */
  close(): Promise<void>;
}

export interface ShippedAheadOptions {
  /** Whether something is on its way to this peer, or waits to be. */
  isAwaited(peerId: string): boolean;
  /** Default: 100 s. */
  readonly longestHoldMs?: number;
}

/** An end is not held back for longer than this: soon the far side would take the connection for dead. */
const LONGEST_HOLD_MS = 100_000;
/** A larger one that breaks should go on where it broke. */
const MAX_BYTES = 2 * 1024 ** 3;
/** On their way at a time. */
const MAX_AHEAD = 4;

interface UnderWay {
  readonly outbox: Outbox;
  readonly abort: AbortController;
  /** Lets the end follow. */
  release(): void;
  /** With the archive's size when the far side has it all; undefined when it has not. */
  readonly done: Promise<number | undefined>;
}

export function createShippedAhead(
  parts: OutboundParts,
  { isAwaited, longestHoldMs = LONGEST_HOLD_MS }: ShippedAheadOptions,
): ShippedAhead {
  const underWay = new Map<EnvelopeId, UnderWay>();
  const finishing = new Map<EnvelopeId, Promise<void>>();
  let isClosed = false;

  const mayBegin = (peerId: string): boolean => {
    const peer = parts.peers.get(peerId);
    if (isClosed || peer?.url === undefined || peer.via !== undefined || underWay.size >= MAX_AHEAD)
      return false;
    if (peer.limits.windows.length > 0 || peer.limits.bytesPerSecond !== undefined) return false;
    return parts.hubTo(peerId) === undefined && !isAwaited(peerId);
  };

  /** Undefined where nothing leads to the peer, or nothing that can hold an end back. */
  const outboxTo = (peerId: string): Outbox | undefined => {
    try {
      const outbox = parts.lines.outboxTo(peerId);
      return outbox.putHeld === undefined ? undefined : outbox;
    } catch {
      return undefined;
    }
  };

  const send = async (
    id: EnvelopeId,
    envelope: Omit<OutgoingEnvelope, 'manifestSha256'>,
    outbox: Outbox,
    signal: AbortSignal,
    release: Promise<void>,
  ): Promise<number | undefined> => {
    const { folder } = envelope;
    try {
      const sizeBytes = await envelopeArchiveSize(folder);
      if (sizeBytes >= MAX_BYTES) return undefined;
      const manifestSha256 = sha256Hex(await readFile(join(folder, MANIFEST_FILE)));
      const onSent = () => noteSent(parts, id);
      await outbox.putHeld?.({ ...envelope, manifestSha256 }, { signal, onSent }, release);
      return sizeBytes;
    } catch (error) {
      parts.log.debug({ event: 'envelope.not_shipped_ahead', delivery: id, reason: String(error) });
      return undefined;
    }
  };

  const finish = async (delivery: Delivery, { done }: UnderWay): Promise<void> => {
    const { id } = delivery;
    try {
      const sizeBytes = await done;
      if (sizeBytes === undefined) {
        await parts.enqueue('ship', id);
        return;
      }
      await parts.deliveries.update(id, (record) => ({ ...record, sentBytes: sizeBytes }));
      parts.log.info({ event: 'envelope.bytes_sent', delivery: id, resumed: 0, bytes: sizeBytes });
      await noteAcknowledged(parts, delivery);
      await parts.enqueue('receipt', id);
    } catch (error) {
      // Of the disk, or of Redis. The record knows how far it came: the job is derived from it again.
      parts.log.warn({ event: 'delivery.postponed', delivery: id, reason: String(error) });
    }
  };

  return {
    begin(id, peerId, envelope) {
      if (underWay.has(id) || !mayBegin(peerId)) return;
      const outbox = outboxTo(peerId);
      if (outbox === undefined) return;
      const abort = new AbortController();
      const patience = setTimeout(() => abort.abort(), longestHoldMs);
      let release = (): void => undefined;
      const released = new Promise<void>((resolve) => {
        release = () => {
          clearTimeout(patience);
          resolve();
        };
      });
      const done = send(id, envelope, outbox, abort.signal, released).finally(() => {
        clearTimeout(patience);
        if (!finishing.has(id)) underWay.delete(id);
      });
      underWay.set(id, { outbox, abort, release, done });
      parts.log.debug({ event: 'envelope.shipping_ahead', delivery: id, peer: peerId });
    },
    finish(delivery) {
      const { id, peerId, carriage } = delivery;
      const found = underWay.get(id);
      if (found === undefined) return false;
      const isRight =
        carriage === 'sealed' && !isExpiring(parts, delivery) && !isForRevokedKey(parts, delivery);
      // The peer may have moved, or got another certificate.
      if (!isRight || isClosed || outboxTo(peerId) !== found.outbox) {
        found.abort.abort();
        return false;
      }
      const work = finish(delivery, found).finally(() => {
        finishing.delete(id);
        underWay.delete(id);
      });
      finishing.set(id, work);
      found.release();
      return true;
    },
    abandon: (id) => underWay.get(id)?.abort.abort(),
    isUnderWay: (id) => finishing.has(id),
    async close() {
      isClosed = true;
      for (const { abort } of underWay.values()) abort.abort();
      await Promise.all([...underWay.values()].map(({ done }) => done));
      await Promise.all(finishing.values());
    },
  };
}
