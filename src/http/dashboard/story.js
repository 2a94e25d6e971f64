/** One delivery or reception from its beginning: how far it is, what happened when, and what can be done. */
import { DELIVERY_STEPS, deliveryRoad, whyDelivery } from './deliveries.js';
import { el } from './dom.js';
import { bytes, clockTime, plural, span } from './format.js';
import { actionButton, chip, copyable, icon, lastError, roadHead } from './parts.js';
import {
  COMMITMENTS,
  dismissButton,
  pacsOutcome,
  RECEPTION_STEPS,
  receptionChip,
  receptionRoad,
} from './receptions.js';
import { priorityChip, sendingBar, waitsForWindow } from './sending.js';

/** @returns the content of the panel for a delivery */
export function deliveryStory(record, busy) {
  const reason = record.parked ?? record.refusal;
  return panel({
    title: `To ${record.peerName}`,
    state: [chip(record.state), priorityChip(record)],
    road: [roadHead(DELIVERY_STEPS), deliveryRoad(record)],
    now: deliveryNow(record, reason),
    trouble: waitsForWindow(record)
      ? ''
      : troubleOf(
          record,
          reason,
          record.replacedBy === undefined ? [retryButton(`/api/deliveries/${record.id}/retry`, busy)] : [],
        ),
    facts: [
      [
        'Study',
        [record.modalities.join(', '), plural(record.instanceCount, 'instance'), bytes(record.dataSetBytes)]
          .filter((text) => text !== '')
          .join(' · '),
      ],
      ['Attachments', record.attachmentCount ? String(record.attachmentCount) : undefined],
      ['Delivery', record.sealed?.envelopeId && copyable(record.id, 'the delivery id')],
      ['Envelope', copyable(record.sealed?.envelopeId ?? record.id, 'the envelope id')],
      ['Study Instance UID', copyable(record.studyInstanceUid, 'the Study Instance UID')],
      ['Goes by way of', record.via],
      ['Sealed', record.sealed && bytes(record.sealed.sizeBytes)],
      ['Arrived there', record.sentBytes && bytes(record.sentBytes)],
      ['Manifest SHA-256', record.sealed && el('code', {}, record.sealed.manifestSha256)],
      ['Chain of custody', record.custody],
      ['Addendum to', linkTo(record.addendumTo)],
      ['Replaces', linkTo(record.replaces)],
      ['Sent again as', linkTo(record.replacedBy)],
    ],
    steps: [{ event: 'accepted', atMs: record.createdAtMs }, ...record.steps],
    words: deliveryWords(record),
  });
}

/** Where a failure or a decision of somebody is told below, only how far it has come. */
function deliveryNow(record, reason) {
  const isTold = reason !== undefined || (record.lastError !== undefined && !waitsForWindow(record));
  return [
    isTold ? '' : el('p', { class: 'why' }, whyDelivery(record)),
    waitsForWindow(record) ? todo(record.advice) : '',
    sendingBar(record),
  ];
}

/** @returns the content of the panel for a reception; a receipt is one too, while something is wrong with it */
export function receptionStory(record, busy) {
  const isReceipt = record.receiptFor !== undefined;
  const outcomes = Object.entries(record.pacs);
  const retry = `/api/receptions/${record.id}/retry`;
  const actions = ['parked', 'refused', 'quarantined'].includes(record.state)
    ? [retryButton(retry, busy)]
    : [];
  if (record.state === 'refused') actions.push(dismissButton(record, busy));
  const reason = record.quarantined ?? record.parked;
  return panel({
    title: isReceipt ? `Receipt from ${record.senderName}` : `From ${record.senderName}`,
    state: receptionChip(record.state),
    road: [roadHead(RECEPTION_STEPS), receptionRoad(record)],
    now: el(
      'div',
      { class: 'outcomes' },
      ...outcomes.map((outcome) => pacsOutcome(outcome, record.instanceCount)),
    ),
    trouble:
      record.state === 'dismissed'
        ? el(
            'div',
            { class: 'notice' },
            el('p', {}, 'It needs no attention any more.'),
            retryButton(retry, busy),
          )
        : troubleOf(record, reason, actions),
    facts: [
      ['Receipt for', linkTo(record.receiptFor)],
      [
        'Study',
        isReceipt
          ? undefined
          : record.instanceCount === undefined
            ? 'not opened yet'
            : [(record.modalities ?? []).join(', '), plural(record.instanceCount, 'instance')].join(' · '),
      ],
      ['Attachments', record.attachmentCount ? String(record.attachmentCount) : undefined],
      ['Envelope', copyable(record.id, 'the envelope id')],
      [
        'Study Instance UID',
        record.studyInstanceUid && copyable(record.studyInstanceUid, 'the Study Instance UID'),
      ],
      ['Sealed', bytes(record.sizeBytes)],
      [record.takenFrom === undefined ? 'Brought by' : 'Taken from', broughtBy(record)],
      ['Signed by', record.signedBy && el('code', {}, record.signedBy)],
      ['Attested by', record.attestedBy],
      ['Dialect', record.dialect],
      ['Manifest SHA-256', el('code', {}, record.manifestSha256)],
    ],
    steps: [{ event: 'received', atMs: record.receivedAtMs }, ...record.steps],
    words: receptionWords(record),
  });
}

function broughtBy({ fromPeerId, takenFrom }) {
  if (takenFrom === undefined) return fromPeerId;
  return `${takenFrom.exchange}, as an archive of ${bytes(takenFrom.archiveBytes)}`;
}

function panel({ title, state, road, now, trouble, facts, steps, words }) {
  return [
    el(
      'header',
      { class: 'panel-head' },
      el('h2', { id: 'story-title' }, title),
      state,
      el(
        'button',
        { type: 'button', class: 'icon-button', 'data-close': true, 'aria-label': 'Close' },
        icon('close'),
      ),
    ),
    el('div', { class: 'panel-road' }, ...road),
    now,
    trouble,
    el('h3', {}, 'The story'),
    el(
      'ol',
      { class: 'story' },
      ...steps.map(({ event, atMs, pacs, commitment, by }, at) =>
        el(
          'li',
          { class: STEP_TONES[event] ?? '' },
          el('span', { class: 'story-text' }, words(event, pacs, commitment, by)),
          el(
            'span',
            { class: 'story-time' },
            clockTime(atMs),
            at === 0 ? '' : ` +${span(atMs - steps[at - 1].atMs)}`,
          ),
        ),
      ),
    ),
    el('h3', {}, 'Facts'),
    el(
      'dl',
      {},
      ...facts
        .filter(([, value]) => value !== undefined && value !== '')
        .flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]),
    ),
  ];
}

function retryButton(path, busy) {
  return actionButton({ text: 'Retry', label: 'Retry this one', path, done: 'It is tried again.', busy });
}

/** @param actions what a person can do about it */
function troubleOf(record, reason, actions) {
  if (reason === undefined && record.lastError === undefined && record.state !== 'refused') return '';
  const isStuck = reason !== undefined || record.state === 'refused';
  return el(
    'div',
    { class: `notice ${isStuck && actions.length > 0 ? 'bad' : ''}` },
    reason === undefined
      ? el('p', {}, lastError(record.lastError))
      : el('p', {}, el('code', {}, reason.code), ` ${reason.message}`),
    record.advice === '' || !isStuck ? '' : todo(record.advice),
    isStuck && actions.length > 0 ? el('div', { class: 'actions' }, ...actions) : '',
  );
}

function todo(advice) {
  return el('p', { class: 'advice' }, el('span', { class: 'todo' }, 'To do'), advice);
}

const STEP_TONES = {
  verified: 'good',
  delivered: 'good',
  confirmed: 'good',
  refused: 'bad',
  parked: 'bad',
  quarantined: 'bad',
};

function deliveryWords({ peerName, via }) {
  const words = {
    accepted: 'Accepted: every instance is durable here',
    packed: 'Packed',
    sealed: `Sealed to the key of ${peerName}, and signed`,
    sent: via === undefined ? 'Sent: the last byte has left' : `Sent: the last byte has left, to ${via}`,
    withdrawn: 'Withdrawn before it was there: it is sealed again, under another id',
    acknowledged:
      via === undefined
        ? `Acknowledged: durable at ${peerName}`
        : `Acknowledged: whole at ${via}, where ${peerName} takes it`,
    waived: 'Handed over: their software sends no receipts, so nothing proves that their PACS has it',
    verified: 'Verified: in their PACS, and the receipt matches what was sent',
    refused: `Refused by ${peerName}`,
    parked: 'Parked: waits for a person',
    retried: 'Tried again by a person',
  };
  return (event) => words[event] ?? event;
}

function receptionWords({ senderName, takenFrom }) {
  const words = {
    received:
      takenFrom === undefined
        ? 'Received: the envelope is durable here'
        : `Taken from ${takenFrom.exchange}: the envelope is durable here`,
    receipt: 'Opened: it holds the receipt for a delivery of ours',
    tested: 'Opened: it holds no study, but the test that follows a pairing',
    opened: `Opened: seal and signature of ${senderName} hold`,
    verified: 'Verified: every instance is as the sender listed it',
    delivered: 'Delivered: stored in every PACS',
    confirmed: 'Confirmed: the sender has the signed receipt',
    'refusal-confirmed': 'The sender has been told of the refusal',
    quarantined: 'Put into quarantine',
    parked: 'Parked: waits for a person',
    retried: 'Tried again by a person',
  };
  return (event, pacs, commitment, by) => {
    if (event === 'dismissed') return `Dismissed: dealt with by a person (${by})`;
    if (event === 'commitment') return `${pacs} ${COMMITMENTS[commitment]}`;
    return event === 'pacs' ? `${pacs} answered` : (words[event] ?? event);
  };
}

function linkTo(id) {
  return id && el('a', { href: `#/deliveries/${id}` }, el('code', {}, id));
}
