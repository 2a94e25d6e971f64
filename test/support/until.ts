/** Waits for a condition instead of for a time. */
import { setTimeout as pause } from 'node:timers/promises';

/**
 * Polls until `condition` gives a truthy value, and returns it.
 * @throws Error naming `what` when `timeoutMs` (default 20 000) has passed; keeps the condition's last error as cause
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  options: { timeoutMs?: number; everyMs?: number; what?: string } = {},
): Promise<Exclude<T, false | undefined | null>> {
  const deadline = Date.now() + (options.timeoutMs ?? 20_000);
  let lastError: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value as Exclude<T, false | undefined | null>;
    } catch (error) {
      lastError = error;
    }
    if (Date.now() > deadline) {
      throw new Error(`condition not met in time: ${options.what ?? condition.toString()}`, {
        cause: lastError,
      });
    }
    await pause(options.everyMs ?? 25);
  }
}
