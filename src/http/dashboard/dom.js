/** Elements without a framework, and the few formats that the page needs. Text is always set as text. */

/** `el('p', { class: 'muted' }, 'text', child)`; listeners as `onclick`. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : String(value));
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== ''));
  return element;
}

export function bytes(count) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = count < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(count) / 3));
  return `${(count / 1000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

const STEPS = [
  [60, 1, 's'],
  [3600, 60, 'min'],
  [86_400, 3600, 'h'],
  [Number.POSITIVE_INFINITY, 86_400, 'd'],
];

/** `12 s ago`, `in 3 min`; the exact time on hover. */
export function age(atMs, nowMs) {
  const seconds = Math.round(Math.abs(nowMs - atMs) / 1000);
  const [, unit, name] = STEPS.find(([limit]) => seconds < limit);
  const text = `${Math.floor(seconds / unit)} ${name}`;
  const date = new Date(atMs);
  const words = atMs > nowMs ? `in ${text}` : `${text} ago`;
  return el('time', { datetime: date.toISOString(), title: date.toLocaleString() }, words);
}

export function clockTime(atMs) {
  const date = new Date(atMs);
  return el(
    'time',
    { datetime: date.toISOString(), title: date.toLocaleString() },
    date.toLocaleTimeString(),
  );
}

export function chip(text, tone = '') {
  return el('span', { class: `chip ${tone}` }, text);
}

/** Rows are lists of cells; a heading that starts with `#` is for numbers. */
export function table(headings, rows) {
  const isNumber = headings.map((heading) => heading.startsWith('#'));
  return el(
    'div',
    { class: 'card scroll' },
    el(
      'table',
      {},
      el(
        'thead',
        {},
        el(
          'tr',
          {},
          ...headings.map((text, at) =>
            el('th', { scope: 'col', class: isNumber[at] && 'number' }, text.replace('#', '')),
          ),
        ),
      ),
      el(
        'tbody',
        {},
        ...rows.map((cells) =>
          el(
            'tr',
            {},
            ...cells.map((cell, at) => el('td', { class: isNumber[at] && 'number' }, ...[cell].flat())),
          ),
        ),
      ),
    ),
  );
}
