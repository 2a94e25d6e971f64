/** The whole state matrix of a parcel: which event is legal in which state, written out. */
import { describe, expect, it } from 'vitest';
import { parseEnvelopeId } from '../../../src/domain/envelope-id.js';
import {
  advanceParcel,
  CLAIM_MS,
  isWanted,
  occupies,
  type Parcel,
  type ParcelEvent,
  type ParcelState,
  parcelState,
} from '../../../src/domain/parcel.js';

const START: Parcel = {
  id: parseEnvelopeId('3f0c2b0e-8a53-4d0e-9f4e-0d3c5d9a7b11'),
  revision: 1,
  senderId: 'a',
  manifestSha256: 'ab'.repeat(32),
  archiveBytes: 10,
  receivedAtMs: 1,
  boxes: { b: { state: 'waiting', atMs: 1 } },
};
const EVENTS = {
  taken: { type: 'taken', receiverId: 'b' },
  refused: { type: 'refused', receiverId: 'b' },
  expired: { type: 'expired', receiverId: 'b' },
  claimed: { type: 'claimed', receiverId: 'b', by: 'one' },
  takenByNobody: { type: 'taken', receiverId: 'z' },
  retried: { type: 'retried' },
  removedDone: { type: 'removed', why: 'done' },
  removedExpired: { type: 'removed', why: 'expired' },
  removedDiscarded: { type: 'removed', why: 'discarded' },
  removedLost: { type: 'removed', why: 'lost' },
  restored: { type: 'restored', archiveBytes: 20 },
} as const satisfies Record<string, ParcelEvent>;
type EventName = keyof typeof EVENTS;

const through = (...names: EventName[]) =>
  names.reduce((parcel, name) => advanceParcel(parcel, EVENTS[name], 5), START);
const OUT_OF_HAND: readonly EventName[] = ['removedDiscarded', 'removedLost'];

/** name → the parcel, the word that is shown, and every legal event */
const STATES: Readonly<Record<string, readonly [Parcel, ParcelState, readonly EventName[]]>> = {
  waiting: [START, 'waiting', ['claimed', 'taken', 'refused', 'expired', ...OUT_OF_HAND]],
  claimed: [through('claimed'), 'waiting', ['claimed', 'taken', 'refused', 'expired', ...OUT_OF_HAND]],
  taken: [through('taken'), 'done', ['removedDone', 'removedExpired', ...OUT_OF_HAND]],
  refused: [through('refused'), 'parked', ['retried', 'removedExpired', ...OUT_OF_HAND]],
  // Whoever began to take it in time may still end that.
  expired: [through('expired'), 'parked', ['taken', 'refused', 'retried', 'removedExpired', ...OUT_OF_HAND]],
  retried: [
    through('expired', 'retried'),
    'waiting',
    ['claimed', 'taken', 'refused', 'expired', ...OUT_OF_HAND],
  ],
  done: [through('taken', 'removedDone'), 'done', []],
  removed: [through('expired', 'removedExpired'), 'expired', ['restored']],
  discarded: [through('removedDiscarded'), 'discarded', ['restored']],
  lost: [through('removedLost'), 'lost', ['restored']],
  'lost when all had it': [through('taken', 'removedLost'), 'lost', []],
  restored: [
    through('removedLost', 'restored'),
    'waiting',
    ['claimed', 'taken', 'refused', 'expired', ...OUT_OF_HAND],
  ],
};

describe.each(Object.keys(STATES))('a parcel that is %s', (name) => {
  const [parcel, state, legal] = STATES[name] ?? [START, 'waiting', []];

  it.each(Object.keys(EVENTS) as EventName[])('and the event %s', (event) => {
    const advance = () => advanceParcel(parcel, EVENTS[event], 9);
    if (legal.includes(event)) expect(advance).not.toThrow();
    else expect(advance).toThrow(expect.objectContaining({ code: 'FAULT' }));
  });

  it('is shown as such', () => {
    expect(parcelState(parcel)).toBe(state);
  });
});

it('waits while one receiver of several has not taken it, and is parked when only the parked are left', () => {
  const both: Parcel = { ...START, boxes: { ...START.boxes, c: { state: 'waiting', atMs: 1 } } };
  const half = advanceParcel(both, EVENTS.taken, 5);
  expect(parcelState(half)).toBe('waiting');
  expect([occupies(half, 'b'), occupies(half, 'c'), occupies(half, 'z')]).toEqual([false, true, false]);
  const parked = advanceParcel(half, { type: 'expired', receiverId: 'c' }, 6);
  expect(parcelState(parked)).toBe('parked');
  expect(occupies(parked, 'c')).toBe(true);
  expect(parcelState(advanceParcel(parked, { type: 'taken', receiverId: 'c' }, 7))).toBe('done');
});

it('a retry gives new time to what was parked, and to nothing else', () => {
  const both: Parcel = {
    ...START,
    boxes: { b: { state: 'refused', atMs: 2, code: 'QUOTA_EXCEEDED' }, c: { state: 'waiting', atMs: 1 } },
  };
  expect(advanceParcel(both, EVENTS.retried, 9).boxes).toEqual({
    b: { state: 'waiting', atMs: 9 },
    c: { state: 'waiting', atMs: 1 },
  });
});

it('what comes back after it was lost waits for those who had not taken it, with its new size', () => {
  const both: Parcel = { ...START, boxes: { ...START.boxes, c: { state: 'taken', atMs: 2 } } };
  const lost = advanceParcel(both, EVENTS.removedLost, 5);
  expect(isWanted(lost)).toBe(true);
  const restored = advanceParcel(lost, EVENTS.restored, 9);
  expect(restored).toEqual({
    ...both,
    archiveBytes: 20,
    boxes: { b: { state: 'waiting', atMs: 9 }, c: { state: 'taken', atMs: 2 } },
  });
  expect(isWanted(restored)).toBe(false);
});

describe('a claim', () => {
  const claimed = advanceParcel(START, { type: 'claimed', receiverId: 'b', by: 'one' }, 5);
  const byAnother = { type: 'claimed', receiverId: 'b', by: 'two' } as const;

  it('keeps other bridges off for a day, and no longer', () => {
    expect(() => advanceParcel(claimed, byAnother, 5 + CLAIM_MS - 1)).toThrow(
      expect.objectContaining({ code: 'FAULT' }),
    );
    expect(advanceParcel(claimed, byAnother, 5 + CLAIM_MS).boxes['b']?.claim?.by).toBe('two');
  });

  it('ends with what it was for', () => {
    expect(advanceParcel(claimed, EVENTS.taken, 6).boxes['b']?.claim).toBeUndefined();
    expect(through('claimed', 'expired', 'retried').boxes['b']?.claim).toBeUndefined();
  });
});
