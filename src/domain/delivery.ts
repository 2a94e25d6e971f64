/**
 * One envelope on its way to one peer, seen from the sending side. Several deliveries may share an envelope, which is
 * sealed once for all their peers; each has its own retries, its own receipt and its own end.
 *
 * Two axes that fail independently: `carriage` (how far the envelope has come) and `receipt` (what the far side has
 * proved). `parked` lies over both: nothing moves until an operator retries. The words shown to users:
 * accepted (durable here) → sent → acknowledged (durable there) → verified (in their PACS, receipt checked).
 */
import { GatewayError } from '../errors/gateway-error.js';
import type { EnvelopeId } from './envelope-id.js';
import type { Classification, Extensions } from './extensions.js';
import type { LastError, Parking } from './parking.js';
import type { Priority } from './priority.js';
import type { Uid } from './uid.js';

export const CARRIAGES = ['accepted', 'packed', 'sealed', 'sent', 'acknowledged'] as const;
export type Carriage = (typeof CARRIAGES)[number];

/** `waived`: the peer's software sends none; one that comes after all still counts. */
export const RECEIPT_STATES = ['awaited', 'verified', 'refused', 'waived'] as const;
export type ReceiptState = (typeof RECEIPT_STATES)[number];

/** What happened, with its time: the delivery's own story, kept for ever in the record. */
export interface DeliveryStep {
  readonly event: DeliveryEvent['type'];
  readonly atMs: number;
}

export interface Delivery {
  readonly id: EnvelopeId;
  /** Rises by one with each write of the record. */
  readonly revision: number;
  readonly peerId: string;
  readonly studyKey: string;
  readonly studyInstanceUid: Uid;
  readonly freezeNumber: number;
  /** Absent for a study; a test envelope after a pairing holds none. */
  readonly purpose?: 'pairing-test';
  /** Absent when its envelope is for this peer alone. */
  readonly shared?: SharedEnvelope;
  readonly addendumTo?: EnvelopeId;
  /** Absent in records of a bridge that knew no priorities: routine. */
  readonly priority?: Priority;
  /** The refused delivery that this one was made to replace. */
  readonly replaces?: EnvelopeId;
  /** The delivery that an operator's retry made of this refused one. */
  readonly replacedBy?: EnvelopeId;
  /** What the manifest says; `confidential` and nothing when absent. */
  readonly classification?: Classification;
  readonly extensions?: Extensions;
  readonly modalities: readonly string[];
  readonly instanceCount: number;
  /** Files that are no instances; 0 when absent. */
  readonly attachmentCount?: number;
  /** Sum of the data sets, in bytes. */
  readonly dataSetBytes: number;
  readonly createdAtMs: number;
  readonly carriage: Carriage;
  readonly receipt: ReceiptState;
  readonly parked?: Parking;
  readonly lastError?: LastError;
  readonly refusal?: { readonly code: string; readonly message: string };
  /** What the receipt says of the way there; absent when it says nothing of it. `broken`: somebody changed the trail. */
  readonly custody?: 'whole' | 'broken';
  readonly sealed?: Sealed;
  /** The id that it is sealed under, instead of its own, when an envelope was withdrawn before it was there. */
  readonly resealAs?: EnvelopeId;
  /** Envelopes that were withdrawn; a receipt for one of them counts, should it have arrived after all. */
  readonly formerEnvelopes?: readonly Sent[];
  /** Bytes of the archive that the far side is known to have. */
  readonly sentBytes?: number;
  readonly steps: readonly DeliveryStep[];
}

/** An envelope that was planned for several peers, and the delivery to each of them. */
export interface SharedEnvelope {
  readonly id: EnvelopeId;
  readonly members: readonly { readonly peerId: string; readonly deliveryId: EnvelopeId }[];
}

/** An envelope as the far side knows it. */
export interface Sent {
  readonly id: EnvelopeId;
  readonly manifestSha256: string;
}

export interface Sealed {
  /** The envelope's id, where it is not the delivery's. */
  readonly envelopeId?: EnvelopeId;
  /** Of the payload. */
  readonly sizeBytes: number;
  readonly manifestSha256: string;
  /** Thumbprint (RFC 7638) of the peer's key that it is sealed to; absent in older records, and for OpenPGP. */
  readonly sealedTo?: string;
  /** When its signed assertion expires; never when absent. */
  readonly expiresAtMs?: number;
  /** The envelope for the hub that this one travels in; `round` counts those before it, 0 when absent. */
  readonly outer?: { readonly id: EnvelopeId; readonly manifestSha256: string; readonly round?: number };
}

export type DeliveryEvent =
  | { readonly type: 'packed' }
  | { readonly type: 'sealed'; readonly sealed: Sealed }
  /** Its envelope must not go any more, or cannot; as far as we know it is not there. It gets another, under this id. */
  | { readonly type: 'withdrawn'; readonly resealAs: EnvelopeId }
  | { readonly type: 'sent' }
  | { readonly type: 'acknowledged' }
  | { readonly type: 'verified' }
  | { readonly type: 'waived' }
  | { readonly type: 'refused'; readonly code: string; readonly message: string }
  | { readonly type: 'failed'; readonly error: LastError }
  | { readonly type: 'parked'; readonly parking: Parking }
  | { readonly type: 'retried' };

/** Where the carriage goes for an event; an empty cell is a broken invariant. */
const NEXT_CARRIAGE: Record<Carriage, Partial<Record<DeliveryEvent['type'], Carriage>>> = {
  // The delivery to another peer may have sealed for this one too.
  accepted: { packed: 'packed', sealed: 'sealed' },
  packed: { packed: 'packed', sealed: 'sealed' },
  sealed: { sent: 'sent', acknowledged: 'acknowledged', withdrawn: 'packed' },
  // A put that broke after its last byte is repeated after a probe, hence sent → sent.
  sent: { sent: 'sent', acknowledged: 'acknowledged', withdrawn: 'packed' },
  acknowledged: {},
};

/**
 * The record after an event. Pure.
 * @throws FAULT when the event cannot happen in this state
 */
export function advanceDelivery(delivery: Delivery, event: DeliveryEvent, atMs: number): Delivery {
  const steps = [...delivery.steps, { event: event.type, atMs }];
  const { parked: _parked, lastError: _lastError, ...free } = delivery;
  switch (event.type) {
    case 'failed':
      return { ...delivery, lastError: event.error };
    case 'parked':
      return { ...free, parked: event.parking, steps };
    case 'retried':
      if (delivery.parked === undefined && !isUnanswered(delivery)) throw impossible(delivery, event);
      // It may have been lost where it lay: ship asks, and sends it again if it is not there. Of what lay within another
      // envelope a hub says nothing, and it takes that other one once: then seal makes a new one around it.
      if (!isUnanswered(delivery)) return { ...free, steps };
      return { ...free, carriage: delivery.sealed?.outer === undefined ? 'sent' : 'packed', steps };
    case 'verified':
      assertReceiptDue(delivery, event);
      return { ...free, receipt: 'verified', carriage: 'acknowledged', steps };
    case 'waived':
      if (!isUnanswered(delivery)) throw impossible(delivery, event);
      return { ...free, receipt: 'waived', steps };
    case 'refused':
      assertReceiptDue(delivery, event);
      if (delivery.receipt === 'verified') throw impossible(delivery, event);
      return {
        ...free,
        receipt: 'refused',
        carriage: 'acknowledged',
        refusal: { code: event.code, message: event.message },
        steps,
      };
    default: {
      const carriage = NEXT_CARRIAGE[delivery.carriage][event.type];
      if (carriage === undefined) throw impossible(delivery, event);
      if (event.type === 'withdrawn')
        return { ...withoutEnvelope(free), carriage, resealAs: event.resealAs, steps };
      const sealed = event.type === 'sealed' ? { sealed: event.sealed } : {};
      return { ...free, ...sealed, carriage, steps };
    }
  }
}

function withoutEnvelope(delivery: Delivery): Delivery {
  const { sealed: _sealed, sentBytes: _sentBytes, ...rest } = delivery;
  return { ...rest, formerEnvelopes: envelopesOf(delivery) };
}

/** The id of its envelope on the wire and at the far side; until it is sealed, the one it would have alone. */
export function envelopeIdOf(delivery: Delivery): EnvelopeId {
  return delivery.sealed?.envelopeId ?? ownEnvelopeId(delivery);
}

/** The id of an envelope that is for its peer alone. */
export function ownEnvelopeId({ id, resealAs }: Delivery): EnvelopeId {
  return resealAs ?? id;
}

/** All envelopes that a receipt may be for, the present one last. */
export function envelopesOf(delivery: Delivery): readonly Sent[] {
  const { formerEnvelopes = [], sealed } = delivery;
  if (sealed === undefined) return formerEnvelopes;
  return [...formerEnvelopes, { id: envelopeIdOf(delivery), manifestSha256: sealed.manifestSha256 }];
}

/** Nothing more is to come. */
export function isEnded({ receipt }: Delivery): boolean {
  return receipt === 'verified' || receipt === 'waived';
}

/** The far side had it, and its receipt has not come. */
function isUnanswered({ carriage, receipt }: Delivery): boolean {
  return carriage === 'acknowledged' && receipt === 'awaited';
}

/** A receipt may overtake the answer to our own put, so `sealed` is not too early for one; before that, it is. */
function assertReceiptDue(delivery: Delivery, event: DeliveryEvent): void {
  if (envelopesOf(delivery).length === 0) throw impossible(delivery, event);
}

function impossible(delivery: Delivery, event: DeliveryEvent): GatewayError {
  return new GatewayError(
    'FAULT',
    `delivery is ${delivery.carriage}, receipt ${delivery.receipt}: ${event.type} is impossible`,
    { facts: { deliveryId: delivery.id } },
  );
}

/** The one word that a user sees. */
export type DeliveryState =
  | 'accepted'
  | 'sent'
  | 'acknowledged'
  | 'handed-over'
  | 'verified'
  | 'refused'
  | 'parked';

export function deliveryState(delivery: Delivery): DeliveryState {
  if (delivery.receipt === 'verified') return 'verified';
  if (delivery.receipt === 'waived') return 'handed-over';
  if (delivery.parked !== undefined) return 'parked';
  if (delivery.receipt === 'refused') return 'refused';
  if (delivery.carriage === 'acknowledged' || delivery.carriage === 'sent') return delivery.carriage;
  return 'accepted';
}

/** The step that takes a delivery further, or undefined when nothing is left to do without an operator. */
export function nextDeliveryStage(delivery: Delivery): 'pack' | 'seal' | 'ship' | 'receipt' | undefined {
  if (delivery.parked !== undefined || delivery.receipt !== 'awaited') return undefined;
  const stages = {
    accepted: 'pack',
    packed: 'seal',
    sealed: 'ship',
    sent: 'ship',
    acknowledged: 'receipt',
  } as const;
  return stages[delivery.carriage];
}
