import { describe, expect, it } from 'vitest';
import { CODES, type ErrorCode } from '../../../src/errors/codes.js';
import { GatewayError } from '../../../src/errors/gateway-error.js';
import { type FailedJob, outcomeOf } from '../../../src/queue/outcome.js';
import { POLICIES, waitMs } from '../../../src/queue/policy.js';

const NOW_MS = 1_800_000_000_000;
const POLICY = POLICIES.ship;
const DAY_MS = 24 * 60 * 60 * 1_000;

const job = (changes: Partial<FailedJob> = {}): FailedJob => ({
  id: 'ship.e1',
  data: { id: 'e1' },
  attemptsMade: 0,
  opts: { attempts: 3 },
  timestamp: NOW_MS,
  ...changes,
});
const busy = (retryAfterMs: number): GatewayError =>
  new GatewayError('PEER_BUSY', 'peer answered 503', { facts: { retryAfterMs } });

describe('outcome', () => {
  it.each(Object.keys(CODES) as ErrorCode[])('%s: its kind decides', (code) => {
    const { kind } = CODES[code];
    const retried = kind === 'transient' || kind === 'ambiguous';
    expect(outcomeOf(new GatewayError(code, 'x'), job(), POLICY, NOW_MS).type).toBe(
      retried ? 'retry' : 'given-up',
    );
  });

  it('last attempt: given up', () => {
    const error = new GatewayError('PEER_UNREACHABLE', 'x');
    expect(outcomeOf(error, job({ attemptsMade: 1 }), POLICY, NOW_MS).type).toBe('retry');
    expect(outcomeOf(error, job({ attemptsMade: 2 }), POLICY, NOW_MS).type).toBe('given-up');
    expect(outcomeOf(error, job({ opts: {} }), POLICY, NOW_MS).type).toBe('given-up');
  });

  it('retry: names the time that the queue keeps', () => {
    const error = new GatewayError('PEER_UNREACHABLE', 'x');
    const atMs = NOW_MS + waitMs(POLICY, 2, 'ship.e1');
    expect(outcomeOf(error, job({ attemptsMade: 1 }), POLICY, NOW_MS)).toEqual({
      type: 'retry',
      error,
      atMs,
    });
  });

  it('asked to come back later: obeys, even after the last attempt', () => {
    const error = busy(90_000);
    const expected = { type: 'postponed', error, atMs: NOW_MS + 90_000 };
    expect(outcomeOf(error, job(), POLICY, NOW_MS)).toEqual(expected);
    expect(outcomeOf(error, job({ attemptsMade: 2 }), POLICY, NOW_MS)).toEqual(expected);
  });

  it('asked to come back in a year: comes back after a day', () => {
    expect(outcomeOf(busy(365 * DAY_MS), job(), POLICY, NOW_MS)).toMatchObject({ atMs: NOW_MS + DAY_MS });
  });

  it('put off again and again for days: given up', () => {
    const old = job({ timestamp: NOW_MS - 3 * DAY_MS });
    expect(outcomeOf(busy(1_000), old, POLICY, NOW_MS).type).toBe('given-up');
  });

  it('outside its window for weeks: put off all the same, and nobody’s patience is used', () => {
    const error = new GatewayError('OUTSIDE_WINDOW', 'x', { facts: { retryAfterMs: 60_000 } });
    const old = job({ timestamp: NOW_MS - 30 * DAY_MS });
    const atMs = NOW_MS + 60_000;
    expect(outcomeOf(error, old, POLICY, NOW_MS)).toEqual({
      type: 'postponed',
      error,
      atMs,
      patientSinceMs: atMs,
    });
  });

  it('busy when its window opens at last: patience begins there', () => {
    const opened = (atMs: number) =>
      job({ timestamp: NOW_MS - 30 * DAY_MS, data: { id: 'e1', patientSinceMs: atMs } });
    expect(outcomeOf(busy(1_000), opened(NOW_MS), POLICY, NOW_MS).type).toBe('postponed');
    expect(outcomeOf(busy(1_000), opened(NOW_MS - 3 * DAY_MS), POLICY, NOW_MS).type).toBe('given-up');
  });

  it.each([-1, Number.NaN])('senseless wait %d: an ordinary retry', (retryAfterMs) => {
    expect(outcomeOf(busy(retryAfterMs), job(), POLICY, NOW_MS).type).toBe('retry');
  });

  it('a wait asked for by a refusal: still a refusal', () => {
    const error = new GatewayError('PEER_REFUSED', 'x', { facts: { retryAfterMs: 1_000 } });
    expect(outcomeOf(error, job(), POLICY, NOW_MS).type).toBe('given-up');
  });

  it.each([new TypeError('x'), 'a string', undefined])('unknown error %s: a fault', (raw) => {
    expect(outcomeOf(raw, job(), POLICY, NOW_MS)).toMatchObject({
      type: 'given-up',
      error: { code: 'FAULT' },
    });
  });

  it('an error that BullMQ made for a process that is gone: cut short, tried again', () => {
    const raw = new Error('Unexpected exit code: 137 signal: SIGKILL');
    expect(outcomeOf(raw, job(), POLICY, NOW_MS, 'sandbox')).toMatchObject({
      type: 'retry',
      error: { code: 'CANCELLED' },
    });
  });

  it('an error that crossed from the sandbox: read by its properties', () => {
    const sent = JSON.parse(JSON.stringify({ ...busy(5_000), message: 'peer answered 503', stack: '…' }));
    const crossed = Object.assign(new Error(), sent);
    expect(outcomeOf(crossed, job(), POLICY, NOW_MS, 'sandbox')).toMatchObject({
      type: 'postponed',
      error: { code: 'PEER_BUSY', facts: { retryAfterMs: 5_000 } },
    });
  });
});
