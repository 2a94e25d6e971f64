/** The page: asks for everything when something has changed, draws it, and does what buttons say. */
import { associations, studies } from './arrivals.js';
import { attention } from './attention.js';
import { fetchAll, get, post, watch } from './bridge.js';
import { deliveries } from './deliveries.js';
import { el, fill } from './dom.js';
import { now, plural, sentence, setClock, tick } from './format.js';
import { address, firstSteps, health, summary } from './head.js';
import { MAX_SHOWN } from './parts.js';
import { receptions } from './receptions.js';
import { deliveryStory, receptionStory } from './story.js';

const TICK_MS = 1_000;
/** Changes that come one after the other are shown together. */
const REFRESH_GAP_MS = 400;
/** When nothing changes, what ages by itself (quiet times, the disk) is still asked for. */
const REFRESH_MS = 5_000;
const TOAST_MS = 6_000;
const ATTENTION_SHOWN = 20;
const PAGE = 50;

const place = (id) => document.getElementById(id);
const limits = { deliveries: PAGE, receptions: PAGE };
const busy = new Set();
let filter;
let state;
let story;
let connected = true;
let running = false;
let wanted = false;
let announced = 0;

/** One round at a time; what changes meanwhile makes one more. */
async function refresh() {
  wanted = true;
  if (running) return;
  running = true;
  try {
    while (wanted) {
      wanted = false;
      const fetched = await Promise.all([fetchAll({ filter, limits }), readStory()]).catch(() => undefined);
      if (fetched === undefined) {
        setConnected(false);
      } else {
        [state] = fetched;
        setClock(state.overview.nowMs);
        setConnected(true);
        draw();
      }
      await new Promise((resolve) => setTimeout(resolve, REFRESH_GAP_MS));
    }
  } finally {
    // Also after a record that could not be drawn: the page must not stand still because of it.
    running = false;
  }
}

function draw() {
  if (state === undefined) return;
  const { overview } = state;
  const items = attention(state, now(), busy);
  const isNew = [state.deliveries, state.receptions, state.studies, state.associations].every(
    (list) => list.length === 0,
  );
  document.title = items.length === 0 ? overview.site.name : `(${items.length}) ${overview.site.name}`;
  place('site').textContent = overview.site.name;
  fill(place('address'), address(overview.dimse));
  fill(place('health'), health(overview));
  fill(place('summary'), summary(items.length, overview));
  fill(
    place('attention-list'),
    attentionList(items),
    isNew && filter === undefined ? firstSteps(overview) : '',
  );
  fill(place('studies'), studies(state.studies, { dimse: overview.dimse, busy }));
  fill(
    place('deliveries'),
    deliveries(state.deliveries, { counts: overview.counts.deliveries, filter, limit: limits.deliveries }),
  );
  fill(place('receptions'), receptions(state.receptions, { limit: limits.receptions }));
  fill(place('associations'), associations(state.associations));
  place('version').textContent = `Drawbridge ${overview.version}`;
  announce(items.length);
  drawStory();
  tick();
}

function attentionList(items) {
  if (items.length === 0) return '';
  const rest = items.length - ATTENTION_SHOWN;
  return [
    el('ul', { class: 'items' }, ...items.slice(0, ATTENTION_SHOWN)),
    rest > 0 ? el('p', { class: 'nothing' }, `… and ${rest} more, shown when these are done.`) : '',
  ];
}

/** Said to those who do not see the page, and only when it changes. */
function announce(count) {
  if (count === announced) return;
  place('announcer').textContent =
    count === 0 ? 'Nothing waits for you.' : `${plural(count, 'thing')} waiting for you.`;
  announced = count;
}

/** `#/deliveries/<id>` opens a story, so that it has an address and the back button closes it. */
function wantedStory() {
  const [, kind, id] = /^#\/(deliveries|receptions)\/([\w-]+)$/.exec(location.hash) ?? [];
  return kind === undefined ? undefined : { kind, id };
}

async function readStory() {
  const target = wantedStory();
  if (target === undefined) {
    story = undefined;
    return;
  }
  try {
    story = { ...target, record: await get(`/api/${target.kind}/${target.id}`) };
  } catch (error) {
    if (error.status === undefined) throw error;
    story = undefined;
    location.hash = '';
    toast(error.message, 'bad');
  }
}

function drawStory() {
  const panel = place('story');
  if (story === undefined) {
    if (panel.open) panel.close();
    return;
  }
  const content =
    story.kind === 'deliveries' ? deliveryStory(story.record, busy) : receptionStory(story.record, busy);
  fill(panel, content);
  if (!panel.open) panel.showModal();
}

function closeStory() {
  // Keeps the scroll position, which `location.hash = ''` would not.
  history.pushState(null, '', location.pathname);
  story = undefined;
  drawStory();
}

async function act(button) {
  const { post: path, done } = button.dataset;
  busy.add(path);
  draw();
  try {
    await post(path);
    toast(done, 'good');
  } catch (error) {
    toast(error.message, 'bad');
  } finally {
    busy.delete(path);
    draw();
    refresh();
  }
}

function toast(text, tone) {
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

function setConnected(isConnected) {
  if (isConnected === connected) return;
  connected = isConnected;
  place('lost').hidden = isConnected;
  document.body.classList.toggle('stale', !isConnected);
  if (isConnected) refresh();
}

document.addEventListener('click', async (event) => {
  const button = event.target.closest('button');
  if (button === null) return;
  if (button.dataset.post !== undefined) act(button);
  else if (button.dataset.story !== undefined) location.hash = button.dataset.story;
  else if (button.dataset.close !== undefined) closeStory();
  else if (button.dataset.copy !== undefined) {
    const isCopied = await copy(button.dataset.copy);
    if (isCopied) toast('copied', 'good');
    else toast('the browser does not allow copying here', 'bad');
  } else if (button.dataset.more !== undefined) {
    limits[button.dataset.more] = Math.min(MAX_SHOWN, limits[button.dataset.more] + PAGE);
    refresh();
  } else if (button.dataset.filter !== undefined) {
    filter = button.dataset.filter === '' ? undefined : button.dataset.filter;
    limits.deliveries = PAGE;
    refresh();
  }
});
place('story').addEventListener('cancel', (event) => {
  event.preventDefault();
  closeStory();
});
place('story').addEventListener('click', (event) => {
  // Beside the panel, on what lies behind it.
  if (event.target === event.currentTarget) closeStory();
});
window.addEventListener('hashchange', async () => {
  await readStory().catch(() => setConnected(false));
  drawStory();
});
setInterval(tick, TICK_MS);
setInterval(refresh, REFRESH_MS);
watch({ changed: refresh, connection: setConnected });
refresh();
