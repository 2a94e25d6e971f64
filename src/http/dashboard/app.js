/** The page: asks for everything when something has changed, and shows it. */
import { attention } from './attention.js';
import { bytes, chip, el } from './dom.js';
import { associations, counts, deliveries, receptions, story, studies } from './tables.js';

/** Ages grow by themselves. */
const REDRAW_MS = 5_000;
/** No word from the bridge for this long, although it says something every 20 s: the connection is lost. */
const SILENCE_MS = 45_000;

const place = (id) => document.getElementById(id);
let state;
let askedWhileBusy = false;
let busy = false;
let heardAtMs = Date.now();

async function get(path) {
  const response = await fetch(path, { headers: { accept: 'application/json' } });
  if (response.status === 401) location.assign('/login');
  if (!response.ok) throw new Error(`the bridge answers ${response.status}`);
  return response.json();
}

/** One round at a time; what changes meanwhile makes one more. */
async function refresh() {
  if (busy) {
    askedWhileBusy = true;
    return;
  }
  busy = true;
  try {
    const names = ['overview', 'studies', 'associations', 'refusals', 'deliveries', 'receptions'];
    const parts = await Promise.all(names.map((name) => get(`/api/${name}`)));
    state = Object.fromEntries(names.map((name, at) => [name, parts[at]]));
    state.fetchedAtMs = Date.now();
    heardAtMs = Date.now();
    draw();
  } catch {
    lost(true);
  } finally {
    busy = false;
    if (askedWhileBusy) {
      askedWhileBusy = false;
      setTimeout(refresh, 200);
    }
  }
}

async function act(path) {
  const response = await fetch(path, { method: 'POST', headers: { accept: 'application/json' } });
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    alert(problem.detail ?? problem.title ?? `the bridge answers ${response.status}`);
  }
  await refresh();
}

function draw() {
  lost(false);
  const { overview } = state;
  const nowMs = overview.nowMs + (Date.now() - state.fetchedAtMs);
  document.title = overview.site.name;
  place('site').textContent = overview.site.name;
  place('dicom').textContent = `DICOM: ${overview.dimse.aeTitles.join(', ')}, port ${overview.dimse.port}`;
  place('version').textContent = `Drawbridge ${overview.version}`;
  place('health').replaceChildren(...health(overview));
  place('delivery-counts').replaceChildren(...counts(overview.counts.deliveries));
  place('reception-counts').replaceChildren(...counts(overview.counts.receptions));
  const items = attention({ ...state, overview: { ...overview, nowMs } }, act);
  if (items.length > 0) document.title = `(${items.length}) ${overview.site.name}`;
  fill(
    'attention-list',
    items.length === 0
      ? el('p', { class: 'empty fine' }, '✓ Nothing waits for you.')
      : el('div', { class: 'list' }, ...items),
  );
  fill('studies', studies(state.studies, nowMs, act));
  fill('deliveries', deliveries(state.deliveries, nowMs, show));
  fill('receptions', receptions(state.receptions, nowMs, show));
  fill('associations', associations(state.associations, nowMs));
}

/** Leaves alone what has not changed, so that focus and selection stay where they are. */
function fill(id, content) {
  const target = place(id);
  const current = target.firstElementChild;
  if (current === null || !current.isEqualNode(content)) target.replaceChildren(content);
}

function health({ redis, workers, disk }) {
  const tones = { ok: 'good', low: 'warn', refusing: 'bad' };
  const diskText =
    disk.state === 'refusing' ? 'disk full: nothing is taken' : `disk: ${bytes(disk.freeBytes)} free`;
  const rows = [
    [
      redis.up ? `Redis: ${redis.kind}` : 'Redis is away',
      redis.up ? (redis.kind === 'embedded' ? 'warn' : 'good') : 'bad',
      redis.note,
    ],
    [workers.up ? 'workers up' : 'no worker runs', workers.up ? 'good' : 'bad'],
    [diskText, tones[disk.state]],
  ];
  return rows.map(([text, tone, note]) => el('li', { title: note }, chip(text, tone)));
}

function show(record) {
  const dialog = place('story');
  dialog.replaceChildren(...story(record, () => dialog.close()));
  dialog.showModal();
}

function lost(isLost) {
  place('lost').hidden = !isLost;
}

const events = new EventSource('/api/events');
events.addEventListener('changed', () => {
  heardAtMs = Date.now();
  refresh();
});
events.addEventListener('open', refresh);
events.addEventListener('error', () => lost(true));
setInterval(() => {
  if (state !== undefined && place('lost').hidden) draw();
  if (Date.now() - heardAtMs > SILENCE_MS) refresh();
}, REDRAW_MS);
refresh();
