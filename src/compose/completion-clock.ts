/** Asks of every gathering study, ten times a second, whether it is complete, and completes it. */
import type { Study } from '../domain/study.js';
import { isGatewayError } from '../errors/gateway-error.js';
import { type CompletionParts, completeStudy } from '../outbound/complete-study.js';
import { type CompletionRules, judgeCompletion } from '../outbound/completion.js';
import type { Feeding } from '../outbound/feeding.js';

/** Added to the quiet time of a study at most. */
const TICK_MS = 100;

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
  let running: Promise<void> = Promise.resolve();
  let isRunning = false;
  let stopped = false;

  const settle = async (study: Study) => {
    const judged = judgeCompletion(study.gathering, feeding.isFed(study.key), rules, parts.clock.now());
    if (!judged.complete) {
      held.delete(study.key);
      return;
    }
    try {
      await completeStudy(parts, study, judged.reason);
      held.delete(study.key);
      if (!feeding.isFed(study.key)) parts.studies.release(study.key);
    } catch (error) {
      if (isGatewayError(error) && error.code === 'ROUTE_MISSING') {
        if (!held.has(study.key)) parts.log.warn({ event: 'study.held', study: study.key, code: error.code });
        held.add(study.key);
        return;
      }
      // The freeze stands or it does not; what it lacks is made up for by recovery.
      parts.log.error({ event: 'study.completion_failed', study: study.key, reason: String(error) });
    }
  };

  const tick = async () => {
    for (const study of parts.studies.gathering()) {
      if (!stopped) await settle(study);
    }
  };

  const timer = setInterval(() => {
    if (isRunning) return;
    isRunning = true;
    running = tick().finally(() => {
      isRunning = false;
    });
  }, TICK_MS);
  return {
    held: () => held,
    async stop() {
      stopped = true;
      clearInterval(timer);
      await running;
    },
  };
}
