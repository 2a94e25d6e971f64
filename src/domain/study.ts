/**
 * A study as it gathers in the spool. Instances arrive, then are frozen into deliveries; what comes after a freeze
 * waits for the next one (an addendum).
 */
import type { Attachment } from './attachment.js';
import type { EnvelopeId } from './envelope-id.js';
import type { Classification, Extensions } from './extensions.js';
import type { ReceivedInstance } from './instance.js';
import type { Priority } from './priority.js';
import type { Uid } from './uid.js';

/** Why a study was taken for complete. */
export type CompletionReason = 'quiet' | 'longest-wait' | 'requested';

/** A promise to carry one frozen list to one peer, made together with the freeze. */
export interface PlannedDelivery {
  readonly id: EnvelopeId;
  readonly peerId: string;
  /** The envelope that it shares with others of its freeze; absent: it has one of its own, under its own id. */
  readonly sharedEnvelopeId?: EnvelopeId;
  /** The first envelope of the same study to the same peer, when this one only adds to it. */
  readonly addendumTo?: EnvelopeId;
  readonly priority?: Priority;
  readonly classification?: Classification;
  readonly extensions?: Extensions;
}

/** The instances and attachments that travel together, fixed once and for ever. */
export interface Freeze {
  /** 1, 2, … within the study */
  readonly number: number;
  readonly frozenAtMs: number;
  readonly reason: CompletionReason;
  readonly sopInstanceUids: readonly Uid[];
  /** Names of the attachments; none when absent. */
  readonly attachments?: readonly string[];
  readonly deliveries: readonly PlannedDelivery[];
}

export interface Study {
  /** Names the study's folder; derived from the Study Instance UID, but does not show it. */
  readonly key: string;
  readonly studyInstanceUid: Uid;
  /** Of one that came a moment ago `sha256` may be empty still; see `StudyStore.settled`. */
  readonly instances: ReadonlyMap<Uid, ReceivedInstance>;
  /** By name. */
  readonly attachments: ReadonlyMap<string, Attachment>;
  /** What was said of this study alone, for the manifests that come. */
  readonly extensions?: Extensions;
  readonly freezes: readonly Freeze[];
  /** What no freeze has taken yet. */
  readonly gathering: Gathering;
}

/** What waits for the next freeze, summed up as it arrives, so that looking at it costs nothing. */
export interface Gathering {
  readonly instances: ReadonlySet<Uid>;
  /** Their names. */
  readonly attachments: ReadonlySet<string>;
  readonly dataSetBytes: number;
  /** Arrival of the first and the last of all that waits; 0 while there is nothing. */
  readonly firstAtMs: number;
  readonly lastAtMs: number;
  readonly modalities: ReadonlySet<string>;
  readonly callingAes: ReadonlySet<string>;
}

/** Whether anything waits for the next freeze. */
export function isGathering({ gathering }: Study): boolean {
  return gathering.instances.size > 0 || gathering.attachments.size > 0;
}

/** The peers that already got, or will get, an envelope of this study, with the first envelope of each. */
export function firstEnvelopes(study: Study): ReadonlyMap<string, EnvelopeId> {
  const first = new Map<string, EnvelopeId>();
  for (const freeze of study.freezes) {
    for (const { peerId, id, sharedEnvelopeId } of freeze.deliveries) {
      if (!first.has(peerId)) first.set(peerId, sharedEnvelopeId ?? id);
    }
  }
  return first;
}
