/** The page of a site: asks for everything when something has changed, and draws it. */
import { associations, studies } from './arrivals.js';
import { attention } from './attention.js';
import { announce, attentionList, attentionSummary } from './attention-card.js';
import { get } from './bridge.js';
import { deliveries } from './deliveries.js';
import { fill } from './dom.js';
import { exchanges } from './exchanges.js';
import { now, setClock } from './format.js';
import { address, firstSteps, health, underWay } from './head.js';
import { place, startPage, toast } from './page.js';
import { MAX_SHOWN } from './parts.js';
import { peerNews } from './peers.js';
import { receptions } from './receptions.js';
import { fetchAll } from './site-state.js';
import { deliveryStory, receptionStory } from './story.js';

const PAGE = 50;

const limits = { deliveries: PAGE, receptions: PAGE };
let filter;
let state;
let story;
let acting = new Set();

async function read() {
  [state] = await Promise.all([fetchAll({ filter, limits }), readStory()]);
  setClock(state.overview.nowMs);
}

function draw(busy) {
  acting = busy;
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
  fill(place('summary'), attentionSummary(items.length, underWay(overview)));
  fill(
    place('attention-list'),
    attentionList(items),
    isNew && filter === undefined ? firstSteps(overview) : '',
  );
  fill(place('studies'), studies(state.studies, { dimse: overview.dimse, busy }));
  fill(place('exchanges'), exchanges(overview.exchanges));
  place('exchanges').hidden = overview.exchanges.length === 0;
  const news = peerNews(state.peers);
  fill(place('peers'), news);
  place('peers').hidden = news.length === 0;
  fill(
    place('deliveries'),
    deliveries(state.deliveries, { counts: overview.counts.deliveries, filter, limit: limits.deliveries }),
  );
  fill(
    place('receptions'),
    receptions(state.receptions, { limit: limits.receptions, exchanges: overview.exchanges }),
  );
  fill(place('associations'), associations(state.associations));
  place('version').textContent = `Drawbridge ${overview.version}`;
  announce(items.length);
  drawStory();
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
    story.kind === 'deliveries' ? deliveryStory(story.record, acting) : receptionStory(story.record, acting);
  fill(panel, content);
  if (!panel.open) panel.showModal();
}

function closeStory() {
  // Keeps the scroll position, which `location.hash = ''` would not.
  history.pushState(null, '', location.pathname);
  story = undefined;
  drawStory();
}

function clicked({ dataset }) {
  if (dataset.story !== undefined) location.hash = dataset.story;
  else if (dataset.close !== undefined) closeStory();
  else if (dataset.more !== undefined) {
    limits[dataset.more] = Math.min(MAX_SHOWN, limits[dataset.more] + PAGE);
    page.refresh();
  } else if (dataset.filter !== undefined) {
    filter = dataset.filter === '' ? undefined : dataset.filter;
    limits.deliveries = PAGE;
    page.refresh();
  }
}

place('story').addEventListener('cancel', (event) => {
  event.preventDefault();
  closeStory();
});
place('story').addEventListener('click', (event) => {
  // Beside the panel, on what lies behind it.
  if (event.target === event.currentTarget) closeStory();
});
window.addEventListener('hashchange', async () => {
  await readStory().catch(() => page.lost());
  drawStory();
});
const page = startPage({ read, draw, clicked, overview: '/api/overview' });
