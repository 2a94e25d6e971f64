/**
 * What every page of a dashboard does: asks again when something has changed, one round at a time; does what buttons
 * say, and tells how it went; shows when the bridge is not heard.
 */
import { post, watch } from './bridge.js';
import { confirmed } from './confirm.js';
import { el } from './dom.js';
import { sentence, tick } from './format.js';

const TICK_MS = 1_000;
/** Changes that come one after the other are shown together. */
const REFRESH_GAP_MS = 400;
/** When nothing changes, what ages by itself (quiet times, the disk) is still asked for. */
const REFRESH_MS = 5_000;
const TOAST_MS = 6_000;

export const place = (id) => document.getElementById(id);

/**
 * `read` asks for all that is shown, `draw` shows it; `overview` is the address that answers when the bridge is there,
 * and `clicked` gets the buttons that are the page's own.
 */
export function startPage({ read, draw, overview, clicked }) {
  const busy = new Set();
  let connected = true;
  let running = false;
  let wanted = false;

  /** One round at a time; what changes meanwhile makes one more. */
  async function refresh() {
    wanted = true;
    if (running) return;
    running = true;
    try {
      while (wanted) {
        wanted = false;
        const isRead = await read().then(
          () => true,
          () => false,
        );
        setConnected(isRead);
        if (isRead) redraw();
        await new Promise((resolve) => setTimeout(resolve, REFRESH_GAP_MS));
      }
    } finally {
      // Also after a record that could not be drawn: the page must not stand still because of it.
      running = false;
    }
  }

  function redraw() {
    draw(busy);
    tick();
  }

  function setConnected(isConnected) {
    if (isConnected === connected) return;
    connected = isConnected;
    place('lost').hidden = isConnected;
    document.body.classList.toggle('stale', !isConnected);
    if (isConnected) refresh();
  }

  async function act({ post: path, done, ...question }) {
    if (question.ask !== undefined && !(await confirmed(question))) return;
    busy.add(path);
    redraw();
    try {
      await post(path);
      toast(done, 'good');
    } catch (error) {
      toast(error.message, 'bad');
    } finally {
      busy.delete(path);
      redraw();
      refresh();
    }
  }

  document.addEventListener('click', async (event) => {
    const button = event.target.closest('button');
    if (button === null) return;
    if (button.dataset.post !== undefined) act({ ...button.dataset });
    else if (button.dataset.copy === undefined) clicked(button);
    else if (await copy(button.dataset.copy)) toast('copied', 'good');
    else toast('the browser does not allow copying here', 'bad');
  });
  setInterval(tick, TICK_MS);
  setInterval(refresh, REFRESH_MS);
  watch({ changed: refresh, connection: setConnected, overview });
  refresh();
  return { refresh, redraw, lost: () => setConnected(false) };
}

export function toast(text, tone) {
  const toasts = place('toasts');
  const line = el('p', { class: `toast ${tone}` }, sentence(text));
  toasts.append(line);
  // Shown anew, it lies above an open story.
  toasts.hidePopover();
  toasts.showPopover();
  setTimeout(() => line.remove(), TOAST_MS);
}

/** Browsers offer the clipboard to trustworthy addresses only; over plain HTTP there is still the old way. */
async function copy(text) {
  if (navigator.clipboard !== undefined) {
    return navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
  }
  const hand = (event) => {
    event.clipboardData.setData('text/plain', text);
    event.preventDefault();
  };
  document.addEventListener('copy', hand, { once: true });
  const isCopied = document.execCommand('copy');
  document.removeEventListener('copy', hand);
  return isCopied;
}
