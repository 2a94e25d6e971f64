/** The newest envelopes at a hub: from whom, for whom, how large, when, and what has become of them. */
import { el } from './dom.js';
import { age, bytes, sentence } from './format.js';
import { chip, copyable, empty, more, rows, stateFilters } from './parts.js';

const STATES = ['waiting', 'parked', 'done', 'expired', 'discarded', 'lost'];

/** State of the whole → what an operator reads; a state that is not listed says itself. */
const WORDS = { done: 'passed on' };
const TONES = { waiting: '', parked: 'bad', done: 'good', expired: 'warn', discarded: 'faint', lost: 'bad' };
const WHY = {
  done: 'Every receiver has it',
  expired: 'Nobody took it in time; it was removed',
  discarded: 'Removed by a person',
  lost: 'Gone from the disk, and not by us',
};

/** `filter` is a state, or undefined for all. */
export function parcels(list, { overview, filter, limit }) {
  const { counts } = overview;
  const total = STATES.reduce((sum, state) => sum + counts[state], 0);
  if (total === 0) {
    return [
      empty('No envelope has come yet.', 'What sites bring is shown here, until its receivers have it.'),
    ];
  }
  return [
    stateFilters({ what: 'envelopes', states: STATES, counts, total, filter, words: WORDS, tones: TONES }),
    list.length === 0
      ? empty(`No envelope is ${WORDS[filter] ?? filter} now.`)
      : rows('parcels', ['From → for', 'Size', 'Now', 'Came'], list.map(parcelRow)),
    more(list, limit, 'parcels'),
  ];
}

function parcelRow(parcel) {
  const { id, senderName, archiveBytes, receivedAtMs } = parcel;
  return el(
    'li',
    { 'data-key': id },
    el(
      'div',
      { class: 'row' },
      el(
        'span',
        { class: 'what' },
        el('strong', {}, `${senderName} → ${receiverNames(parcel)}`),
        copyable(id, 'the envelope id'),
      ),
      el('span', { class: 'size' }, bytes(archiveBytes)),
      el(
        'span',
        { class: 'now' },
        chip(WORDS[parcel.state] ?? parcel.state, TONES[parcel.state]),
        el('span', { class: 'why' }, whyParcel(parcel)),
      ),
      el('span', { class: 'when' }, age(receivedAtMs)),
    ),
  );
}

export function receiverNames({ receivers }) {
  return receivers.map(({ name }) => name).join(', ');
}

/** Those of them who do not have it. */
export function missingNames({ receivers }) {
  return receiverNames({ receivers: receivers.filter(({ state }) => state !== 'taken') });
}

function whyParcel({ state, parked, receivers }) {
  if (parked !== undefined && state === 'parked') return sentence(parked.message);
  if (state !== 'waiting') return WHY[state];
  if (receivers.length === 1) return '';
  return sentence(receivers.map((box) => `${box.name}: ${BOXES[box.state]}`).join(' · '));
}

const BOXES = {
  waiting: 'waits',
  taken: 'has it',
  refused: 'refused it',
  expired: 'did not take it in time',
};
