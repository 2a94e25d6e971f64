/**
 * When envelopes may go to a peer: `22:00-06:00`, or with days `mon-fri 18:00-07:00`, `sat,sun 00:00-24:00`. Times are
 * those that the clock on the wall shows where this machine stands, and days are those on which a window opens.
 *
 * On the days when the clock is changed, a time that is skipped counts as the moment of the change, and one that comes
 * twice as the first of both.
 */
import { GatewayError } from '../errors/gateway-error.js';

export interface TimeWindow {
  /** Days on which it opens, as `Date.getDay` counts them: 0 is Sunday. */
  readonly days: readonly number[];
  /** Minutes from midnight, 0 to 1439. */
  readonly opensAtMinute: number;
  /** Minutes from the midnight before it opens: above 1440 for one that ends on the next day. */
  readonly closesAtMinute: number;
}

/** Milliseconds since the epoch; `Infinity` for what never closes. */
export type WindowState =
  | { readonly open: true; readonly closesAtMs: number }
  | { readonly open: false; readonly opensAtMs: number };

const DAY_NAMES = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const EVERY_DAY = [0, 1, 2, 3, 4, 5, 6];
const DAY_MINUTES = 24 * 60;
const WINDOW_PATTERN = /^(?:([a-z,-]+) +)?(\d\d):(\d\d)-(\d\d):(\d\d)$/;

/** A window may be skipped by a change of the clock once, but not in the week after as well. */
const HORIZON_DAYS = 15;

export function isTimeWindow(text: string): boolean {
  return readWindow(text) !== undefined;
}

/** @throws CONFIG_INVALID */
export function parseTimeWindow(text: string): TimeWindow {
  const window = readWindow(text);
  if (window !== undefined) return window;
  throw new GatewayError(
    'CONFIG_INVALID',
    `expected a time window as 22:00-06:00 or mon-fri 18:00-07:00, got ${JSON.stringify(text.slice(0, 60))}`,
  );
}

/** Whether any of the windows is open, and until when, or when the next one opens; without windows, it always is. */
export function windowState(windows: readonly TimeWindow[], nowMs: number): WindowState {
  if (windows.length === 0) return { open: true, closesAtMs: Number.POSITIVE_INFINITY };
  const spans = mergedSpans(windows, nowMs);
  const span = spans.find(({ toMs }) => toMs > nowMs);
  if (span === undefined) {
    throw new GatewayError('FAULT', `no time window opens within ${HORIZON_DAYS} days`);
  }
  if (span.fromMs > nowMs) return { open: false, opensAtMs: span.fromMs };
  // What reaches beyond a week has no gap in any week.
  const isEndless = span.toMs >= momentOf(nowMs, HORIZON_DAYS, 0);
  return { open: true, closesAtMs: isEndless ? Number.POSITIVE_INFINITY : span.toMs };
}

interface Span {
  readonly fromMs: number;
  /** Exclusive. */
  readonly toMs: number;
}

/** From yesterday, whose windows may still be open; what touches is one. */
function mergedSpans(windows: readonly TimeWindow[], nowMs: number): readonly Span[] {
  const spans: Span[] = [];
  for (let day = -1; day <= HORIZON_DAYS; day += 1) {
    const weekday = new Date(momentOf(nowMs, day, DAY_MINUTES / 2)).getDay();
    for (const { days, opensAtMinute, closesAtMinute } of windows) {
      if (!days.includes(weekday)) continue;
      const fromMs = momentOf(nowMs, day, opensAtMinute);
      const toMs = momentOf(nowMs, day, closesAtMinute);
      if (fromMs < toMs) spans.push({ fromMs, toMs });
    }
  }
  spans.sort((one, two) => one.fromMs - two.fromMs);
  const merged: Span[] = [];
  for (const span of spans) {
    const last = merged.at(-1);
    if (last === undefined || last.toMs < span.fromMs) merged.push(span);
    else merged[merged.length - 1] = { fromMs: last.fromMs, toMs: Math.max(last.toMs, span.toMs) };
  }
  return merged;
}

/** The first moment at which the clock shows `minute` or more of the day that is `day` days after that of `nowMs`. */
function momentOf(nowMs: number, day: number, minute: number): number {
  const now = new Date(nowMs);
  const at = new Date(now.getFullYear(), now.getMonth(), now.getDate() + day, 0, minute);
  // ECMA-262 §21.4.1.26: of a time that comes twice, Date takes the first; one that is skipped, it moves on by what is
  // skipped.
  const shown = at.getHours() * 60 + at.getMinutes();
  const skipped = shown - (minute % DAY_MINUTES);
  return skipped === 0 ? at.getTime() : changeBefore(at.getTime(), skipped);
}

/** The moment at which the clock was put forward by `skippedMinutes`, no longer than that before `afterMs`. */
function changeBefore(afterMs: number, skippedMinutes: number): number {
  const offset = new Date(afterMs).getTimezoneOffset();
  let before = afterMs - ((skippedMinutes + DAY_MINUTES) % DAY_MINUTES) * 60_000;
  let after = afterMs;
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (new Date(middle).getTimezoneOffset() === offset) after = middle;
    else before = middle;
  }
  return after;
}

function readWindow(text: string): TimeWindow | undefined {
  const match = WINDOW_PATTERN.exec(text.trim().toLowerCase());
  if (match === null) return undefined;
  const [, dayText, fromHour, fromMinute, toHour, toMinute] = match;
  const days = dayText === undefined ? EVERY_DAY : readDays(dayText);
  const opens = readTime(fromHour, fromMinute);
  const closes = readTime(toHour, toMinute);
  if (days === undefined || opens === undefined || closes === undefined) return undefined;
  // Nobody can say whether 22:00-22:00 is a day or nothing; a whole day is 00:00-24:00.
  if (opens === DAY_MINUTES || opens === closes) return undefined;
  const closesAtMinute = closes > opens ? closes : closes + DAY_MINUTES;
  return { days, opensAtMinute: opens, closesAtMinute };
}

function readTime(hour = '', minute = ''): number | undefined {
  const minutes = Number(hour) * 60 + Number(minute);
  return Number(minute) < 60 && minutes <= DAY_MINUTES ? minutes : undefined;
}

/** `mon-fri`, `sat,sun`, `fri-mon,wed`. */
function readDays(text: string): readonly number[] | undefined {
  const days = new Set<number>();
  for (const part of text.split(',')) {
    const ends = part.split('-').map((name) => DAY_NAMES.indexOf(name));
    const [first = -1, last = first] = ends;
    if (ends.length > 2 || first < 0 || last < 0) return undefined;
    for (let day = first; ; day = (day + 1) % 7) {
      days.add(day);
      if (day === last) break;
    }
  }
  return [...days].sort();
}
