/**
 * BullMQ's Worker with one seam: a function of ours around each run. It stands on this side of the sandbox, so that
 * a step that runs here and one that runs in a process of its own are treated by the same code.
 */
import { type Job, type Processor, Worker, type WorkerOptions } from 'bullmq';
import type { JobData, Stage } from './jobs.js';

export type Around = (
  job: Job<JobData>,
  token: string,
  signal: AbortSignal | undefined,
  run: () => Promise<void>,
) => Promise<void>;

export class BullWorker extends Worker<JobData, void> {
  readonly #around: Around;

  constructor(
    stage: Stage,
    processor: Processor<JobData, void> | string | URL,
    options: WorkerOptions,
    around: Around,
  ) {
    super(stage, processor, options);
    this.#around = around;
  }

  protected override callProcessJob(job: Job<JobData>, token: string, signal?: AbortSignal): Promise<void> {
    return this.#around(job, token, signal, () => super.callProcessJob(job, token, signal));
  }
}
