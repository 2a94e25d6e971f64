/**
 * A study as it gathers in the spool. Instances arrive, then are frozen into deliveries; what comes after a freeze
 * waits for the next one (an addendum).
 */
import type { EnvelopeId } from './envelope-id.js';
import type { ReceivedInstance } from './instance.js';
import type { Priority } from './priority.js';
import type { Uid } from './uid.js';

/** Why a study was taken for complete. */
export type CompletionReason = 'quiet' | 'longest-wait' | 'requested';

/** A promise to carry one frozen list to one peer, made together with the freeze. */
export interface PlannedDelivery {
  readonly id: EnvelopeId;
  readonly peerId: string;
  /** The first envelope of the same study to the same peer, when this one only adds to it. */
  readonly addendumTo?: EnvelopeId;
  readonly priority?: Priority;
}

/** The instances that travel together, fixed once and for ever. */
export interface Freeze {
  /** 1, 2, … within the study */
  readonly number: number;
  readonly frozenAtMs: number;
  readonly reason: CompletionReason;
  readonly sopInstanceUids: readonly Uid[];
  readonly deliveries: readonly PlannedDelivery[];
}

export interface Study {
  /** Names the study's folder; derived from the Study Instance UID, but does not show it. */
  readonly key: string;
  readonly studyInstanceUid: Uid;
  readonly instances: ReadonlyMap<Uid, ReceivedInstance>;
  readonly freezes: readonly Freeze[];
  /** What no freeze has taken yet. */
  readonly gathering: Gathering;
}

/** The instances that wait for the next freeze, summed up as they arrive, so that looking at them costs nothing. */
export interface Gathering {
  readonly instances: ReadonlySet<Uid>;
  readonly dataSetBytes: number;
  /** Arrival of the first and the last of them; 0 while there are none. */
  readonly firstAtMs: number;
  readonly lastAtMs: number;
  readonly modalities: ReadonlySet<string>;
  readonly callingAes: ReadonlySet<string>;
}

/** The peers that already got, or will get, an envelope of this study, with the first envelope of each. */
export function firstEnvelopes(study: Study): ReadonlyMap<string, EnvelopeId> {
  const first = new Map<string, EnvelopeId>();
  for (const freeze of study.freezes) {
    for (const { peerId, id } of freeze.deliveries) if (!first.has(peerId)) first.set(peerId, id);
  }
  return first;
}
