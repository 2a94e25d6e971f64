/** The list of what waits for a person, as every page shows it: a card says what it is, why, and what to do. */
import { el } from './dom.js';
import { age, bytes, plural, sentence } from './format.js';
import { icon } from './parts.js';

const SHOWN = 20;

/** `tone` is bad or warn; `story` an address with more; `about` and `actions` elements. */
export function card({ key, tone = 'bad', title, code, atMs, why, advice, story, about, actions = [] }) {
  return el(
    'li',
    { 'data-key': key },
    el(
      'article',
      { class: `card item ${tone}` },
      el(
        'div',
        { class: 'item-text' },
        el('h3', {}, story === undefined ? title : el('a', { href: story }, title)),
        why === undefined || why === '' ? '' : el('p', {}, sentence(why)),
        advice === undefined || advice === ''
          ? ''
          : el('p', { class: 'advice' }, el('span', { class: 'todo' }, 'To do'), ...[advice].flat()),
        el(
          'p',
          { class: 'sub' },
          code === undefined ? '' : el('code', {}, code),
          atMs === undefined ? '' : age(atMs),
          about ?? '',
        ),
      ),
      actions.length === 0 ? '' : el('div', { class: 'actions' }, ...actions),
    ),
  );
}

export function attentionList(items) {
  if (items.length === 0) return '';
  const rest = items.length - SHOWN;
  return [
    el('ul', { class: 'items' }, ...items.slice(0, SHOWN)),
    rest > 0 ? el('p', { class: 'nothing' }, `… and ${rest} more, shown when these are done.`) : '',
  ];
}

/** The first line of the page, for somebody who looks up for a second; `text` says what is under way. */
export function attentionSummary(waiting, text) {
  const isWell = waiting === 0;
  return [
    el('span', { class: `seal ${isWell ? 'good' : 'bad'}` }, icon(isWell ? 'check' : 'alert')),
    el(
      'div',
      {},
      el(
        'h2',
        { id: 'attention-title' },
        isWell
          ? 'Nothing waits for you'
          : `${plural(waiting, 'thing')} ${waiting === 1 ? 'waits' : 'wait'} for you`,
      ),
      el('p', { class: 'sub' }, text),
    ),
  ];
}

let announced = 0;

/** Said to those who do not see the page, and only when it changes. */
export function announce(count) {
  if (count === announced) return;
  document.getElementById('announcer').textContent =
    count === 0 ? 'Nothing waits for you.' : `${plural(count, 'thing')} waiting for you.`;
  announced = count;
}

/** `told` says what those hear who bring something, `soon` what comes next, `shorter` what takes less room. */
export function diskItems(disk, { told, soon, shorter }) {
  if (disk.state === 'refusing') {
    return [
      card({
        key: 'disk',
        title: 'The disk is nearly full: nothing new is taken',
        code: 'SPOOL_ABOVE_WATERMARK',
        why: `${bytes(disk.freeBytes)} of ${bytes(disk.totalBytes)} are free. ${told}; what is here is safe.`,
        advice: 'free space on the data disk; intake resumes by itself',
      }),
    ];
  }
  if (disk.state !== 'low') return [];
  return [
    card({
      key: 'disk',
      tone: 'warn',
      title: `The disk is filling up: ${bytes(disk.freeBytes)} are free`,
      why: `Before it is full, ${soon}.`,
      advice: `free space on the data disk, or ${shorter} in the config`,
    }),
  ];
}
