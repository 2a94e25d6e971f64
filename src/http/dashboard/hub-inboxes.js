/** One line for each site that a hub serves: what waits for it, since when, and how full its inbox is. */
import { el } from './dom.js';
import { age, bytes, plural } from './format.js';
import { chip, empty, rows } from './parts.js';

/** From here on an inbox counts as nearly full. */
export const NEARLY_FULL = 0.9;

export function inboxes(members) {
  if (members.length === 0) {
    return [
      empty(
        'No site is a member yet.',
        'Add the sites that may exchange envelopes over this hub to peers in drawbridge.yaml, and start it again.',
      ),
    ];
  }
  return [rows('inboxes', ['For', 'Waits', 'Inbox', 'Last taken'], members.map(inboxRow))];
}

function inboxRow(member) {
  return el(
    'li',
    { 'data-key': member.id },
    el(
      'div',
      { class: 'row' },
      el(
        'span',
        { class: 'what' },
        el('strong', {}, member.name),
        el('span', { class: 'sub' }, KINDS[member.kind] ?? member.id),
      ),
      el('span', { class: 'waits' }, ...waiting(member)),
      quota(member),
      el(
        'span',
        { class: 'when' },
        el('span', { class: 'only-narrow' }, 'last taken '),
        member.takenAtMs === undefined ? '–' : age(member.takenAtMs),
      ),
    ),
  );
}

const KINDS = { self: 'this hub: envelopes within envelopes', former: 'no member any more' };

function waiting({ waitingCount, oldestWaitingAtMs, parkedCount }) {
  return [
    waitingCount === 0
      ? el('span', { class: 'sub' }, 'nothing')
      : el('span', {}, plural(waitingCount, 'envelope')),
    waitingCount === 0 ? '' : el('span', { class: 'sub' }, 'the oldest came ', age(oldestWaitingAtMs)),
    parkedCount === 0 ? '' : chip(`${parkedCount.toLocaleString('en')} parked`, 'bad'),
  ];
}

function quota({ heldBytes, quotaBytes, name }) {
  if (quotaBytes === undefined) return el('span', { class: 'quota sub' }, bytes(heldBytes));
  const tone = heldBytes >= NEARLY_FULL * quotaBytes ? 'bad' : '';
  return el(
    'span',
    { class: `quota outcome ${tone}` },
    el('progress', {
      max: quotaBytes,
      value: Math.min(heldBytes, quotaBytes),
      'aria-label': `how full the inbox of ${name} is`,
    }),
    el('span', { class: 'outcome-count' }, `${bytes(heldBytes)} of ${bytes(quotaBytes)}`),
  );
}
