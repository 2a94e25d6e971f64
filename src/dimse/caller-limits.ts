/**
 * How often, and how fast, one host may come: token buckets that fill with time, one pair for each address. Of hosts that
 * have long been silent nothing is kept, and of very many hosts at once only the latest.
 */
import { setTimeout as pause } from 'node:timers/promises';

export interface CallerLimitOptions {
  /** Associations that one host may open in a minute, 1 or more; absent: any number. */
  readonly associationsPerMinute?: number | undefined;
  /** Bytes that are taken from one host in a second, over all of its associations; absent: any number. */
  readonly bytesPerSecond?: number | undefined;
}

export interface CallerLimits {
  /**
   * Counts an association that the host asks for. `refused`: it has asked for too many; `refused-again`: as was said
   * less than a minute ago, and need not be said for each.
   */
  admits(address: string): 'admitted' | 'refused' | 'refused-again';
  /** Counts bytes that the host has sent. A promise means: read nothing more of it before; rejects on abort. */
  pace(address: string, bytes: number, signal: AbortSignal): Promise<void> | undefined;
}

interface Caller {
  readonly associations: Bucket | undefined;
  readonly bytes: Bucket | undefined;
  refusedAtMs: number;
}

/** Hosts that are remembered: far more than a hospital has modalities, and some 200 bytes each. */
const MAX_CALLERS = 4096;
const MINUTE_MS = 60_000;
const SECOND_MS = 1000;

/** @param now milliseconds that only go forward */
export function createCallerLimits(
  { associationsPerMinute, bytesPerSecond }: CallerLimitOptions,
  now: () => number = () => performance.now(),
): CallerLimits {
  /** Those who came last stand last. */
  const callers = new Map<string, Caller>();

  const callerAt = (address: string): Caller => {
    const bucket = (size: number | undefined, fillMs: number) =>
      size === undefined ? undefined : new Bucket(size, fillMs, now());
    const caller = callers.get(address) ?? {
      associations: bucket(associationsPerMinute, MINUTE_MS),
      bytes: bucket(bytesPerSecond, SECOND_MS),
      refusedAtMs: Number.NEGATIVE_INFINITY,
    };
    callers.delete(address);
    callers.set(address, caller);
    const [longestSilent] = callers.keys();
    if (callers.size > MAX_CALLERS && longestSilent !== undefined) callers.delete(longestSilent);
    return caller;
  };

  return {
    admits(address) {
      const caller = callerAt(address);
      if (caller.associations === undefined) return 'admitted';
      if (caller.associations.missing(1, now()) === 0) {
        caller.associations.take(1, now());
        return 'admitted';
      }
      if (now() - caller.refusedAtMs < MINUTE_MS) return 'refused-again';
      caller.refusedAtMs = now();
      return 'refused';
    },
    pace(address, bytes, signal) {
      if (bytesPerSecond === undefined) return undefined;
      const bucket = callerAt(address).bytes;
      bucket?.take(bytes, now());
      const waitMs = bucket?.emptyForMs(now()) ?? 0;
      return waitMs === 0 ? undefined : pause(waitMs, undefined, { signal });
    },
  };
}

/** Holds `size` tokens, and fills up from empty within `fillMs`. */
class Bucket {
  readonly #size: number;
  readonly #fillMs: number;
  #tokens: number;
  #filledAtMs: number;

  constructor(size: number, fillMs: number, nowMs: number) {
    this.#size = size;
    this.#fillMs = fillMs;
    this.#tokens = size;
    this.#filledAtMs = nowMs;
  }

  /** May leave it in debt: what has come has come. */
  take(tokens: number, nowMs: number): void {
    this.#fill(nowMs);
    this.#tokens -= tokens;
  }

  /** How many of `tokens` it lacks. */
  missing(tokens: number, nowMs: number): number {
    this.#fill(nowMs);
    return Math.max(0, tokens - this.#tokens);
  }

  /** How long it takes until the debt is paid. */
  emptyForMs(nowMs: number): number {
    return Math.ceil((this.missing(0, nowMs) * this.#fillMs) / this.#size);
  }

  #fill(nowMs: number): void {
    const filled = ((nowMs - this.#filledAtMs) * this.#size) / this.#fillMs;
    this.#tokens = Math.min(this.#size, this.#tokens + filled);
    this.#filledAtMs = nowMs;
  }
}
