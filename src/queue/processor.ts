/**
 * How a queue calls a step, the same in this process and in a sandbox: the id, a signal, and which attempt it is.
 *
 * A file in `workers/` that runs in a sandbox is `export default sandboxProcessor(run)`. What its step throws
 * crosses to the worker as JSON: own properties survive, the class does not. `outcome.ts` reads it there.
 */
import { parseJobData } from './jobs.js';

export interface Attempt {
  /** From 1. Waits that the peer asked for do not count. */
  readonly number: number;
  /** No attempt follows this one. */
  readonly last: boolean;
}

/**
 * One step for one envelope. It may be run again at any time after any crash. It stops soon after `signal` aborts,
 * which means: the worker is closing, or has lost its claim to the job.
 */
export type StageRunner = (id: string, signal: AbortSignal, attempt: Attempt) => Promise<void>;

/** As much of a BullMQ job as is the same on both sides of the sandbox. */
export interface RunningJob {
  readonly data: unknown;
  readonly attemptsMade: number;
  readonly opts: { readonly attempts?: number | undefined };
}

/** Which attempt a running job is in. */
export function attemptOf(job: RunningJob): Attempt {
  const number = job.attemptsMade + 1;
  return { number, last: number >= (job.opts.attempts ?? 1) };
}

/** Runs a step in this process. */
export async function runStage(run: StageRunner, job: RunningJob, signal: AbortSignal): Promise<void> {
  await run(parseJobData(job.data).id, signal, attemptOf(job));
}

/**
 * Makes a step into what BullMQ imports in a process of its own. That process ends when the worker does, even when
 * the worker is killed: a step without a worker would run beside its own second try.
 */
export function sandboxProcessor(
  run: StageRunner,
): (job: RunningJob, token: string | undefined, signal: AbortSignal) => Promise<void> {
  process.once('disconnect', () => process.exit(1));
  return async (job, _token, signal) => {
    try {
      await runStage(run, job, signal);
    } catch (error) {
      throw withCauseInStack(error);
    }
  };
}

/** A `cause` does not cross; its stack, which finds the bug, crosses as text. */
function withCauseInStack(error: unknown): unknown {
  if (error instanceof Error && error.cause instanceof Error) {
    error.stack = `${error.stack}\ncaused by: ${error.cause.stack}`;
  }
  return error;
}
