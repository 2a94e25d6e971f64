/**
 * The queues and what a job carries: an id, and nothing of a study, ever. Redis holds clear text, so whatever belongs
 * to a study stays in the records on disk, and the queue is only a to-do list that can be made again from them.
 *
 * One bridge, one Redis database: two bridges that share a database would take each other's jobs.
 */
import { PRIORITIES, type Priority } from '../domain/priority.js';
import { GatewayError } from '../errors/gateway-error.js';

export const OUTBOUND_STAGES = ['pack', 'seal', 'ship', 'receipt'] as const;
export const INBOUND_STAGES = ['fetch', 'open', 'verify', 'deliver', 'confirm'] as const;

/** One queue for each step. */
export const STAGES = [...OUTBOUND_STAGES, ...INBOUND_STAGES] as const;

export type OutboundStage = (typeof OUTBOUND_STAGES)[number];
export type Stage = (typeof STAGES)[number];

export interface JobData {
  /** The envelope's id; behind it for `fetch` the exchange, for `deliver` the PACS (named-job.ts). */
  readonly id: string;
  /** Since when the job's patience counts, in milliseconds since the epoch; since it was added when absent. */
  readonly patientSinceMs?: number;
}

/**
 * As BullMQ has it: the lowest first, up to 2 097 152. Each job of ours has one, for a job without goes before them all:
 * so does one whose worker died, once.
 */
const PRIORITY_NUMBERS: Readonly<Record<Priority, number>> = { stat: 1, routine: 10, low: 100 };

export function priorityNumber(priority: Priority): number {
  return PRIORITY_NUMBERS[priority];
}

/** What a job's number means; `routine` for a number that is none of ours. */
export function priorityOf(number: number): Priority {
  return PRIORITIES.find((priority) => PRIORITY_NUMBERS[priority] === number) ?? 'routine';
}

/** The first part of every key in Redis. */
export const QUEUE_PREFIX = 'drawbridge';

/** Whether a job's data is one of ours. */
export function isJobData(data: unknown): data is JobData {
  return (
    typeof data === 'object' && data !== null && 'id' in data && typeof data.id === 'string' && data.id !== ''
  );
}

/**
 * Reads a job's data.
 * @throws FAULT when it is anything but an id: then something else writes to our queues
 */
export function parseJobData(data: unknown): JobData {
  if (!isJobData(data)) throw new GatewayError('FAULT', 'job holds no id');
  return { id: data.id };
}
