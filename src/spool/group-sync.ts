/**
 * One fsync for many who wait: whoever comes while one is running waits for the next, which covers all that was written
 * before it starts. A disk that needs ten milliseconds for an fsync still serves a hundred writers in twenty.
 */

/**
 * @param sync makes durable what was written before it was called
 * @returns the same, shared by all who call at one time
 */
export function groupSync(sync: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;

  const start = (): Promise<void> => {
    next = undefined;
    const current = sync().finally(() => {
      if (running === current) running = undefined;
    });
    running = current;
    return current;
  };

  return () => {
    if (running === undefined) return start();
    next ??= running.catch(() => undefined).then(start);
    return next;
  };
}
