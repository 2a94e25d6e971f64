import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  isTimeWindow,
  parseTimeWindow,
  type TimeWindow,
  windowState,
} from '../../../src/domain/time-window.js';
import { GatewayError } from '../../../src/errors/gateway-error.js';

const ENDLESS = { open: true, closesAtMs: Number.POSITIVE_INFINITY };
const DAY_MS = 86_400_000;

const windows = (...texts: string[]) => texts.map(parseTimeWindow);
const opens = (iso: string) => ({ open: false, opensAtMs: Date.parse(iso) });
const closes = (iso: string) => ({ open: true, closesAtMs: Date.parse(iso) });

/** Runs the tests of `body` as if the machine stood there. */
function standingIn(zone: string, body: () => void): void {
  describe(`in ${zone}`, () => {
    let before: string | undefined;
    beforeAll(() => {
      before = process.env['TZ'];
      process.env['TZ'] = zone;
    });
    afterAll(() => {
      if (before === undefined) delete process.env['TZ'];
      else process.env['TZ'] = before;
    });
    body();
  });
}

describe('a time window', () => {
  it.each([
    '',
    '22:00',
    '22-06',
    '2:00-6:00',
    '22:00 - 06:00',
    '22:60-23:00',
    '25:00-26:00',
    '24:00-06:00',
    '10:00-24:01',
    '22:00-22:00',
    '00:00-00:00',
    'mon',
    'monday 08:00-09:00',
    'mon-tue-wed 08:00-09:00',
    'mon, 08:00-09:00',
    ',mon 08:00-09:00',
    '-fri 08:00-09:00',
    'mon08:00-09:00',
    '22:00-06:00 mon',
    '22:00-06:00\n23:00-24:00',
  ])('%j is refused', (text) => {
    expect(isTimeWindow(text)).toBe(false);
    expect(() => parseTimeWindow(text)).toThrow(GatewayError);
  });

  it.each([
    ['22:00-06:00', [0, 1, 2, 3, 4, 5, 6], 22 * 60, 30 * 60],
    ['00:00-24:00', [0, 1, 2, 3, 4, 5, 6], 0, 24 * 60],
    ['18:00-00:00', [0, 1, 2, 3, 4, 5, 6], 18 * 60, 24 * 60],
    ['mon-fri 18:00-07:00', [1, 2, 3, 4, 5], 18 * 60, 31 * 60],
    ['sat,sun 00:00-24:00', [0, 6], 0, 24 * 60],
    ['fri-mon,wed 12:30-12:31', [0, 1, 3, 5, 6], 750, 751],
    ['Tue  01:02-03:04', [2], 62, 184],
  ] as const)('%j is read', (text, days, opensAtMinute, closesAtMinute) => {
    expect(isTimeWindow(text)).toBe(true);
    expect(parseTimeWindow(text)).toEqual({ days, opensAtMinute, closesAtMinute });
  });

  it('that is not given is always open', () => {
    expect(windowState([], Date.now())).toEqual(ENDLESS);
  });
});

standingIn('Europe/Berlin', () => {
  it('the machine stands there', () => {
    expect(new Date('2026-07-01T12:00:00Z').getHours()).toBe(14);
    expect(new Date('2026-12-01T12:00:00Z').getHours()).toBe(13);
  });

  it('a window over midnight is open on both sides of it', () => {
    const night = windows('22:00-06:00');
    expect(windowState(night, Date.parse('2026-11-21T21:59:59.999+01:00'))).toEqual(
      opens('2026-11-21T22:00+01:00'),
    );
    expect(windowState(night, Date.parse('2026-11-21T22:00+01:00'))).toEqual(
      closes('2026-11-22T06:00+01:00'),
    );
    expect(windowState(night, Date.parse('2026-11-22T05:59:59.999+01:00'))).toEqual(
      closes('2026-11-22T06:00+01:00'),
    );
    expect(windowState(night, Date.parse('2026-11-22T06:00+01:00'))).toEqual(opens('2026-11-22T22:00+01:00'));
  });

  it('days are those on which a window opens', () => {
    const weekdays = windows('mon-fri 18:00-07:00');
    // 2026-11-21 is a Saturday.
    expect(windowState(weekdays, Date.parse('2026-11-21T06:00+01:00'))).toEqual(
      closes('2026-11-21T07:00+01:00'),
    );
    expect(windowState(weekdays, Date.parse('2026-11-21T20:00+01:00'))).toEqual(
      opens('2026-11-23T18:00+01:00'),
    );
    expect(windowState(weekdays, Date.parse('2026-11-23T06:00+01:00'))).toEqual(
      opens('2026-11-23T18:00+01:00'),
    );
  });

  it('windows that touch or overlap are one', () => {
    const touching = windows('20:00-22:00', '22:00-01:00', '00:30-03:00');
    expect(windowState(touching, Date.parse('2026-11-21T20:30+01:00'))).toEqual(
      closes('2026-11-22T03:00+01:00'),
    );
    const weekend = windows('sat,sun 00:00-24:00', 'mon-fri 18:00-07:00');
    expect(windowState(weekend, Date.parse('2026-11-20T19:00+01:00'))).toEqual(
      closes('2026-11-23T00:00+01:00'),
    );
  });

  it('windows that leave no gap never close', () => {
    const nowMs = Date.parse('2026-11-21T20:30+01:00');
    expect(windowState(windows('00:00-24:00'), nowMs)).toEqual(ENDLESS);
    expect(windowState(windows('06:00-18:00', '18:00-06:00'), nowMs)).toEqual(ENDLESS);
    expect(windowState(windows('mon-sat 00:00-24:00'), nowMs)).toEqual(closes('2026-11-22T00:00+01:00'));
  });

  it('a night is an hour shorter when the clock is put forward, an hour longer when it is put back', () => {
    const night = windows('22:00-06:00');
    expect(windowState(night, Date.parse('2026-03-28T23:00+01:00'))).toEqual(
      closes('2026-03-29T06:00+02:00'),
    );
    expect(windowState(night, Date.parse('2026-10-24T23:00+02:00'))).toEqual(
      closes('2026-10-25T06:00+01:00'),
    );
  });

  it('a time that is skipped is the moment of the change', () => {
    const change = '2026-03-29T03:00+02:00';
    const evening = Date.parse('2026-03-29T00:00+01:00');
    expect(windowState(windows('02:30-04:00'), evening)).toEqual(opens(change));
    expect(windowState(windows('01:00-02:30'), Date.parse('2026-03-29T01:30+01:00'))).toEqual(closes(change));
    // Skipped as a whole: the next one is that of the next day.
    expect(windowState(windows('02:10-02:50'), evening)).toEqual(opens('2026-03-30T02:10+02:00'));
    expect(windowState(windows('sun 02:00-03:00'), evening)).toEqual(opens('2026-04-05T02:00+02:00'));
  });

  it('a time that comes twice is the first of both', () => {
    const late = Date.parse('2026-10-25T01:00+02:00');
    expect(windowState(windows('02:30-04:00'), late)).toEqual(opens('2026-10-25T02:30+02:00'));
    expect(windowState(windows('00:00-02:30'), late)).toEqual(closes('2026-10-25T02:30+02:00'));
  });
});

standingIn('America/Santiago', () => {
  it('a midnight that is skipped is the moment of the change', () => {
    // 2026-09-06 begins with 01:00.
    const state = windowState(windows('sun 00:00-06:00'), Date.parse('2026-09-05T12:00-04:00'));
    expect(state).toEqual(opens('2026-09-06T01:00-03:00'));
  });
});

for (const zone of ['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kolkata']) {
  standingIn(zone, () => {
    const startMs = Date.parse('2026-01-01T00:00Z');
    const moments = fc.integer({ min: startMs, max: startMs + 2 * 365 * DAY_MS });
    const times = fc.integer({ min: 0, max: 24 * 60 - 1 });
    const choice = fc
      .record({
        days: fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 1 }),
        opensAtMinute: times,
        length: fc.integer({ min: 1, max: 24 * 60 }),
      })
      .map(
        ({ days, opensAtMinute, length }): TimeWindow => ({
          days,
          opensAtMinute,
          closesAtMinute: opensAtMinute + length,
        }),
      );
    const some = fc.array(choice, { minLength: 1, maxLength: 3 });

    it('what is said to open or close at a moment does so then, and not before', () => {
      fc.assert(
        fc.property(some, moments, (chosen, nowMs) => {
          const state = windowState(chosen, nowMs);
          const changesAtMs = state.open ? state.closesAtMs : state.opensAtMs;
          if (changesAtMs === Number.POSITIVE_INFINITY) return;
          expect(changesAtMs).toBeGreaterThan(nowMs);
          expect(windowState(chosen, changesAtMs).open).toBe(!state.open);
          expect(windowState(chosen, changesAtMs - 1).open).toBe(state.open);
        }),
        { numRuns: 300 },
      );
    });

    it('is open when the clock on the wall says so', () => {
      fc.assert(
        fc.property(some, moments, (chosen, nowMs) => {
          fc.pre(!isPutBackAround(nowMs));
          expect(windowState(chosen, nowMs).open).toBe(
            chosen.some((window) => shows(window, new Date(nowMs))),
          );
        }),
        { numRuns: 300 },
      );
    });
  });
}

/** By the face of the clock alone. */
function shows({ days, opensAtMinute, closesAtMinute }: TimeWindow, now: Date): boolean {
  const minute = now.getHours() * 60 + now.getMinutes();
  const [today, yesterday] = [now.getDay(), (now.getDay() + 6) % 7];
  const since = (day: number, at: number) => days.includes(day) && at >= opensAtMinute && at < closesAtMinute;
  return since(today, minute) || since(yesterday, minute + 24 * 60);
}

/** Within a day of a change after which the clock shows times for the second time. */
function isPutBackAround(nowMs: number): boolean {
  const [before, after] = [new Date(nowMs - DAY_MS), new Date(nowMs + DAY_MS)];
  return after.getTimezoneOffset() > before.getTimezoneOffset();
}
