/** A progress bar on a terminal; nothing in a pipe. */

export interface Progress {
  /** @param done so far, in the unit of the total */
  update(done: number): void;
  stop(): void;
}

const NO_PROGRESS: Progress = { update: () => undefined, stop: () => undefined };

/** @param what shown before the bar */
export async function startProgress(what: string, total: number, quiet = false): Promise<Progress> {
  if (quiet || !process.stderr.isTTY || total === 0) return NO_PROGRESS;
  const { SingleBar } = await import('cli-progress');
  const bar = new SingleBar({
    format: `${what} {bar} {percentage}% · {eta_formatted} left`,
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: true,
    barCompleteChar: '█',
    barIncompleteChar: '·',
  });
  bar.start(total, 0);
  return { update: (done) => bar.update(done), stop: () => bar.stop() };
}
