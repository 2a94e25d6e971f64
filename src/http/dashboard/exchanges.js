/** The inboxes between sites that this bridge empties: whether they can be reached, and what waits there. */
import { card } from './attention-card.js';
import { el } from './dom.js';
import { age, bytes, plural, sentence } from './format.js';
import { chip, copyable } from './parts.js';

const KINDS = { ftps: 'FTPS server', hub: 'hub', folder: 'folder' };

/** The panel; nothing where there are none. */
export function exchanges(list) {
  if (list.length === 0) return [];
  return [
    el('h2', { id: 'exchanges-title' }, 'Exchanges'),
    el('ul', { class: 'card stack' }, ...list.map(exchangeItem)),
  ];
}

function exchangeItem({ name, type, lookedAtMs, waitingCount, waitingBytes, error, troubles }) {
  const waiting =
    waitingCount === 0
      ? 'Nothing waits there'
      : `${plural(waitingCount, 'envelope')} ${waitingCount === 1 ? 'waits' : 'wait'} there · ${bytes(waitingBytes)}`;
  const isWell = error === undefined && lookedAtMs !== undefined;
  return el(
    'li',
    { 'data-key': name, class: 'exchange' },
    el(
      'p',
      { class: 'line' },
      el('span', {}, el('strong', {}, name), el('span', { class: 'sub' }, ` ${KINDS[type]}`)),
      error === undefined
        ? troubles.length === 0
          ? ''
          : chip(`${troubles.length} stuck`, 'bad')
        : chip(error.code === 'PEER_BUSY' ? 'busy' : 'failing', error.code === 'PEER_BUSY' ? 'warn' : 'bad'),
    ),
    el(
      'p',
      { class: 'line' },
      el('span', { class: 'why' }, isWell ? waiting : whyUnknown(error)),
      lookedAtMs === undefined ? '' : el('span', { class: 'when', title: 'the last look' }, age(lookedAtMs)),
    ),
  );
}

/** What waited at the last good look may long be gone, so it is not told. */
function whyUnknown(error) {
  return error === undefined ? 'Not looked into yet' : sentence(error.message);
}

const FAILURES = {
  PEER_UNREACHABLE: 'cannot be reached',
  PEER_UNTRUSTED: 'shows a certificate that is not trusted',
  PEER_REFUSED: 'does not let us in',
  PEER_BUSY: 'is busy',
};

/** Exchanges that cannot be looked into at all. */
export function exchangeFailures(list) {
  return list.flatMap(({ name, type, error }) => {
    if (error === undefined) return [];
    const failure = FAILURES[error.code];
    return card({
      key: `exchange ${name}`,
      tone: error.code === 'PEER_BUSY' ? 'warn' : 'bad',
      title:
        failure === undefined
          ? `The last look into the ${KINDS[type]} ${name} failed`
          : `The ${KINDS[type]} ${name} ${failure}`,
      code: error.code,
      atMs: error.sinceMs,
      why: `${sentence(error.message)}. What waits there is not fetched until then.`,
      advice: error.advice,
    });
  });
}

const PASSING = new Set(['ENVELOPE_CLAIMED', 'ENVELOPE_INCOMPLETE', 'PEER_BUSY']);

/** Single envelopes that lie there, and cannot be fetched. */
export function exchangeTroubles(list) {
  return list.flatMap(({ name, type, troubles }) =>
    troubles.map(({ id, code, message, atMs, advice }) =>
      card({
        key: `exchange ${name} ${id}`,
        tone: PASSING.has(code) ? 'warn' : 'bad',
        title: `An envelope at the ${KINDS[type]} ${name} cannot be fetched`,
        code,
        atMs,
        why: message,
        advice,
        about: copyable(id, 'the envelope id'),
      }),
    ),
  );
}
