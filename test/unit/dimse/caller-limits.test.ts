import { expect, it } from 'vitest';
import { createCallerLimits } from '../../../src/dimse/caller-limits.js';

const idle = new AbortController().signal;

it('one association too many in a minute is refused, of that host alone, and time makes room again', () => {
  let nowMs = 0;
  const limits = createCallerLimits({ associationsPerMinute: 3 }, () => nowMs);
  const three = () => [1, 2, 3].map(() => limits.admits('10.0.0.1'));
  expect(three()).toEqual(['admitted', 'admitted', 'admitted']);
  expect(limits.admits('10.0.0.1')).toBe('refused');
  expect(limits.admits('10.0.0.2')).toBe('admitted');
  nowMs = 19_000;
  expect(limits.admits('10.0.0.1')).toBe('refused-again');
  nowMs = 20_000;
  expect([limits.admits('10.0.0.1'), limits.admits('10.0.0.1')]).toEqual(['admitted', 'refused-again']);
  nowMs = 200_000;
  expect([...three(), limits.admits('10.0.0.1')]).toEqual(['admitted', 'admitted', 'admitted', 'refused']);
});

it('what is refused does not count: who keeps asking is let in as soon as who waits', () => {
  let nowMs = 0;
  const limits = createCallerLimits({ associationsPerMinute: 1 }, () => nowMs);
  expect(limits.admits('a')).toBe('admitted');
  expect(limits.admits('a')).toBe('refused');
  for (nowMs = 1000; nowMs < 60_000; nowMs += 1000) expect(limits.admits('a')).toBe('refused-again');
  nowMs = 60_000;
  expect(limits.admits('a')).toBe('admitted');
});

it('of very many hosts only the latest are remembered', () => {
  const limits = createCallerLimits({ associationsPerMinute: 1 }, () => 0);
  expect([limits.admits('first'), limits.admits('first')]).toEqual(['admitted', 'refused']);
  for (let host = 0; host < 4096; host += 1) limits.admits(`host ${host}`);
  expect(limits.admits('host 4095')).toBe('refused');
  expect(limits.admits('first')).toBe('admitted');
});

it('without limits nothing is refused and nothing waits', () => {
  const limits = createCallerLimits({}, () => 0);
  expect(limits.admits('a')).toBe('admitted');
  expect(limits.pace('a', 1e12, idle)).toBeUndefined();
});

it('a second’s worth of bytes may come at once; what comes beyond waits, for all associations of the host', async () => {
  let nowMs = 0;
  const limits = createCallerLimits({ bytesPerSecond: 1000 }, () => nowMs);
  expect(limits.pace('a', 1000, idle)).toBeUndefined();
  const gone = new AbortController();
  const waits = [limits.pace('a', 50_000, gone.signal), limits.pace('a', 1, gone.signal)];
  expect(waits.every((wait) => wait instanceof Promise)).toBe(true);
  expect(limits.pace('b', 1000, idle)).toBeUndefined();
  gone.abort();
  const ended = await Promise.allSettled(waits);
  expect(ended.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  nowMs = 51_001;
  expect(limits.pace('a', 0, idle)).toBeUndefined();
});
