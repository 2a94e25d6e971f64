/**
 * One envelope that arrived, seen from the receiving side: received → opened → verified → delivered → confirmed,
 * or quarantined. Each PACS has its own outcome, since one may be down while another is not.
 */
import { GatewayError } from '../errors/gateway-error.js';
import type { EnvelopeId } from './envelope-id.js';
import type { LastError, Parking } from './parking.js';
import type { Priority } from './priority.js';

const PROGRESSES = ['received', 'opened', 'verified', 'delivered', 'confirmed'] as const;
export type Progress = (typeof PROGRESSES)[number];

export interface ReceptionStep {
  readonly event: ReceptionEvent['type'];
  readonly atMs: number;
  readonly pacs?: string;
  /** What that PACS said to storage commitment. */
  readonly commitment?: PacsCommitment['state'];
  /** Who dismissed it. */
  readonly by?: string;
}

/** What one PACS has. */
export interface PacsOutcome {
  readonly state: 'pending' | 'stored' | 'refused';
  /** Instances that the PACS has answered with success or warning. */
  readonly storedCount: number;
  /** Of those, in another transfer syntax than they came in; none when absent. */
  readonly convertedCount?: number;
  readonly refusedCount: number;
  readonly lastError?: LastError;
  /** Absent where it was not asked. */
  readonly commitment?: PacsCommitment;
}

/** Whether a PACS commits to what it stored (storage commitment, PS3.4 Annex J). */
export interface PacsCommitment {
  /**
   * `asked`: its report has not come. `committed`: to all of it. `failed`: not to all. `not-offered`: it takes no part.
   * `unreported`: it said nothing in time, and need not.
   */
  readonly state: 'asked' | 'committed' | 'failed' | 'not-offered' | 'unreported';
  readonly atMs: number;
  /** Since when a report is waited for; absent after an operator's retry, until it is asked again. */
  readonly askedAtMs?: number;
  /** How often it has turned us away since then, without a word on why. */
  readonly turnedAway?: number;
  /** Those whose report has not been taken in. */
  readonly transactions?: readonly EnvelopeId[];
}

export interface Reception {
  readonly id: EnvelopeId;
  readonly revision: number;
  /** `sender.id` of the manifest. Nobody vouches for it before the reception is opened. */
  readonly senderId: string;
  readonly senderName: string;
  /** The peer whose certificate brought it; absent for what was taken from an exchange. */
  readonly fromPeerId?: string;
  /** The exchange that it was taken from, and the size of its archive there, in bytes. */
  readonly takenFrom?: { readonly exchange: string; readonly archiveBytes: number };
  /** It held no study, but the receipt for a delivery of ours. Known when it has been opened. */
  readonly receiptFor?: EnvelopeId;
  /** It held no study, but the test that follows a pairing. Known when it has been opened. */
  readonly purpose?: 'pairing-test';
  readonly manifestSha256: string;
  /** Size of the sealed payload in bytes. */
  readonly sizeBytes: number;
  readonly receivedAtMs: number;
  readonly progress: Progress;
  /** Present from `verified` on. */
  readonly instanceCount?: number;
  /** Files that came along and are no instances; they stay in `opened/<id>`. */
  readonly attachmentCount?: number;
  readonly studyInstanceUid?: string;
  readonly modalities?: readonly string[];
  /** As the sender says; known from `verified` on. */
  readonly priority?: Priority;
  readonly signedBy?: string;
  readonly dialect?: string;
  /** The directory that attests the key that it is signed by. */
  readonly attestedBy?: string;
  readonly pacs: Readonly<Record<string, PacsOutcome>>;
  /** The envelope failed a check; it lies in quarantine, and the sender gets a refusal receipt. */
  readonly quarantined?: Parking;
  /** A refusal receipt has been delivered. */
  readonly refusalConfirmed?: boolean;
  readonly parked?: Parking;
  /** A person has dealt with all that its PACS had refused by then. */
  readonly dismissed?: { readonly by: string; readonly atMs: number };
  readonly lastError?: LastError;
  readonly steps: readonly ReceptionStep[];
}

export type ReceptionEvent =
  | {
      readonly type: 'opened';
      readonly signedBy: string;
      readonly dialect: string;
      readonly attestedBy?: string;
    }
  | {
      readonly type: 'verified';
      readonly instanceCount: number;
      readonly attachmentCount?: number;
      readonly studyInstanceUid: string;
      readonly modalities: readonly string[];
      readonly pacs: readonly string[];
      readonly priority?: Priority;
    }
  | { readonly type: 'tested' }
  | { readonly type: 'receipt'; readonly receiptFor: EnvelopeId; readonly problem?: Parking }
  | { readonly type: 'pacs'; readonly name: string; readonly outcome: PacsOutcome }
  | { readonly type: 'commitment'; readonly name: string; readonly commitment: PacsCommitment }
  | { readonly type: 'delivered' }
  | { readonly type: 'confirmed' }
  /** The same envelope has come again, so the sender has no receipt. */
  | { readonly type: 'reminded' }
  | { readonly type: 'refusal-confirmed' }
  | { readonly type: 'quarantined'; readonly parking: Parking }
  | { readonly type: 'failed'; readonly error: LastError }
  | { readonly type: 'parked'; readonly parking: Parking }
  | { readonly type: 'retried' }
  /** @param by who, in words */
  | { readonly type: 'dismissed'; readonly by: string };

/** Which events fit which progress; an empty cell is a broken invariant. */
const LEGAL: Record<Progress, readonly ReceptionEvent['type'][]> = {
  received: ['opened', 'quarantined', 'reminded'],
  opened: ['opened', 'verified', 'tested', 'receipt', 'quarantined', 'reminded'],
  verified: ['pacs', 'commitment', 'delivered', 'reminded', 'dismissed'],
  delivered: ['pacs', 'confirmed'],
  // A PACS may say days later that it does not have it all: that is sent again, and the receipt stays as it is.
  confirmed: ['pacs', 'commitment', 'reminded', 'dismissed'],
};
const ALWAYS_LEGAL: readonly ReceptionEvent['type'][] = ['failed', 'parked', 'retried', 'refusal-confirmed'];

/**
 * The record after an event. Pure.
 * @throws FAULT when the event cannot happen in this state
 */
export function advanceReception(reception: Reception, event: ReceptionEvent, atMs: number): Reception {
  if (!LEGAL[reception.progress].includes(event.type) && !ALWAYS_LEGAL.includes(event.type)) {
    throw new GatewayError('FAULT', `reception is ${reception.progress}: ${event.type} is impossible`, {
      facts: { receptionId: reception.id },
    });
  }
  const { parked, lastError: _lastError, ...free } = reception;
  // What one PACS waits for an operator with is not over because another one moves.
  const stillParked = parked === undefined ? {} : { parked };
  const steps = [
    ...reception.steps,
    {
      event: event.type,
      atMs,
      ...('name' in event ? { pacs: event.name } : {}),
      ...(event.type === 'commitment' ? { commitment: event.commitment.state } : {}),
      ...(event.type === 'dismissed' ? { by: event.by } : {}),
    },
  ];
  switch (event.type) {
    case 'failed':
      return { ...reception, lastError: event.error };
    case 'parked':
      return { ...free, parked: event.parking, steps };
    case 'quarantined':
      return { ...free, quarantined: event.parking, steps };
    case 'retried': {
      const { quarantined, refusalConfirmed: _told, dismissed: _dealtWith, ...rest } = free;
      return {
        ...rest,
        ...(quarantined === undefined ? {} : { progress: 'received' as const }),
        pacs: Object.fromEntries(
          Object.entries(free.pacs).map(([name, outcome]) => [
            name,
            outcome.state === 'stored' ? outcome : askedAnew(outcome),
          ]),
        ),
        steps,
      };
    }
    case 'dismissed':
      return { ...reception, dismissed: { by: event.by, atMs }, steps };
    case 'refusal-confirmed':
      return { ...free, refusalConfirmed: true, steps };
    case 'opened':
      return {
        ...free,
        progress: 'opened',
        signedBy: event.signedBy,
        dialect: event.dialect,
        ...(event.attestedBy === undefined ? {} : { attestedBy: event.attestedBy }),
        steps,
      };
    case 'verified':
      return {
        ...free,
        progress: 'verified',
        instanceCount: event.instanceCount,
        ...(event.attachmentCount === undefined ? {} : { attachmentCount: event.attachmentCount }),
        studyInstanceUid: event.studyInstanceUid,
        modalities: event.modalities,
        ...(event.priority === undefined ? {} : { priority: event.priority }),
        pacs: Object.fromEntries(
          event.pacs.map((name) => [name, { state: 'pending', storedCount: 0, refusedCount: 0 } as const]),
        ),
        steps,
      };
    case 'tested':
      // No PACS has to have anything of it, so the sender gets its receipt at once.
      return { ...free, progress: 'delivered', purpose: 'pairing-test', instanceCount: 0, steps };
    case 'receipt':
      // For a receipt no receipt is owed, good or bad: two bridges would go on for ever.
      return {
        ...free,
        progress: 'confirmed',
        receiptFor: event.receiptFor,
        refusalConfirmed: true,
        ...(event.problem === undefined ? {} : { quarantined: event.problem }),
        steps,
      };
    case 'pacs': {
      const before = reception.pacs[event.name];
      // Counts move with every batch; only a change of state is worth a line in the story.
      const changed = before?.state !== event.outcome.state;
      const commitment = before?.commitment;
      const outcome = commitment === undefined ? event.outcome : { commitment, ...event.outcome };
      const isSaidAnew = changed || before?.lastError?.atMs !== outcome.lastError?.atMs;
      const { dismissed: _dealtWith, ...undismissed } = free;
      return {
        ...(outcome.state === 'refused' && isSaidAnew ? undismissed : free),
        ...stillParked,
        pacs: { ...reception.pacs, [event.name]: outcome },
        steps: changed ? steps : reception.steps,
      };
    }
    case 'commitment': {
      const outcome = reception.pacs[event.name];
      if (outcome === undefined) return reception;
      const changed = outcome.commitment?.state !== event.commitment.state;
      return {
        ...free,
        ...stillParked,
        pacs: { ...reception.pacs, [event.name]: { ...outcome, commitment: event.commitment } },
        steps: changed ? steps : reception.steps,
      };
    }
    case 'reminded': {
      const { refusalConfirmed: _sent, ...unsent } = free;
      return { ...unsent, progress: free.progress === 'confirmed' ? 'delivered' : free.progress, steps };
    }
    case 'delivered':
    case 'confirmed':
      return { ...free, progress: event.type, steps };
  }
}

/** A PACS that is asked again from the start; a report that is still to come to what it was asked before counts. */
function askedAnew({ commitment, ...outcome }: PacsOutcome): PacsOutcome {
  const pending = { ...outcome, state: 'pending', refusedCount: 0 } as const;
  if (commitment?.transactions === undefined) return pending;
  const { atMs, transactions } = commitment;
  return { ...pending, commitment: { state: 'asked', atMs, transactions } };
}

/** The one word that a user sees. */
export type ReceptionState = Progress | 'quarantined' | 'refused' | 'dismissed' | 'parked';

export function receptionState(reception: Reception): ReceptionState {
  if (reception.quarantined !== undefined) return 'quarantined';
  if (reception.parked !== undefined) return 'parked';
  const isRefused = hasPacs(reception, 'refused');
  if (isRefused && reception.dismissed === undefined) return 'refused';
  if (hasPacs(reception, 'pending')) return isDeliverable(reception) ? 'verified' : reception.progress;
  return isRefused ? 'dismissed' : reception.progress;
}

/** Its PACS may be given instances now. */
export function isDeliverable({ progress }: Reception): boolean {
  return progress === 'verified' || progress === 'confirmed';
}

/** Nothing more is to come, by itself or by an operator. */
export function isReceptionEnded(reception: Reception): boolean {
  const { progress, refusalConfirmed, dismissed } = reception;
  if (hasPacs(reception, 'pending')) return false;
  if (!hasPacs(reception, 'refused')) return progress === 'confirmed';
  return dismissed !== undefined && (progress === 'confirmed' || refusalConfirmed === true);
}

function hasPacs({ pacs }: Reception, state: PacsOutcome['state']): boolean {
  return Object.values(pacs).some((outcome) => outcome.state === state);
}
