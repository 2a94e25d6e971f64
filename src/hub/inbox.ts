/**
 * The inboxes of the members: what waits for one, and nothing of what waits for another. Whoever asks in vain may
 * stay on the line for a while, and hears at once when something is deposited.
 */
import type { Readable } from 'node:stream';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { advanceParcel, type Box, boxOf, isFreeFor, isTakenByAll, type Parcel } from '../domain/parcel.js';
import { GatewayError } from '../errors/gateway-error.js';
import { openEnvelopeArchive } from '../jmix/envelope-archive.js';
import { isErrno } from '../spool/atomic.js';
import { discardFolder } from '../spool/envelope-store.js';
import type { HubParts } from './parts.js';

/** Requests of one member that may be on the line at a time: its processes, and what is left of broken ones. */
const MAX_WAITERS = 16;
/** What an answer lists at most; the rest comes when these are taken. */
const MAX_LISTED = 1_000;
/** Far below the time after which a claim is given up. */
const RENEW_CLAIM_MS = 3_600_000;

export interface Waiting {
  readonly id: EnvelopeId;
  readonly sizeBytes: number;
}

/** Who asks: a member, and which of its bridges. */
export interface Caller {
  readonly memberId: string;
  /** Tells the bridges of one member apart; the empty string for those that do not say. */
  readonly bridgeId: string;
}

export interface HubInbox {
  /**
   * What this bridge may take, oldest first.
   * @param waitMs answers after this long at the latest, when nothing is there
   * @throws PEER_BUSY when too many requests of this member wait already
   */
  list(caller: Caller, waitMs: number, signal: AbortSignal): Promise<readonly Waiting[]>;
  /**
   * Claims an envelope for this bridge, and gives its archive from byte `offset` on.
   * @throws ENVELOPE_NOT_FOUND when it does not wait for this member, ENVELOPE_CLAIMED by another bridge of it
   */
  open(caller: Caller, id: EnvelopeId, offset: number): Promise<{ sizeBytes: number; stream: Readable }>;
  /** What does not wait for this member, or is claimed by another bridge of it, is no error, and stays as it is. */
  acknowledge(caller: Caller, id: EnvelopeId, outcome: 'taken' | 'refused'): Promise<void>;
  /** Something has come for these members. */
  wake(receiverIds: readonly string[]): void;
  /** Lets everybody go who waits; nobody waits any more from now on. */
  close(): void;
}

/** @param freed called when there is room again for a receiver */
export function createInbox(parts: HubParts, freed: (receiverId: string) => void): HubInbox {
  const waiters = new Map<string, Set<() => void>>();
  let closed = false;

  const waitingFor = ({ memberId, bridgeId }: Caller): readonly Waiting[] =>
    parts.parcels
      .held()
      .filter((parcel) => {
        const box = boxOf(parcel, memberId);
        return box !== undefined && isFreeFor(box, bridgeId, parts.clock.now());
      })
      .slice(0, MAX_LISTED)
      .map(({ id, archiveBytes }) => ({ id, sizeBytes: archiveBytes }));

  const news = (memberId: string, waitMs: number, signal: AbortSignal): Promise<void> => {
    const others = waiters.get(memberId) ?? new Set();
    if (others.size >= MAX_WAITERS) {
      throw new GatewayError('PEER_BUSY', `${MAX_WAITERS} requests of ${memberId} wait already`);
    }
    waiters.set(memberId, others);
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        others.delete(done);
        if (others.size === 0 && waiters.get(memberId) === others) waiters.delete(memberId);
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      signal.addEventListener('abort', done, { once: true });
      others.add(done);
    });
  };

  return {
    async list(caller, waitMs, signal) {
      const found = waitingFor(caller);
      if (found.length > 0 || waitMs <= 0 || closed || signal.aborted) return found;
      await news(caller.memberId, waitMs, signal);
      return waitingFor(caller);
    },
    async open(caller, id, offset) {
      await claim(parts, caller, id);
      try {
        return await openEnvelopeArchive(parts.layout.heldEnvelope(id), offset);
      } catch (error) {
        // Acknowledged by another request of this member meanwhile, or lost.
        throw isErrno(error, 'ENOENT') ? notWaiting() : error;
      }
    },
    async acknowledge(caller, id, outcome) {
      const { memberId } = caller;
      const known = await parts.parcels.read(id);
      if (known === undefined || !mayEnd(known, caller)) return;
      const parcel = await parts.parcels.update(id, (record) =>
        mayEnd(record, caller)
          ? advanceParcel(record, { type: outcome, receiverId: memberId }, parts.clock.now())
          : record,
      );
      parts.log.info({ event: `parcel.${outcome}`, parcel: id, to: memberId });
      await removeWhenDone(parts, parcel);
      if (outcome === 'taken') freed(memberId);
    },
    wake(receiverIds) {
      for (const receiverId of receiverIds) for (const go of [...(waiters.get(receiverId) ?? [])]) go();
    },
    close() {
      closed = true;
      for (const all of [...waiters.values()]) for (const go of [...all]) go();
    },
  };
}

/** Forgets an envelope that every receiver has. The record says so first: a crash in between is made up for at start. */
export async function removeWhenDone(parts: HubParts, parcel: Parcel): Promise<void> {
  if (parcel.removed !== undefined || !isTakenByAll(parcel)) return;
  await parts.parcels.update(parcel.id, (record) =>
    record.removed === undefined && isTakenByAll(record)
      ? advanceParcel(record, { type: 'removed', why: 'done' }, parts.clock.now())
      : record,
  );
  await discardFolder(parts.layout, parts.layout.heldEnvelope(parcel.id));
}

function notWaiting(): GatewayError {
  return new GatewayError('ENVELOPE_NOT_FOUND', 'no envelope with this id waits for you');
}

/**
 * Written before the first byte is given, so that two bridges that ask at once do not both get it. Long downloads
 * renew it, but not with every piece.
 */
async function claim(parts: HubParts, { memberId, bridgeId: by }: Caller, id: EnvelopeId): Promise<void> {
  const atMs = parts.clock.now();
  const known = await parts.parcels.read(id);
  if (known === undefined || !isWaitingFor(known, memberId)) throw notWaiting();
  const box = boxOf(known, memberId);
  // Who does not say which bridge it is claims nothing, and takes nothing that is claimed.
  if (by === '' && box?.claim === undefined) return;
  const parcel = await parts.parcels.update(id, (record) => {
    const current = isWaitingFor(record, memberId) ? boxOf(record, memberId) : undefined;
    if (current === undefined || !isFreeFor(current, by, atMs) || isFreshlyClaimed(current, by, atMs))
      return record;
    return advanceParcel(record, { type: 'claimed', receiverId: memberId, by }, atMs);
  });
  if (!isWaitingFor(parcel, memberId)) throw notWaiting();
  if (boxOf(parcel, memberId)?.claim?.by !== by)
    throw new GatewayError('ENVELOPE_CLAIMED', 'another bridge of your site takes it');
}

function isFreshlyClaimed({ claim: known }: Box, by: string, atMs: number): boolean {
  return known?.by === by && atMs - known.atMs < RENEW_CLAIM_MS;
}

function isWaitingFor(parcel: Parcel, memberId: string): boolean {
  return parcel.removed === undefined && boxOf(parcel, memberId)?.state === 'waiting';
}

function mayEnd(parcel: Parcel, { memberId, bridgeId }: Caller): boolean {
  const box = boxOf(parcel, memberId);
  if (parcel.removed !== undefined || (box?.state !== 'waiting' && box?.state !== 'expired')) return false;
  return box.claim === undefined || box.claim.by === bridgeId;
}
