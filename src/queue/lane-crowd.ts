/**
 * The jobs that one lane has turned away, as far as this process knows: who waits, how long, and who has been called.
 * A memory only. A job that is not remembered comes back by itself all the same, and one that never comes back (done
 * by another process, removed) is forgotten soon after its time.
 */
import { comparePriority, PRIORITIES, type Priority } from '../domain/priority.js';

/** Beyond this nobody is remembered; about 200 bytes each. */
const MOST_REMEMBERED = 10_000;
/** A job that is this late does not come any more. */
const GRACE_MS = 3_000;
/** For so long the place is kept of a job that was called; it comes within milliseconds, if it comes to us. */
export const CALL_MS = 100;

/** When jobs come back that nobody calls. An urgent one asks every second… */
const URGENT_WAIT_MS = 1_000;
/** …the others after this time at the earliest, one behind the other… */
const FIRST_WAIT_MS = 2_000;
const SPACING_MS = 200;
/** …and in a crowd too large for that (290), somewhere in the latter half of this. */
const LONGEST_WAIT_MS = 60_000;

/** A job that was turned away. */
export interface WaitingJob {
  readonly jobId: string;
  readonly priority: Priority;
  /** When it was first turned away: a number that grows. */
  readonly since: number;
}

interface Remembered extends WaitingJob {
  /** When it comes back by itself, in milliseconds since the epoch. */
  dueMs: number;
  /** It is out of our hands: somebody who works on a job cannot be called. */
  isBack: boolean;
  /** Until when its place is kept; 0 when it was not called. */
  keptUntilMs: number;
}

export class LaneCrowd {
  /** By priority; the one first that was turned away first. */
  readonly #waiting: Readonly<Record<Priority, Map<string, Remembered>>> = {
    stat: new Map(),
    routine: new Map(),
    low: new Map(),
  };
  readonly #called = new Set<Remembered>();
  #lastSlotMs = 0;

  isEmpty(): boolean {
    return this.#size() === 0;
  }

  /**
   * Remembers a job that is turned away; one that was before keeps its old place.
   * @returns in how many milliseconds it must come back by itself
   */
  turnAway(job: WaitingJob, nowMs: number): number {
    const waitMs = this.#waitMs(job.priority, nowMs);
    const waiting = this.#waiting[job.priority];
    const before = waiting.get(job.jobId);
    if (before !== undefined) {
      this.#uncall(before);
      before.dueMs = nowMs + waitMs;
      before.isBack = false;
    } else if (this.#size() < MOST_REMEMBERED) {
      waiting.set(job.jobId, { ...job, dueMs: nowMs + waitMs, isBack: false, keptUntilMs: 0 });
    }
    return waitMs;
  }

  /** The job is back in Redis, and may be called. */
  wentBack({ jobId, priority }: WaitingJob): void {
    const job = this.#waiting[priority].get(jobId);
    if (job !== undefined) job.isBack = true;
  }

  /** Of those that wait and are not on their way: the most urgent, and of these the one that has waited longest. */
  first(nowMs: number): WaitingJob | undefined {
    for (const priority of PRIORITIES) {
      for (const job of this.#waiting[priority].values()) {
        if (job.dueMs + GRACE_MS <= nowMs) this.forget(job.jobId);
        else if (job.isBack && job.keptUntilMs <= nowMs) return job;
      }
    }
    return undefined;
  }

  /** The job is on its way from now on, and its place is kept for `CALL_MS`. */
  call({ jobId, priority }: WaitingJob, nowMs: number): void {
    const job = this.#waiting[priority].get(jobId);
    if (job === undefined) return;
    job.keptUntilMs = nowMs + CALL_MS;
    this.#called.add(job);
  }

  isCalled(jobId: string, nowMs: number): boolean {
    for (const job of this.#called) if (job.jobId === jobId) return job.keptUntilMs > nowMs;
    return false;
  }

  /** How many are on their way that go before a new one of this priority. */
  calledUpTo(priority: Priority, nowMs: number): number {
    let count = 0;
    for (const job of this.#called) {
      if (job.keptUntilMs <= nowMs) this.#uncall(job);
      else if (comparePriority(job.priority, priority) <= 0) count += 1;
    }
    return count;
  }

  /** The job has entered, or is gone. */
  forget(jobId: string): void {
    for (const priority of PRIORITIES) {
      const job = this.#waiting[priority].get(jobId);
      if (job !== undefined) this.#uncall(job);
      this.#waiting[priority].delete(jobId);
    }
  }

  #uncall(job: Remembered): void {
    job.keptUntilMs = 0;
    this.#called.delete(job);
  }

  #waitMs(priority: Priority, nowMs: number): number {
    if (priority === 'stat') return URGENT_WAIT_MS;
    const firstMs = nowMs + FIRST_WAIT_MS;
    // Times that were given to jobs which have been called since are free again.
    const lastMs = firstMs + this.#size() * SPACING_MS;
    const slotMs = Math.min(Math.max(firstMs, this.#lastSlotMs + SPACING_MS), lastMs);
    if (slotMs > nowMs + LONGEST_WAIT_MS) return Math.round((LONGEST_WAIT_MS / 2) * (1 + Math.random()));
    this.#lastSlotMs = slotMs;
    return slotMs - nowMs;
  }

  #size(): number {
    return PRIORITIES.reduce((sum, priority) => sum + this.#waiting[priority].size, 0);
  }
}
