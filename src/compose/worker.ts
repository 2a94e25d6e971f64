/**
 * The workers of one process: one for each stage, over one Redis, and the pollers that look into inboxes. Needs no
 * listener; there may be many such processes.
 */
import type { RedisOptions } from 'ioredis';
import { createScuPool } from '../dimse/scu-pool.js';
import type { Stage } from '../queue/jobs.js';
import { formatNamedId } from '../queue/named-job.js';
import { POLICIES } from '../queue/policy.js';
import { createProducer } from '../queue/producer.js';
import { type StageWorker, startStageWorker } from '../queue/worker.js';
import { createExchangeBoard } from './exchange-board.js';
import { startPollers } from './pollers.js';
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
  const board = createExchangeBoard(site.layout, () => site.clock.now());
  const pool = createScuPool();
  const steps = createSteps(site, producer, board, pool);
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
  const stopPolling = startPollers({
    lines: site.lines,
    board,
    enqueue: (exchange, id) => producer.add('fetch', formatNamedId(id, exchange)),
    log: site.log,
  });
  return {
    async close(graceMs) {
      await stopPolling();
      await Promise.all(workers.map((worker) => worker.close(graceMs)));
      await pool.close();
      await producer.close();
    },
  };
}
