/** What holds a delivery up or pushes it on: its priority, its time window, and how much of it has left. */
import { el } from './dom.js';
import { bytesOf, hour, sentence } from './format.js';
import { chip } from './parts.js';

/** The bridge looks at the clock again after a day at the latest: a window that opens later has its date in words. */
const LOOKS_AGAIN_MS = 24 * 3_600_000 - 60_000;

/** Routine is what nobody has to read. */
export function priorityChip({ priority }) {
  if (priority === 'stat') return chip('STAT', 'urgent');
  return priority === 'low' ? chip('low', 'faint') : '';
}

/** That the window of a peer is closed is what the config wants, and nothing that failed. */
export function waitsForWindow({ lastError, state }) {
  return state !== 'parked' && state !== 'refused' && lastError?.code === 'OUTSIDE_WINDOW';
}

export function windowWords({ lastError }) {
  const { atMs, nextAttemptAtMs, message } = lastError;
  if (nextAttemptAtMs === undefined || nextAttemptAtMs - atMs > LOOKS_AGAIN_MS) return sentence(message);
  return ['Waits for its time window, which opens ', hour(nextAttemptAtMs)];
}

/** How much the far side is known to have, while it does not have all: after a failure it goes on from there. */
export function sendingBar({ carriage, sealed, sentBytes = 0 }) {
  if (carriage !== 'sealed' || sealed === undefined || sentBytes === 0) return '';
  return el(
    'span',
    { class: 'outcome' },
    // The archive is a little larger than the payload.
    el('progress', {
      max: sealed.sizeBytes,
      value: Math.min(sentBytes, sealed.sizeBytes),
      'aria-label': 'has arrived there',
    }),
    el('span', { class: 'outcome-count' }, `${bytesOf(sentBytes, sealed.sizeBytes)} sent`),
  );
}
