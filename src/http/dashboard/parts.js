/** The small parts that every list is made of. */
import { el } from './dom.js';
import { age, sentence } from './format.js';

/** State → tone; a state that is not listed is on its way. */
export const TONES = {
  verified: 'good',
  'handed-over': 'good',
  confirmed: 'good',
  delivered: 'good',
  stored: 'good',
  parked: 'bad',
  refused: 'bad',
  quarantined: 'bad',
  held: 'warn',
  dismissed: 'faint',
};

export function chip(text, tone = TONES[text] ?? '') {
  return el('span', { class: `chip ${tone}` }, text);
}

/** An outline of 24 × 24, in the colour of the text around it. */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

const ICONS = {
  check: 'M5 12.5l4.5 4.5L19 7.5',
  alert: 'M12 7v6M12 16.6v.4M12 3a9 9 0 110 18 9 9 0 010-18z',
  chevron: 'M9.5 6l6 6-6 6',
  close: 'M6 6l12 12M18 6L6 18',
  copy: 'M9 9h10v10H9zM5 15V5h10',
};

/**
 * A button that does something at the bridge; disabled while it is at it. With a `question` ({ ask, because, yes }), a
 * person is asked first.
 */
export function actionButton({ text, label, path, done, busy, kind = 'primary', question }) {
  return el(
    'button',
    {
      type: 'button',
      class: kind,
      'aria-label': label,
      'data-key': path,
      'data-post': path,
      'data-done': done,
      'data-ask': question?.ask,
      'data-because': question?.because,
      'data-yes': question?.yes,
      disabled: busy.has(path),
    },
    busy.has(path) ? 'One moment …' : text,
  );
}

/** Shows only what is in a state; `state` is undefined for all, `filter` what is shown now. */
function filterButton({ text, state, count, filter, tone = '' }) {
  return el(
    'button',
    {
      type: 'button',
      class: `filter ${tone}`,
      'data-key': `filter ${text}`,
      'data-filter': state ?? '',
      'aria-pressed': String(state === filter),
    },
    text,
    el('span', { class: 'count' }, count.toLocaleString('en')),
  );
}

/** Text that can be taken to the clipboard, as an id or a line for the config. */
export function copyable(text, label) {
  return el(
    'button',
    { type: 'button', class: 'copy', 'data-copy': text, 'aria-label': `Copy ${label}`, title: 'Copy' },
    el('code', {}, text),
    icon('copy'),
  );
}

/**
 * Progress along a road of named steps. `reached` counts from 0; `tone` colours what has been done, and `moving` makes
 * the next step breathe.
 */
export function road(steps, reached, { tone = '', moving = false, word }) {
  return el(
    'span',
    {
      class: `road ${tone}`,
      role: 'img',
      'aria-label': `${word}: step ${reached + 1} of ${steps.length}`,
    },
    ...steps.map((step, at) =>
      el(
        'span',
        {
          class: `stop${at <= reached ? ' done' : ''}${moving && at === reached + 1 ? ' next' : ''}`,
          title: step,
        },
        el('span', { class: 'dot' }),
      ),
    ),
  );
}

/** The names above the roads of a list. */
export function roadHead(steps) {
  return el('span', { class: 'road-head' }, ...steps.map((step) => el('span', {}, step)));
}

/** Opens the story of a row; reaches over the whole row for a mouse. */
export function storyButton(path, label) {
  return el(
    'button',
    { type: 'button', class: 'open', 'data-story': path, 'aria-label': `${label}: show the story` },
    icon('chevron'),
  );
}

/** Why the last attempt failed, and when the next one comes. */
export function lastError(error) {
  if (error === undefined) return '';
  // 0: no attempt of many, but the end of it; and what the config holds back was never tried.
  const { code, message, attempt, nextAttemptAtMs } = error;
  if (attempt === 0 || code === 'PACS_PAUSED') return el('span', { class: 'trouble' }, sentence(message));
  const next = nextAttemptAtMs === undefined ? '' : ['; next try ', age(nextAttemptAtMs)];
  return el('span', { class: 'trouble' }, `Attempt ${attempt}: ${message}`, next);
}

export function empty(title, ...text) {
  return el('div', { class: 'empty' }, el('p', { class: 'empty-title' }, title), el('p', {}, ...text));
}

/** As many as the bridge gives at once. */
export const MAX_SHOWN = 1_000;

/** Shows more of a list that is cut where the page would become too long. */
export function more(list, shown, what) {
  return list.length < shown || shown >= MAX_SHOWN
    ? ''
    : el(
        'button',
        { type: 'button', class: 'more', 'data-more': what },
        `Show more than the newest ${shown}`,
      );
}

/** Cards of one line each, under a head; `heads` are its words, or elements of their own, the time last. */
export function rows(kind, heads, lines) {
  const time = heads.length - 1;
  return el(
    'div',
    { class: `card rows ${kind}`.trim() },
    el(
      'div',
      { class: 'row head', 'aria-hidden': 'true' },
      ...heads.map((head, at) =>
        typeof head === 'string' ? el('span', at === time ? { class: 'when' } : {}, head) : head,
      ),
    ),
    el('ul', {}, ...lines),
  );
}

/** Buttons that narrow a list down to one state; `words` and `tones` are by state. */
export function stateFilters({ what, states, counts, total, filter, words = {}, tones }) {
  return el(
    'div',
    { class: 'filters', role: 'group', 'aria-label': `Show ${what} that are` },
    filterButton({ text: 'all', state: undefined, count: total, filter }),
    ...states
      .filter((state) => counts[state] > 0 || state === filter)
      .map((state) =>
        filterButton({
          text: words[state] ?? state,
          state,
          count: counts[state],
          filter,
          tone: tones[state],
        }),
      ),
  );
}
