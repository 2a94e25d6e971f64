/** The workers of one process: one for each stage, over one Redis. Needs no listener; there may be many such processes. */
import type { RedisOptions } from 'ioredis';
import type { Stage } from '../queue/jobs.js';
import { POLICIES } from '../queue/policy.js';
import { createProducer } from '../queue/producer.js';
import { type StageWorker, startStageWorker } from '../queue/worker.js';
import type { SiteContext } from './site.js';
import { createSteps, type StageStep } from './steps.js';

export interface Workers {
  /** Lets running steps end within `graceMs`, then stops them; what is stopped runs again later. */
  close(graceMs: number): Promise<void>;
}

/** Names the module that runs a stage in a process of its own; see `workers/`. */
export type SandboxModule = (stage: Stage) => URL;

export function startWorkers(site: SiteContext, redis: RedisOptions, sandboxModule: SandboxModule): Workers {
  const producer = createProducer(redis, site.log);
  const steps = createSteps(site, producer);
  const workers: StageWorker[] = [];
  for (const [stage, step] of Object.entries(steps) as [Stage, StageStep][]) {
    const sandboxed = POLICIES[stage].sandboxed && site.settings.workers.sandbox;
    workers.push(
      startStageWorker({
        stage,
        connection: redis,
        log: site.log,
        onRetry: step.retried,
        onGivenUp: step.givenUp,
        ...(step.lane === undefined ? {} : { laneOf: step.lane }),
        ...(sandboxed ? { processorFile: sandboxModule(stage) } : { run: step.run }),
      }),
    );
  }
  return {
    async close(graceMs) {
      await Promise.all(workers.map((worker) => worker.close(graceMs)));
      await producer.close();
    },
  };
}
