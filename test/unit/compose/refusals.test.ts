import { expect, it } from 'vitest';
import { createRefusals } from '../../../src/compose/refusals.js';

const refusal = {
  code: 'USER_UNKNOWN',
  callingAe: 'CT1',
  calledAe: 'DRAWBRIDGE',
  remoteAddress: '10.0.0.5',
  reason: 'the user ct2 is not one of dimse.users',
} as const;

it('a refused association is shown with its reason, and with what can be done about it', () => {
  const refusals = createRefusals();
  refusals.note(refusal, 1);
  expect(refusals.all()).toEqual([
    { ...refusal, advice: expect.stringContaining('dimse.users'), atMs: 1, count: 1 },
  ]);
});

it('the same caller with the same fault counts as one, and the newest stands first', () => {
  const refusals = createRefusals();
  refusals.note(refusal, 1);
  refusals.note({ ...refusal, reason: 'no user name is given, and one is required' }, 2);
  refusals.note(refusal, 3);
  expect(refusals.all().map(({ atMs, count }) => [atMs, count])).toEqual([
    [3, 2],
    [2, 1],
  ]);
});

it('however many names a caller tries, no more than fifty are kept', () => {
  const refusals = createRefusals();
  for (let attempt = 0; attempt < 1000; attempt += 1) {
    refusals.note({ ...refusal, callingAe: `CT${attempt}` }, attempt);
  }
  expect(refusals.all()).toHaveLength(50);
  expect(refusals.all()[0]?.callingAe).toBe('CT999');
});
