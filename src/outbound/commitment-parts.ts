/** What storage commitment towards modalities is made of; compose builds it once, in the gateway. */

import type { CommitmentResult } from '../dimse/commitment-data-set.js';
import type { Clock } from '../domain/clock.js';
import type { CommitmentRequest } from '../domain/commitment-request.js';
import type { Delivery } from '../domain/delivery.js';
import type { GatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import type { Layout } from '../spool/layout.js';
import type { RecordStore } from '../spool/record-store.js';
import type { StudyStore } from '../spool/study-store.js';

/** When we answer for an instance: as soon as it is durable here, or when all its receivers have proved it theirs. */
export type CommitmentMode = 'here' | 'delivered';

export interface CommitmentParts {
  readonly mode: CommitmentMode;
  readonly layout: Layout;
  readonly requests: RecordStore<CommitmentRequest>;
  readonly studies: StudyStore;
  readonly deliveries: RecordStore<Delivery>;
  /** All delivery records, newest first, from memory. */
  allDeliveries(): readonly Delivery[];
  /** Whether the config says where this modality listens for reports. */
  isReachable(callingAe: string): boolean;
  /**
   * Reports on an association of its own.
   * @returns the status of its answer
   * @throws PACS_UNREACHABLE, PACS_BUSY, PACS_REFUSED, CONTEXT_UNSUPPORTED
   */
  report(request: CommitmentRequest, result: CommitmentResult, signal: AbortSignal): Promise<number>;
  /** Why nothing new is taken just now: the disk is nearly full. */
  refusal(): GatewayError | undefined;
  /** Told after each change. */
  changed(): void;
  readonly clock: Clock;
  readonly log: Log;
}
