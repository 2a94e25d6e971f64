/**
 * What a process of ours tells the processes that it starts: where the config is, and how to reach the private Redis.
 * A configured Redis is not handed on, since its password belongs into no environment.
 */
import type { RedisOptions } from 'ioredis';
import { z } from 'zod';
import { GatewayError } from '../errors/gateway-error.js';

export const RUNTIME_VARIABLE = 'DRAWBRIDGE_RUNTIME';

const runtimeSchema = z.strictObject({
  configPath: z.string(),
  redis: z.record(z.string(), z.unknown()).optional(),
});

export interface Runtime {
  readonly configPath: string;
  /** Absent for a configured Redis. */
  readonly redis?: RedisOptions;
}

export function formatRuntime(runtime: Runtime): string {
  return JSON.stringify(runtime);
}

/** @throws FAULT when the variable holds something else */
export function parseRuntime(text: string | undefined): Runtime | undefined {
  if (text === undefined) return undefined;
  const parsed = runtimeSchema.safeParse(JSON.parse(text));
  if (!parsed.success)
    throw new GatewayError('FAULT', `${RUNTIME_VARIABLE} is not what a process of ours wrote`);
  const { configPath, redis } = parsed.data;
  return { configPath, ...(redis === undefined ? {} : { redis: redis as RedisOptions }) };
}
