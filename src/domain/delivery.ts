/**
 * One envelope on its way to one peer, seen from the sending side.
 *
 * Two axes that fail independently: `carriage` (how far the envelope has come) and `receipt` (what the far side has
 * proved). `parked` lies over both: nothing moves until an operator retries. The words shown to users:
 * accepted (durable here) → sent → acknowledged (durable there) → verified (in their PACS, receipt checked).
 */
import { GatewayError } from '../errors/gateway-error.js';
import type { EnvelopeId } from './envelope-id.js';
import type { LastError, Parking } from './parking.js';
import type { Priority } from './priority.js';
import type { Uid } from './uid.js';

export const CARRIAGES = ['accepted', 'packed', 'sealed', 'sent', 'acknowledged'] as const;
export type Carriage = (typeof CARRIAGES)[number];

export const RECEIPT_STATES = ['awaited', 'verified', 'refused'] as const;
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
  readonly addendumTo?: EnvelopeId;
  /** Absent in records of a bridge that knew no priorities: routine. */
  readonly priority?: Priority;
  /** The refused delivery that this one was made to replace. */
  readonly replaces?: EnvelopeId;
  /** The delivery that an operator's retry made of this refused one. */
  readonly replacedBy?: EnvelopeId;
  readonly modalities: readonly string[];
  readonly instanceCount: number;
  /** Sum of the data sets, in bytes. */
  readonly dataSetBytes: number;
  readonly createdAtMs: number;
  readonly carriage: Carriage;
  readonly receipt: ReceiptState;
  readonly parked?: Parking;
  readonly lastError?: LastError;
  readonly refusal?: { readonly code: string; readonly message: string };
  readonly sealed?: Sealed;
  /** Bytes of the archive that the far side is known to have. */
  readonly sentBytes?: number;
  readonly steps: readonly DeliveryStep[];
}

export interface Sealed {
  /** Of the payload. */
  readonly sizeBytes: number;
  readonly manifestSha256: string;
  /** The envelope for the hub that this one travels in; `round` counts those before it, 0 when absent. */
  readonly outer?: { readonly id: EnvelopeId; readonly manifestSha256: string; readonly round?: number };
}

export type DeliveryEvent =
  | { readonly type: 'packed' }
  | { readonly type: 'sealed'; readonly sealed: Sealed }
  | { readonly type: 'sent' }
  | { readonly type: 'acknowledged' }
  | { readonly type: 'verified' }
  | { readonly type: 'refused'; readonly code: string; readonly message: string }
  | { readonly type: 'failed'; readonly error: LastError }
  | { readonly type: 'parked'; readonly parking: Parking }
  | { readonly type: 'retried' };

/** Where the carriage goes for an event; an empty cell is a broken invariant. */
const NEXT_CARRIAGE: Record<Carriage, Partial<Record<DeliveryEvent['type'], Carriage>>> = {
  accepted: { packed: 'packed' },
  packed: { packed: 'packed', sealed: 'sealed' },
  sealed: { sent: 'sent', acknowledged: 'acknowledged' },
  // A put that broke after its last byte is repeated after a probe, hence sent → sent.
  sent: { sent: 'sent', acknowledged: 'acknowledged' },
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
      const sealed = event.type === 'sealed' ? { sealed: event.sealed } : {};
      return { ...free, ...sealed, carriage, steps };
    }
  }
}

/** The far side had it, and its receipt has not come. */
function isUnanswered({ carriage, receipt }: Delivery): boolean {
  return carriage === 'acknowledged' && receipt === 'awaited';
}

/** A receipt may overtake the answer to our own put, so `sealed` is not too early for one; before that, it is. */
function assertReceiptDue(delivery: Delivery, event: DeliveryEvent): void {
  if (delivery.sealed === undefined) throw impossible(delivery, event);
}

function impossible(delivery: Delivery, event: DeliveryEvent): GatewayError {
  return new GatewayError(
    'FAULT',
    `delivery is ${delivery.carriage}, receipt ${delivery.receipt}: ${event.type} is impossible`,
    { facts: { deliveryId: delivery.id } },
  );
}

/** The one word that a user sees. */
export type DeliveryState = 'accepted' | 'sent' | 'acknowledged' | 'verified' | 'refused' | 'parked';

export function deliveryState(delivery: Delivery): DeliveryState {
  if (delivery.receipt === 'verified') return 'verified';
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
