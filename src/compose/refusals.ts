/** The latest refused associations, so that an engineer sees what to correct without reading logs. */
import type { RefusedAssociation } from '../dimse/association-judge.js';
import { CODES } from '../errors/codes.js';
import type { RefusalView } from '../http/association-ports.js';

/** The same caller with the same fault counts as one; of those, this many are kept. */
const KEPT = 50;

export interface Refusals {
  note(refusal: RefusedAssociation, atMs: number): void;
  /** Newest first. */
  all(): readonly RefusalView[];
}

export function createRefusals(): Refusals {
  const kept = new Map<string, RefusalView>();
  return {
    note(refusal, atMs) {
      const key = JSON.stringify(refusal);
      const count = (kept.get(key)?.count ?? 0) + 1;
      kept.delete(key);
      kept.set(key, { ...refusal, advice: CODES[refusal.code].advice, atMs, count });
      const [oldest] = kept.keys();
      if (kept.size > KEPT && oldest !== undefined) kept.delete(oldest);
    },
    all: () => [...kept.values()].reverse(),
  };
}
