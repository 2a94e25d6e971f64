/** Numbers and times as people read them. Times are the bridge's, whatever the clock of this computer says. */
import { el } from './dom.js';

let offsetMs = 0;

/** Tells what time it is at the bridge. */
export function setClock(nowMs) {
  offsetMs = nowMs - Date.now();
}

export function now() {
  return Date.now() + offsetMs;
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

export function bytes(count) {
  const power = count < 1000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(count) / 3));
  const value = count / 1000 ** power;
  return `${value.toFixed(power === 0 || value >= 100 ? 0 : 1)} ${UNITS[power]}`;
}

/** `14.2 of 21.4 MB`; both in the unit of the whole. */
export function bytesOf(part, whole) {
  const [, unit] = bytes(whole).split(' ');
  const value = part / 1000 ** UNITS.indexOf(unit);
  return `${value.toFixed(unit === 'B' ? 0 : 1)} of ${bytes(whole)}`;
}

/** `1 instance`, `2,048 instances`. */
export function plural(count, noun) {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}

/** Messages of the bridge are lower case: here they stand as sentences. */
export function sentence(text) {
  return text === '' ? '' : `${text[0].toUpperCase()}${text.slice(1)}`;
}

const SPANS = [
  [60, 1, 's'],
  [3600, 60, 'min'],
  [172_800, 3600, 'h'],
  [Number.POSITIVE_INFINITY, 86_400, 'days'],
];

/** `12 s`, `3 min`, `47 h`, `3 days`. */
export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const [, unit, name] = SPANS.find(([limit]) => seconds < limit);
  return `${Math.floor(seconds / unit)} ${name}`;
}

function relative(atMs) {
  const distance = atMs - now();
  if (Math.abs(distance) < 1500) return 'now';
  return distance > 0 ? `in ${span(distance)}` : `${span(-distance)} ago`;
}

/** How long ago, or how soon; the exact time on hover. Grows by itself through `tick`. */
export function age(atMs) {
  const date = new Date(atMs);
  return el(
    'time',
    { 'data-at': atMs, datetime: date.toISOString(), title: date.toLocaleString() },
    relative(atMs),
  );
}

/** The exact time, with the day when it was not today. */
export function clockTime(atMs) {
  const date = new Date(atMs);
  const isToday = date.toDateString() === new Date(now()).toDateString();
  return el(
    'time',
    { datetime: date.toISOString(), title: date.toLocaleString() },
    isToday
      ? date.toLocaleTimeString()
      : date.toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' }),
  );
}

/** `22:00`, as the config writes it; the whole time on hover. For what is less than a day away. */
export function hour(atMs) {
  const date = new Date(atMs);
  return el(
    'time',
    { datetime: date.toISOString(), title: date.toLocaleString() },
    date.toLocaleTimeString('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }),
  );
}

/** Brings all ages on the page up to now. */
export function tick() {
  for (const element of document.querySelectorAll('time[data-at]')) {
    const text = relative(Number(element.dataset.at));
    if (element.textContent !== text) element.textContent = text;
  }
}
