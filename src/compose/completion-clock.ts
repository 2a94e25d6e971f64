/**
 * Asks of every gathering study whether it is complete, ten times a second and at the very moment that its quiet time is
 * over, and completes it. One that is quiet is sealed, and sent, ahead meanwhile.
 */
import type { Study } from '../domain/study.js';
import { isGatewayError } from '../errors/gateway-error.js';
import { type CompletionParts, completeStudy } from '../outbound/complete-study.js';
import { type CompletionRules, judgeCompletion } from '../outbound/completion.js';
import type { Feeding } from '../outbound/feeding.js';

/** Associations that end, and studies that are late, are noticed so much later at most. */
const TICK_MS = 100;
/** After a long stop very many may be due. */
const COMPLETING_AT_ONCE = 8;
/** After one could not be completed: that is the disk's, and each try asks it for something. */
const RETRY_MS = 2_000;

export interface CompletionClock {
  /** Studies that are complete, but that no route fits. */
  held(): ReadonlySet<string>;
  stop(): Promise<void>;
}

export function startCompletionClock(
  parts: CompletionParts,
  rules: CompletionRules,
  feeding: Feeding,
): CompletionClock {
  const held = new Set<string>();
  /** By study: one does not wait until another's envelope is sealed. */
  const completing = new Map<string, Promise<void>>();
  /** By study, when one that could not be completed is tried again. */
  const retriedAtMs = new Map<string, number>();
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  const complete = async (study: Study, reason: Parameters<typeof completeStudy>[2]) => {
    try {
      await completeStudy(parts, study, reason);
      held.delete(study.key);
      retriedAtMs.delete(study.key);
      if (!feeding.isFed(study.key)) parts.studies.release(study.key);
    } catch (error) {
      if (isGatewayError(error) && error.code === 'ROUTE_MISSING') {
        if (!held.has(study.key)) parts.log.warn({ event: 'study.held', study: study.key, code: error.code });
        held.add(study.key);
        return;
      }
      // The freeze stands or it does not; what it lacks is made up for by recovery.
      if (!retriedAtMs.has(study.key))
        parts.log.error({ event: 'study.completion_failed', study: study.key, reason: String(error) });
      retriedAtMs.set(study.key, performance.now() + RETRY_MS);
    }
  };

  /** @returns in how many milliseconds it is due */
  const settle = (study: Study): number => {
    const { key, gathering } = study;
    if (completing.has(key) || completing.size === COMPLETING_AT_ONCE) return TICK_MS;
    if (performance.now() < (retriedAtMs.get(key) ?? 0)) return TICK_MS;
    const judged = judgeCompletion(gathering, feeding.isFed(key), rules, parts.clock.now());
    if (judged.complete) {
      const work = complete(study, judged.reason).finally(() => completing.delete(key));
      completing.set(key, work);
      return TICK_MS;
    }
    held.delete(key);
    if (judged.waitsFor === 'association') return TICK_MS;
    const leftMs = judged.dueMs - judged.quietMs;
    parts.sealedAhead?.begin(study, judged.quietMs / judged.dueMs, leftMs);
    return leftMs;
  };

  const tick = () => {
    let dueInMs = TICK_MS;
    for (const study of parts.studies.gathering()) dueInMs = Math.min(dueInMs, settle(study));
    if (!stopped) timer = setTimeout(tick, dueInMs);
  };

  timer = setTimeout(tick, TICK_MS);
  return {
    held: () => held,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await Promise.all(completing.values());
    },
  };
}
