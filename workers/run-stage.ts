/**
 * What every file of this folder does: builds the parts of the step from the runtime that our parent handed on, once,
 * and runs the step for one job after the other.
 */

import { connectRedis } from '../src/compose/redis.js';
import { parseRuntime, RUNTIME_VARIABLE } from '../src/compose/runtime.js';
import { openSite } from '../src/compose/site.js';
import { createSteps, type StageStep } from '../src/compose/steps.js';
import { loadSettings } from '../src/config/load.js';
import { GatewayError } from '../src/errors/gateway-error.js';
import { createLog } from '../src/observe/log.js';
import type { Stage } from '../src/queue/jobs.js';
import { sandboxProcessor } from '../src/queue/processor.js';
import { createProducer } from '../src/queue/producer.js';

/** @returns what BullMQ calls in this process */
export function runStage(stage: Stage) {
  let step: Promise<StageStep> | undefined;
  return sandboxProcessor(async (id, signal) => {
    step ??= buildStep(stage);
    await (await step).run(id, signal);
  });
}

async function buildStep(stage: Stage): Promise<StageStep> {
  const runtime = parseRuntime(process.env[RUNTIME_VARIABLE]);
  if (runtime === undefined) throw new GatewayError('FAULT', `${RUNTIME_VARIABLE} is not set`);
  const settings = loadSettings(runtime.configPath, process.env);
  const log = createLog(settings.log.level, { service: stage });
  const site = await openSite(settings, log);
  return createSteps(site, createProducer((await connectRedis(runtime, settings, log)).connection, log))[
    stage
  ];
}
