/**
 * The queues and what a job carries: an id, nothing else, ever. Redis holds clear text, so whatever belongs to a
 * study stays in the records on disk, and the queue is only a to-do list that can be made again from them.
 *
 * One bridge, one Redis database: two bridges that share a database would take each other's jobs.
 */
import { GatewayError } from '../errors/gateway-error.js';

/** One queue for each step: outbound, inbound, and the sweep of what is confirmed and old. */
export const STAGES = [
  'pack',
  'seal',
  'ship',
  'receipt',
  'open',
  'verify',
  'deliver',
  'confirm',
  'sweep',
] as const;

export type Stage = (typeof STAGES)[number];

export interface JobData {
  /** The envelope's id; for `sweep` any fixed word. */
  readonly id: string;
}

/** The first part of every key in Redis. */
export const QUEUE_PREFIX = 'drawbridge';

/**
 * Reads a job's data.
 * @throws FAULT when it is anything but an id: then something else writes to our queues
 */
export function parseJobData(data: unknown): JobData {
  const id = typeof data === 'object' && data !== null && 'id' in data ? data.id : undefined;
  if (typeof id !== 'string' || id === '') throw new GatewayError('FAULT', 'job holds no id');
  return { id };
}
