/**
 * How old an envelope may be, by the timestamp of its manifest, so that one that lay about for years, or is dated ahead
 * to outlive its limit, is not taken for today's. A limit for what comes in; an archive may be opened at any age, and
 * is then opened without one. Whether the timestamp is signed is for signatures.ts to say: asked before, this proves
 * nothing.
 */
import { formatTimestamp } from '../domain/clock.js';
import { GatewayError } from '../errors/gateway-error.js';

export interface AgeLimits {
  /** Milliseconds from the timestamp to now; an envelope of exactly this age is taken. */
  readonly maxAgeMs: number;
  /** Milliseconds by which the clock that wrote the timestamp may be ahead of ours; exactly so many are taken. */
  readonly maxFutureMs: number;
}

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

/** @throws ENVELOPE_TOO_OLD, ENVELOPE_FROM_FUTURE; MANIFEST_INVALID for a date that no clock shows, as a leap second */
export function assertAge(timestampMs: number, { maxAgeMs, maxFutureMs }: AgeLimits, nowMs: number): void {
  // NaN is neither too old nor too new, and would pass both limits.
  if (Number.isNaN(timestampMs))
    throw new GatewayError('MANIFEST_INVALID', 'manifest timestamp is not a time');
  const ageMs = nowMs - timestampMs;
  if (ageMs > maxAgeMs) {
    throw new GatewayError(
      'ENVELOPE_TOO_OLD',
      `envelope is of ${formatTimestamp(timestampMs)}, at most ${maxAgeMs / DAY_MS} days of age are accepted`,
    );
  }
  if (-ageMs > maxFutureMs) {
    throw new GatewayError(
      'ENVELOPE_FROM_FUTURE',
      `envelope is of ${formatTimestamp(timestampMs)}, at most ${maxFutureMs / MINUTE_MS} minutes ahead are accepted`,
    );
  }
}
