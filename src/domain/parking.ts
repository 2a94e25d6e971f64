/** Parked: the bridge has stopped trying, and waits for an operator. */
import type { ErrorCode } from '../errors/codes.js';

export interface Parking {
  readonly code: ErrorCode;
  /** For the operator; no personal data. */
  readonly message: string;
  /** The step that gave up. */
  readonly stage: string;
  readonly atMs: number;
}

/** The latest failure of a step that will be tried again. */
export interface LastError extends Parking {
  readonly attempt: number;
  readonly nextAttemptAtMs?: number;
}
