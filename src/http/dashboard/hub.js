/** The page of a hub: asks for everything when something has changed, and draws it. */
import { announce, attentionList, attentionSummary } from './attention-card.js';
import { get } from './bridge.js';
import { el, fill } from './dom.js';
import { bytes, now, plural, setClock } from './format.js';
import { diskLight } from './head.js';
import { hubAttention } from './hub-attention.js';
import { inboxes } from './hub-inboxes.js';
import { parcels } from './hub-parcels.js';
import { place, startPage } from './page.js';
import { copyable, MAX_SHOWN } from './parts.js';

const PAGE = 50;
/** As many as a person would look through. */
const STUCK_LIMIT = 100;

let limit = PAGE;
let filter;
let state;

async function read() {
  const overview = await get('/api/hub/overview');
  const those = (wanted) =>
    overview.counts[wanted] === 0 ? [] : get(`/api/parcels?state=${wanted}&limit=${STUCK_LIMIT}`);
  const [list, parked, lost] = await Promise.all([
    get(`/api/parcels?limit=${limit}${filter === undefined ? '' : `&state=${filter}`}`),
    those('parked'),
    those('lost'),
  ]);
  state = { overview, list, parked, lost };
  setClock(overview.nowMs);
}

function draw(busy) {
  if (state === undefined) return;
  const { overview, list } = state;
  const items = hubAttention(state, now(), busy);
  document.title = items.length === 0 ? overview.site.name : `(${items.length}) ${overview.site.name}`;
  place('site').textContent = overview.site.name;
  fill(place('address'), address(overview));
  fill(place('health'), diskLight(overview.disk));
  fill(place('summary'), attentionSummary(items.length, waitingWords(overview)));
  fill(place('attention-list'), attentionList(items));
  fill(place('inboxes'), inboxes(overview.members));
  fill(place('parcels'), parcels(list, { overview, filter, limit }));
  place('version').textContent = `Drawbridge ${overview.version}`;
  announce(items.length);
}

/** What has to be in the config of the sites. */
function address({ site, https }) {
  return [
    el('span', { class: 'label' }, 'Sites call'),
    el(
      'span',
      { class: 'together' },
      el('span', { class: 'label' }, 'port '),
      copyable(String(https.port), 'the port'),
    ),
    el(
      'span',
      { class: 'together' },
      el('span', { class: 'label' }, 'hub id '),
      copyable(site.id, 'the id of the hub'),
    ),
  ];
}

function waitingWords({ members }) {
  const count = members.reduce((sum, member) => sum + member.waitingCount, 0);
  if (count === 0) return 'Every inbox is empty.';
  const size = members.reduce((sum, member) => sum + member.waitingBytes, 0);
  const sites = members.filter((member) => member.waitingCount > 0).length;
  const words = `${plural(count, 'envelope')} ${count === 1 ? 'waits' : 'wait'}`;
  return `${words} for ${plural(sites, 'site')}, ${bytes(size)}.`;
}

function clicked({ dataset }) {
  if (dataset.more !== undefined) limit = Math.min(MAX_SHOWN, limit + PAGE);
  else if (dataset.filter !== undefined) {
    filter = dataset.filter === '' ? undefined : dataset.filter;
    limit = PAGE;
  } else return;
  page.refresh();
}

const page = startPage({ read, draw, clicked, overview: '/api/hub/overview' });
