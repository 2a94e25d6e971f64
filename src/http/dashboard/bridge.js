/** Talks to the bridge: asks for what the page shows, tells what a person wants, and notices when nobody answers. */

/** No word from the bridge for this long, although it says something every 20 s: the connection is lost. */
const SILENCE_MS = 45_000;
/** A reconnection that takes no longer than this is not worth a word. */
const PATIENCE_MS = 3_000;
/** As many stuck ones as a person would look through. */
const STUCK_LIMIT = 100;
const STUCK = { deliveries: ['parked', 'refused'], receptions: ['quarantined', 'parked', 'refused'] };

async function call(method, path) {
  const response = await fetch(path, { method, headers: { accept: 'application/json' } });
  if (response.status === 401) {
    location.assign('/login');
    // The page is about to go; nothing more is to be shown.
    return new Promise(() => undefined);
  }
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  const advice = body.detail ?? body.title ?? `the bridge answers ${response.status}`;
  throw Object.assign(new Error(advice), { status: response.status });
}

export const get = (path) => call('GET', path);
export const post = (path) => call('POST', path);

/** Everything that the page shows, asked for at once. */
export async function fetchAll({ filter, limits }) {
  const overview = await get('/api/overview');
  const stuck = (kind) =>
    Promise.all(
      STUCK[kind]
        .filter((state) => overview.counts[kind][state] > 0)
        .map((state) => get(`/api/${kind}?state=${state}&limit=${STUCK_LIMIT}`)),
    ).then((lists) => lists.flat());
  const state = filter === undefined ? '' : `&state=${filter}`;
  const [studies, associations, refusals, deliveries, receptions, stuckDeliveries, stuckReceptions] =
    await Promise.all([
      get('/api/studies'),
      get('/api/associations'),
      get('/api/refusals'),
      get(`/api/deliveries?limit=${limits.deliveries}${state}`),
      get(`/api/receptions?limit=${limits.receptions}`),
      stuck('deliveries'),
      stuck('receptions'),
    ]);
  return {
    overview,
    studies,
    associations,
    refusals,
    deliveries,
    receptions,
    stuckDeliveries,
    stuckReceptions,
  };
}

/**
 * Calls `changed` when something has changed at the bridge, `connection(true|false)` when it is heard again or no more.
 */
export function watch({ changed, connection }) {
  let heardAtMs = Date.now();
  let silence;
  let source;

  const heard = () => {
    heardAtMs = Date.now();
    clearTimeout(silence);
    silence = undefined;
    connection(true);
  };
  const lost = () => {
    silence ??= setTimeout(() => connection(false), PATIENCE_MS);
  };
  const open = () => {
    source?.close();
    source = new EventSource('/api/events');
    source.addEventListener('changed', () => {
      heard();
      changed();
    });
    source.addEventListener('alive', heard);
    source.addEventListener('error', () => {
      lost();
      // The browser gives up on an answer that is no stream: a restart behind a proxy, or a session that is over.
      if (source.readyState === EventSource.CLOSED) setTimeout(reopen, PATIENCE_MS);
    });
  };
  const reopen = () => {
    // Shows the login when that is what is missing.
    get('/api/overview').then(open, () => setTimeout(reopen, PATIENCE_MS));
  };
  setInterval(() => {
    if (Date.now() - heardAtMs < SILENCE_MS) return;
    heardAtMs = Date.now();
    connection(false);
    open();
  }, PATIENCE_MS);
  open();
}
