import { describe, expect, it } from 'vitest';
import { STAGES } from '../../../src/queue/jobs.js';
import { attemptsWithin, POLICIES, waitMs } from '../../../src/queue/policy.js';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

describe('policy', () => {
  it.each(STAGES)('%s: comes back within 20 minutes, and gives up after days', (stage) => {
    const policy = POLICIES[stage];
    let totalMs = 0;
    for (let attempt = 1; attempt < policy.attempts; attempt += 1) {
      const wait = waitMs(policy, attempt, 'ship.e1');
      expect(wait).toBeLessThanOrEqual(20 * MINUTE_MS);
      totalMs += wait;
    }
    expect(totalMs).toBeGreaterThan(1.5 * DAY_MS);
  });

  it('ship: waits 5 s, then twice as long each time, up to 15 minutes, for about three days', () => {
    const nominal = [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 640_000, 900_000, 900_000];
    nominal.forEach((expected, index) => {
      const wait = waitMs(POLICIES.ship, index + 1, 'ship.e1');
      expect(wait).toBeGreaterThanOrEqual(expected * 0.8);
      expect(wait).toBeLessThanOrEqual(expected * 1.2);
    });
    expect(POLICIES.ship.attempts).toBeGreaterThan(280);
    expect(POLICIES.ship.attempts).toBeLessThan(310);
  });

  it('the same job and attempt always wait the same time, others another one', () => {
    expect(waitMs(POLICIES.ship, 3, 'ship.e1')).toBe(waitMs(POLICIES.ship, 3, 'ship.e1'));
    const waits = new Set(
      Array.from({ length: 50 }, (_, index) => waitMs(POLICIES.ship, 9, `ship.e${index}`)),
    );
    expect(waits.size).toBeGreaterThan(45);
  });

  it('the thousandth attempt waits no longer than the longest wait', () => {
    expect(waitMs(POLICIES.ship, 1_000, 'ship.e1')).toBeLessThanOrEqual(15 * 1.2 * MINUTE_MS);
  });

  it('no patience means one attempt', () => {
    expect(attemptsWithin(POLICIES.ship, 0)).toBe(1);
    expect(attemptsWithin(POLICIES.ship, 1)).toBe(2);
  });

  it('what computes or reads a stranger’s bytes runs in a process of its own', () => {
    expect(STAGES.filter((stage) => POLICIES[stage].sandboxed)).toEqual(['pack', 'seal', 'open', 'verify']);
  });

  it('what computes runs twice side by side, and once more for an urgent study', () => {
    for (const stage of ['pack', 'seal', 'open', 'verify'] as const) {
      expect(POLICIES[stage]).toMatchObject({ concurrency: 3, perLane: 2 });
    }
  });

  it('what talks to peers leaves places for other peers', () => {
    for (const stage of ['ship', 'receipt', 'fetch', 'deliver', 'confirm'] as const) {
      expect(POLICIES[stage].perLane).toBeLessThan(POLICIES[stage].concurrency / 2);
    }
  });
});
