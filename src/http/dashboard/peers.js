/** The keys of peers: what has changed about them by itself, and what waits for a person. */
import { card } from './attention-card.js';
import { el } from './dom.js';
import { age, now, sentence } from './format.js';
import { copyable } from './parts.js';

/** A key is new for so long. */
const NEWS_MS = 30 * 24 * 3_600_000;

/** The panel; nothing where no peer has new keys. */
export function peerNews(list) {
  const news = list.flatMap(({ name, notices }) =>
    notices
      .filter(({ level, atMs = now() }) => level === 'know' && now() - atMs < NEWS_MS)
      .map((notice) => ({ ...notice, name })),
  );
  if (news.length === 0) return [];
  return [
    el('h2', { id: 'peers-title' }, 'Keys of peers'),
    el(
      'ul',
      { class: 'card stack' },
      ...news.map(({ key, name, text, atMs }) =>
        el(
          'li',
          { 'data-key': key },
          el(
            'p',
            { class: 'line' },
            el('strong', {}, name),
            atMs === undefined ? '' : el('span', { class: 'when', title: 'since' }, age(atMs)),
          ),
          el('p', { class: 'why' }, sentence(text)),
        ),
      ),
    ),
  ];
}

/** Cards for what somebody has to decide, or to mend. */
export function peerItems(list) {
  return list.flatMap(({ notices }) =>
    notices
      .filter(({ level }) => level === 'act')
      .map(({ key, text, advice, command, atMs }) =>
        card({
          key: `peer ${key}`,
          tone: 'warn',
          title: sentence(text),
          atMs,
          advice: command === undefined ? advice : [`${advice}: `, copyable(command, 'the command')],
        }),
      ),
  );
}
