/** Storage commitment as people see it: what modalities have asked of us, and do not know yet. */

export interface CommitmentView {
  /** Requests that wait for signed receipts. */
  readonly undecidedCount: number;
  /** Modalities that could not be told yet. */
  readonly untold: readonly {
    readonly callingAe: string;
    readonly requestCount: number;
    /** Since when the first of them is decided. */
    readonly sinceMs: number;
    /** Why the last attempt failed; absent where the config does not say where the modality listens. */
    readonly message?: string;
  }[];
}
