/**
 * The four kinds of failure. The kind, never the text, decides what the queue does next and what an operator
 * is asked to do.
 *
 * - `transient`: it was certainly not done; the same attempt may work later.
 * - `ambiguous`: it may have been done; repeat only a step that probes first or is idempotent.
 * - `permanent`: this input to this peer will never work; a person must act.
 * - `fault`: our own bug, or a broken invariant.
 */
export const ERROR_KINDS = ['transient', 'ambiguous', 'permanent', 'fault'] as const;

export type ErrorKind = (typeof ERROR_KINDS)[number];
