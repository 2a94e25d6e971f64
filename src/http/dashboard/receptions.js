/** What this bridge receives: one line for each envelope, with what each PACS has of it. */
import { el } from './dom.js';
import { age, bytes, plural, sentence } from './format.js';
import {
  actionButton,
  chip,
  empty,
  lastError,
  more,
  road,
  roadHead,
  rows,
  storyButton,
  TONES,
} from './parts.js';

export const RECEPTION_STEPS = ['received', 'opened', 'verified', 'delivered', 'confirmed'];
const STOPPED = new Set(['parked', 'refused', 'dismissed', 'quarantined']);

export function receptions(list, { limit, exchanges }) {
  if (list.length === 0) {
    return [
      empty(
        'Nothing has been received yet.',
        exchanges.length === 0
          ? 'Partners send to the API port of this bridge, once their certificate and their signing key are pinned in the config.'
          : `What partners leave at ${exchanges.map(({ name }) => name).join(' or ')} is fetched by itself, and shown here.`,
      ),
    ];
  }
  return [
    rows('', ['From', roadHead(RECEPTION_STEPS), 'Now', 'Since'], list.map(receptionRow)),
    more(list, limit, 'receptions'),
  ];
}

function receptionRow(record) {
  return el(
    'li',
    { 'data-key': record.id },
    el(
      'div',
      { class: 'row' },
      el(
        'span',
        { class: 'what' },
        el('strong', {}, record.senderName),
        el(
          'span',
          { class: 'sub' },
          [
            (record.modalities ?? []).join(', '),
            record.instanceCount === undefined ? '' : plural(record.instanceCount, 'instance'),
            bytes(record.sizeBytes),
          ]
            .filter((text) => text !== '')
            .join(' · '),
        ),
        record.purpose === undefined ? '' : el('span', { class: 'tag' }, 'pairing test'),
        record.receiptFor === undefined ? '' : el('span', { class: 'tag' }, 'receipt'),
      ),
      receptionRoad(record),
      el('span', { class: 'now' }, receptionChip(record.state), whyReception(record)),
      el(
        'span',
        { class: 'when' },
        age(record.receivedAtMs),
        storyButton(
          `#/receptions/${record.id}`,
          `${record.receiptFor === undefined ? '' : 'receipt, '}${record.state}, from ${record.senderName}`,
        ),
      ),
    ),
  );
}

export function receptionRoad(record) {
  // A receipt goes no further than that: there is nothing in it for a PACS.
  const reached = record.receiptFor === undefined ? record.progress : 'opened';
  return road(RECEPTION_STEPS, RECEPTION_STEPS.indexOf(reached), {
    tone: TONES[record.state] === 'bad' || record.state === 'confirmed' ? TONES[record.state] : '',
    moving: !STOPPED.has(record.state),
    word: record.state,
  });
}

/** What is verified here is not at its PACS yet, as a verified delivery is: no green for it. */
export function receptionChip(state) {
  return chip(state, state === 'verified' ? '' : TONES[state]);
}

/** For what a PACS refused, and a person has dealt with. */
export function dismissButton({ id, senderName }, busy) {
  return actionButton({
    text: 'Dismiss',
    label: `Dismiss the refusal of what came from ${senderName}`,
    path: `/api/receptions/${id}/dismiss`,
    done: `What came from ${senderName} needs no attention any more.`,
    busy,
    kind: 'secondary',
    question: {
      ask: 'Has it been dealt with?',
      because:
        'Say so when the PACS has the instances after all, or needs them no more. Nothing is sent again; they are kept here as long as what was delivered, and Retry stays in the story until then.',
      yes: 'Dismiss it',
    },
  });
}

const PROGRESS = {
  received: 'Durable here; waits to be opened',
  opened: 'Seal and signature hold; every instance is being checked',
  delivered: 'In the PACS; the receipt is on its way to the sender',
  confirmed: 'In the PACS; the sender has the receipt',
};

const TEST_PROGRESS = {
  ...PROGRESS,
  delivered: 'Test envelope; the receipt is on its way to the sender',
  confirmed: 'Test envelope; the sender has the receipt',
};

function whyReception(record) {
  const reason = record.quarantined ?? record.parked;
  if (reason !== undefined) return el('span', { class: 'why' }, sentence(reason.message));
  if (record.lastError !== undefined) return el('span', { class: 'why' }, lastError(record.lastError));
  const outcomes = Object.entries(record.pacs);
  if (outcomes.length === 0) {
    const words = record.purpose === undefined ? PROGRESS : TEST_PROGRESS;
    return el('span', { class: 'why' }, words[record.progress] ?? 'Checked; goes to the PACS');
  }
  return el(
    'span',
    { class: 'outcomes' },
    ...outcomes.map((outcome) => pacsOutcome(outcome, record.instanceCount)),
  );
}

/** What one PACS has: a bar, the count, and what is wrong. */
export function pacsOutcome([name, outcome], instanceCount) {
  const total = instanceCount ?? outcome.storedCount + outcome.refusedCount;
  const refused = outcome.refusedCount === 0 ? '' : `, ${outcome.refusedCount} refused`;
  const converted = outcome.convertedCount ? `, ${outcome.convertedCount} converted without loss` : '';
  return el(
    'span',
    { class: `outcome ${TONES[outcome.state] ?? ''}`, 'data-key': name },
    el('span', { class: 'outcome-name' }, name),
    el('progress', {
      max: Math.max(1, total),
      value: outcome.storedCount,
      'aria-label': `stored in ${name}`,
    }),
    el('span', { class: 'outcome-count' }, `${outcome.storedCount} of ${total}${converted}${refused}`),
    outcome.state === 'stored' ? '' : lastError(outcome.lastError),
    outcome.commitment === undefined
      ? ''
      : el('span', { class: 'outcome-count' }, COMMITMENTS[outcome.commitment.state]),
  );
}

/** What a PACS said when it was asked to commit to what it stored. */
export const COMMITMENTS = {
  asked: 'is asked to commit to it',
  committed: 'commits to it',
  failed: 'does not commit to all of it',
  'not-offered': 'takes no part in storage commitment',
  unreported: 'did not say in time whether it commits',
};
