/**
 * When is a study complete? A pure rule over what has gathered and who still sends: quiet for long enough with no open
 * association feeding it, or waited for the longest time that is allowed, whoever still sends.
 */
import type { CompletionReason, Gathering } from '../domain/study.js';

export interface CompletionRules {
  readonly quietSeconds: number;
  /** By Modality (0008,0060); of several modalities the longest time counts. */
  readonly quietSecondsByModality: Readonly<Record<string, number>>;
  readonly longestWaitSeconds: number;
}

export type Completion =
  | { readonly complete: true; readonly reason: Exclude<CompletionReason, 'requested'> }
  | {
      readonly complete: false;
      readonly waitsFor: 'association' | 'quiet';
      readonly quietMs: number;
      readonly dueMs: number;
    };

/** @param feeding an association is open that has sent an instance of this study */
export function judgeCompletion(
  gathering: Gathering,
  feeding: boolean,
  rules: CompletionRules,
  nowMs: number,
): Completion {
  const dueMs = 1000 * quietSecondsFor(gathering.modalities, rules);
  const quietMs = Math.max(0, nowMs - gathering.lastAtMs);
  if (nowMs - gathering.firstAtMs >= rules.longestWaitSeconds * 1000)
    return { complete: true, reason: 'longest-wait' };
  if (feeding) return { complete: false, waitsFor: 'association', quietMs, dueMs };
  if (quietMs < dueMs) return { complete: false, waitsFor: 'quiet', quietMs, dueMs };
  return { complete: true, reason: 'quiet' };
}

function quietSecondsFor(modalities: ReadonlySet<string>, rules: CompletionRules): number {
  const special = [...modalities]
    .map((modality) => rules.quietSecondsByModality[modality])
    .filter((seconds) => seconds !== undefined);
  const plain = special.length === modalities.size && modalities.size > 0 ? [] : [rules.quietSeconds];
  return Math.max(...special, ...plain);
}
