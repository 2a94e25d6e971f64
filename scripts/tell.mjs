/** How the scripts speak to people: short lines on stderr, beside the output of programs. */

export function tell(line) {
  process.stderr.write(`drawbridge: ${line}\n`);
}

/** A reason to stop which the user can mend; shown without a stack. */
export class SetupError extends Error {
  name = 'SetupError';
}

/** Starts counting; the function that it gives says how long it has been. */
export function stopwatch() {
  const start = Date.now();
  return () => `${((Date.now() - start) / 1000).toFixed(1)} s`;
}
