/**
 * How each queue works: how often and how long it tries, how many jobs run side by side, and in which process.
 *
 * Hospitals close a firewall port on Friday and open it again on Monday, so that a step gives up after days. It
 * comes back within minutes, because a study that waits is a patient who waits.
 */
import { createHash } from 'node:crypto';
import type { Stage } from './jobs.js';

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** Each wait is between 80 and 120 % of its nominal length, so that jobs which failed together come back apart. */
const JITTER = 0.2;

export interface StagePolicy {
  /** The first try included; when they are used up, the record is parked. */
  readonly attempts: number;
  /** The first wait in milliseconds; each further one is twice as long… */
  readonly firstWaitMs: number;
  /** …up to this. */
  readonly longestWaitMs: number;
  /** A job that a peer puts off again and again (Retry-After uses no attempt) is given up at this age. */
  readonly patienceMs: number;
  /** Jobs side by side in one worker process, 1 or more; from 3 on the last one is for urgent studies (lanes.ts). */
  readonly concurrency: number;
  /** Of those, how many for one peer or PACS, so that a dead one never delays another; an urgent one has one more. */
  readonly perLane: number;
  /** Run in a process of its own: for what computes, or reads what a stranger wrote. */
  readonly sandboxed: boolean;
  /** A job whose worker was killed is taken up by another one after this time, give or take `stalledCheckMs`. */
  readonly lockMs: number;
  readonly stalledCheckMs: number;
}

const COMMON = { lockMs: 20 * SECOND_MS, stalledCheckMs: 5 * SECOND_MS } as const;

/**
 * Disk and processor only: what fails here for a while is a full disk.
 * @param places side by side, whomever they are for; an urgent study has one more
 */
const local = (places: number, sandboxed: boolean): StagePolicy => ({
  ...COMMON,
  ...patience({ firstWaitMs: 5 * SECOND_MS, longestWaitMs: 5 * MINUTE_MS, patienceMs: 2 * DAY_MS }),
  concurrency: places + 1,
  perLane: places,
  sandboxed,
});

/**
 * Waiting for somebody else's machine: many at a time cost little, but only a few for each peer. Peers that hang hold
 * their places for minutes; more than 80 of them at once still leave room for the others.
 */
const remote = (days: number): StagePolicy => ({
  ...COMMON,
  ...patience({ firstWaitMs: 5 * SECOND_MS, longestWaitMs: 15 * MINUTE_MS, patienceMs: days * DAY_MS }),
  concurrency: 200,
  perLane: 4,
  sandboxed: false,
});

export const POLICIES: Readonly<Record<Stage, StagePolicy>> = {
  pack: local(2, true),
  seal: local(2, true),
  ship: remote(3),
  // The far side owes a receipt only when its PACS has the study, and that PACS may be down over a long weekend.
  receipt: remote(14),
  fetch: remote(3),
  open: local(2, true),
  verify: local(2, true),
  deliver: remote(3),
  confirm: remote(7),
};

type Waits = Pick<StagePolicy, 'firstWaitMs' | 'longestWaitMs'>;

/** The number of attempts that fills `patienceMs`, if every try fails at once. */
export function attemptsWithin(waits: Waits, patienceMs: number): number {
  let attempts = 1;
  for (let spentMs = 0; spentMs < patienceMs; attempts += 1) spentMs += nominalWaitMs(waits, attempts);
  return attempts;
}

/**
 * The wait before the next try, in milliseconds. The same job and attempt always give the same wait, so that the
 * time written into the record is the one that the queue keeps.
 * @param attempt the attempt that has just failed, from 1
 */
export function waitMs(waits: Waits, attempt: number, jobId: string): number {
  const spread = createHash('sha256').update(`${jobId}#${attempt}`).digest().readUInt32BE(0) / 2 ** 32;
  return Math.round(nominalWaitMs(waits, attempt) * (1 - JITTER + 2 * JITTER * spread));
}

function nominalWaitMs(waits: Waits, attempt: number): number {
  return Math.min(waits.longestWaitMs, waits.firstWaitMs * 2 ** (attempt - 1));
}

function patience(times: Waits & Pick<StagePolicy, 'patienceMs'>) {
  return { ...times, attempts: attemptsWithin(times, times.patienceMs) };
}
