/** Asks before something that cannot be undone. Whoever presses Enter or Escape without reading changes nothing. */
import { el } from './dom.js';

/**
 * `ask` is the question, `because` what follows from a yes, `yes` the word on that button.
 * @returns whether to go on
 */
export function confirmed({ ask, because, yes }) {
  const keep = el('button', { type: 'button', class: 'secondary', autofocus: true }, 'Cancel');
  const go = el('button', { type: 'button', class: 'primary danger' }, yes);
  const dialog = el(
    'dialog',
    { class: 'confirm', 'aria-labelledby': 'confirm-title', 'aria-describedby': 'confirm-text' },
    el('h2', { id: 'confirm-title' }, ask),
    el('p', { id: 'confirm-text' }, because),
    el('div', { class: 'actions' }, keep, go),
  );
  document.body.append(dialog);
  return new Promise((resolve) => {
    let isYes = false;
    keep.addEventListener('click', () => dialog.close());
    go.addEventListener('click', () => {
      isYes = true;
      dialog.close();
    });
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(isYes);
    });
    dialog.showModal();
  });
}
