/** What this bridge sends: one line for each delivery, with its road of four steps. */
import { el } from './dom.js';
import { age, bytes, plural, sentence } from './format.js';
import {
  chip,
  empty,
  lastError,
  more,
  road,
  roadHead,
  rows,
  stateFilters,
  storyButton,
  TONES,
} from './parts.js';
import { priorityChip, sendingBar, waitsForWindow, windowWords } from './sending.js';

export const DELIVERY_STEPS = ['accepted', 'sent', 'acknowledged', 'verified'];
const STATES = [...DELIVERY_STEPS, 'handed-over', 'parked', 'refused'];
const STOPPED = new Set(['parked', 'refused']);

/** `filter` is a state, or undefined for all. */
export function deliveries(list, { counts, filter, limit }) {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  // Pairing tests are shown, and not counted.
  if (total === 0 && list.length === 0) {
    return [
      empty(
        'Nothing has been sent yet.',
        'A study is sent when it is complete and a route of the config fits it. What is on its way is shown here, step by step.',
      ),
    ];
  }
  return [
    stateFilters({ what: 'deliveries', states: STATES, counts, total, filter, tones: TONES }),
    list.length === 0
      ? empty(`No delivery is ${filter} now.`)
      : rows('', ['To', roadHead(DELIVERY_STEPS), 'Now', 'Since'], list.map(deliveryRow)),
    more(list, limit, 'deliveries'),
  ];
}

function deliveryRow(record) {
  return el(
    'li',
    { 'data-key': record.id },
    el(
      'div',
      { class: 'row' },
      el(
        'span',
        { class: 'what' },
        el('span', { class: 'name' }, el('strong', {}, record.peerName), priorityChip(record)),
        el(
          'span',
          { class: 'sub' },
          [record.modalities.join(', '), plural(record.instanceCount, 'instance'), bytes(record.dataSetBytes)]
            .filter((text) => text !== '')
            .join(' · '),
        ),
        record.purpose === undefined ? '' : el('span', { class: 'tag' }, 'pairing test'),
        record.addendumTo === undefined ? '' : el('span', { class: 'tag' }, 'addendum'),
        record.replaces === undefined ? '' : el('span', { class: 'tag' }, 'sent again'),
      ),
      deliveryRoad(record),
      el(
        'span',
        { class: 'now' },
        chip(record.state),
        el('span', { class: 'why' }, whyDelivery(record)),
        sendingBar(record),
      ),
      el(
        'span',
        { class: 'when' },
        age(record.createdAtMs),
        storyButton(`#/deliveries/${record.id}`, `${record.state}, to ${record.peerName}`),
      ),
    ),
  );
}

export function deliveryRoad(record) {
  const isStopped = STOPPED.has(record.state) || record.state === 'handed-over';
  const word = isStopped ? carriageWord(record) : record.state;
  return road(DELIVERY_STEPS, DELIVERY_STEPS.indexOf(word), {
    tone: TONES[record.state],
    moving: !isStopped && !waitsForWindow(record),
    word: record.state,
  });
}

/** Packing and sealing are still "accepted" to whoever waits for the study. */
function carriageWord(record) {
  return DELIVERY_STEPS.includes(record.carriage) ? record.carriage : 'accepted';
}

const CARRIAGE = {
  accepted: 'Safe here; waits to be packed',
  packed: 'Packed; waits to be sealed',
  sealed: 'Sealed; on its way out',
};

/** In a few words: what it waits for. */
export function whyDelivery(record) {
  if (record.state === 'parked') return sentence(record.parked.message);
  if (record.state === 'refused') {
    return record.replacedBy === undefined
      ? sentence(record.refusal?.message ?? '')
      : 'Sent again under another id';
  }
  const isTest = record.purpose !== undefined;
  if (record.state === 'verified')
    return isTest ? 'Test envelope; receipt checked' : 'In their PACS; receipt checked';
  if (record.state === 'handed-over') return 'Handed over; their software sends no receipts';
  if (waitsForWindow(record)) return windowWords(record);
  if (record.lastError !== undefined) return lastError(record.lastError);
  if (record.state === 'sent') return 'The last byte has left; waits for their answer';
  if (record.state === 'acknowledged') {
    const receipt = isTest ? 'the receipt for the test' : 'the receipt from their PACS';
    return record.via === undefined
      ? `Safe there; waits for ${receipt}`
      : `Safe at ${record.via}, where they take it; waits for ${receipt}`;
  }
  return CARRIAGE[record.carriage] ?? '';
}
