/**
 * A sealed envelope at a hub, and what has become of it for each of its receivers. It holds all that a hub may know of
 * an envelope: from whom, for whom, when, how large. The record outlives the envelope, so that an id is taken once.
 */
import type { ErrorCode } from '../errors/codes.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { EnvelopeId } from './envelope-id.js';

export const BOX_STATES = ['waiting', 'taken', 'refused', 'expired'] as const;
export type BoxState = (typeof BOX_STATES)[number];

/** One receiver's part in it. Refused and expired are parked: nobody takes it any more before an operator acts. */
export interface Box {
  readonly state: BoxState;
  /** Since when it is in this state. */
  readonly atMs: number;
  /** Why the hub itself refused what was for the hub. */
  readonly code?: ErrorCode;
  /** The bridge of the receiver that takes it, so that a second one of the same site leaves it alone. */
  readonly claim?: { readonly by: string; readonly atMs: number };
}

/** A bridge that took nothing for so long is given up; another one of its site may take over. */
export const CLAIM_MS = 24 * 3_600_000;

/** Why an envelope is not held any more. `done`: every receiver has it; `lost`: it was gone from the disk. */
export type Removal = 'done' | 'expired' | 'discarded' | 'lost';

export interface Parcel {
  readonly id: EnvelopeId;
  readonly revision: number;
  readonly senderId: string;
  readonly manifestSha256: string;
  /** Size of the archive, as receivers get it. */
  readonly archiveBytes: number;
  readonly receivedAtMs: number;
  /** By receiver id. */
  readonly boxes: Readonly<Record<string, Box>>;
  /** Present when the envelope is not held any more. */
  readonly removed?: { readonly why: Removal; readonly atMs: number };
}

export type ParcelEvent =
  /** A bridge begins to take it, or goes on. */
  | { readonly type: 'claimed'; readonly receiverId: string; readonly by: string }
  | { readonly type: 'taken'; readonly receiverId: string }
  | { readonly type: 'refused'; readonly receiverId: string; readonly code?: ErrorCode }
  | { readonly type: 'expired'; readonly receiverId: string }
  /** An operator lets whoever has not taken it try again. */
  | { readonly type: 'retried' }
  | { readonly type: 'removed'; readonly why: Removal }
  /** The sender has brought it again, after it was removed before everybody had it. */
  | { readonly type: 'restored'; readonly archiveBytes: number };

/** What may become of a box; an empty cell is a broken invariant. Whoever began to take it in time may still end it. */
const LEGAL: Readonly<Record<BoxState, readonly BoxState[]>> = {
  waiting: ['taken', 'refused', 'expired'],
  expired: ['taken', 'refused'],
  refused: [],
  taken: [],
};

/**
 * The record after an event. Pure.
 * @throws FAULT when the event cannot happen in this state
 */
export function advanceParcel(parcel: Parcel, event: ParcelEvent, atMs: number): Parcel {
  const impossible = (state: string) =>
    new GatewayError('FAULT', `parcel is ${state}: ${event.type} is impossible`, {
      facts: { parcelId: parcel.id },
    });
  if (event.type === 'restored') {
    if (!isWanted(parcel)) throw impossible('held or done');
    const { removed: _, ...held } = parcel;
    return { ...held, archiveBytes: event.archiveBytes, boxes: waitingAgain(parcel, atMs) };
  }
  if (parcel.removed !== undefined) throw impossible(`removed (${parcel.removed.why})`);
  switch (event.type) {
    case 'removed':
      if (event.why === 'done' && !isTakenByAll(parcel)) throw impossible('not taken by all');
      if (event.why === 'expired' && isWaiting(parcel)) throw impossible('waiting');
      return { ...parcel, removed: { why: event.why, atMs } };
    case 'retried':
      if (!Object.values(parcel.boxes).some(isParked)) throw impossible('not parked');
      return { ...parcel, boxes: waitingAgain(parcel, atMs) };
    case 'claimed': {
      const box = boxOf(parcel, event.receiverId);
      if (box === undefined || !isFreeFor(box, event.by, atMs)) throw impossible(box?.state ?? 'for others');
      const claimed: Box = { ...box, claim: { by: event.by, atMs } };
      return { ...parcel, boxes: { ...parcel.boxes, [event.receiverId]: claimed } };
    }
    default: {
      const box = boxOf(parcel, event.receiverId);
      if (box === undefined || !LEGAL[box.state].includes(event.type))
        throw impossible(box?.state ?? 'for others');
      const code = event.type === 'refused' ? event.code : undefined;
      const next: Box = { state: event.type, atMs, ...(code === undefined ? {} : { code }) };
      return { ...parcel, boxes: { ...parcel.boxes, [event.receiverId]: next } };
    }
  }
}

/** Everybody who has not taken it may do so; a box that waits already keeps its time. */
function waitingAgain(parcel: Parcel, atMs: number): Parcel['boxes'] {
  const boxes = Object.entries(parcel.boxes).map(([receiverId, box]): [string, Box] => {
    const stays = box.state === 'taken' || (box.state === 'waiting' && parcel.removed === undefined);
    return [receiverId, stays ? box : { state: 'waiting', atMs }];
  });
  return Object.fromEntries(boxes);
}

/** The one word that an operator sees. */
export type ParcelState = 'waiting' | 'parked' | Removal;

export function parcelState(parcel: Parcel): ParcelState {
  if (parcel.removed !== undefined) return parcel.removed.why;
  if (isWaiting(parcel)) return 'waiting';
  return isTakenByAll(parcel) ? 'done' : 'parked';
}

/** What it is for one receiver; undefined when it is not for that one. */
export function boxOf({ boxes }: Parcel, receiverId: string): Box | undefined {
  return Object.hasOwn(boxes, receiverId) ? boxes[receiverId] : undefined;
}

/** Whether a bridge may take what waits in the box: nobody else does. */
export function isFreeFor({ state, claim }: Box, by: string, nowMs: number): boolean {
  return state === 'waiting' && (claim === undefined || claim.by === by || nowMs - claim.atMs >= CLAIM_MS);
}

export function isParked({ state }: Box): boolean {
  return state === 'refused' || state === 'expired';
}

export function isWaiting(parcel: Parcel): boolean {
  return Object.values(parcel.boxes).some(({ state }) => state === 'waiting');
}

export function isTakenByAll(parcel: Parcel): boolean {
  return Object.values(parcel.boxes).every(({ state }) => state === 'taken');
}

/** Whether it was removed before everybody had it, so that its sender may bring it again. */
export function isWanted(parcel: Parcel): boolean {
  return parcel.removed !== undefined && !isTakenByAll(parcel);
}

/** Whether it takes up room in the inbox of this receiver. */
export function occupies(parcel: Parcel, receiverId: string): boolean {
  const box = boxOf(parcel, receiverId);
  return parcel.removed === undefined && box !== undefined && box.state !== 'taken';
}
