/**
 * Work that Ctrl-C or a TERM may end: it hears of it by an AbortSignal, removes what it has half made, and then the process
 * ends with 128 and the signal's number, as shells expect it. A second signal ends it at once.
 */
import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
type Interruption = (typeof SIGNALS)[number];

/** @throws what `work` throws; does not return when it was interrupted and has given up */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stopping = new AbortController();
  let interrupted: Interruption | undefined;
  const stop = (name: Interruption) => {
    if (interrupted !== undefined) process.exit(exitCodeOf(name));
    interrupted = name;
    stopping.abort();
  };
  for (const name of SIGNALS) process.on(name, stop);
  try {
    return await work(stopping.signal);
  } catch (error) {
    if (interrupted !== undefined) process.exit(exitCodeOf(interrupted));
    throw error;
  } finally {
    for (const name of SIGNALS) process.off(name, stop);
  }
}

function exitCodeOf(name: Interruption): number {
  return 128 + constants.signals[name];
}
