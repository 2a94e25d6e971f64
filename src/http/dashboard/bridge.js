/** Talks to the bridge: asks, tells what a person wants, and notices when nobody answers. */

/** No word from the bridge for this long, although it says something every 20 s: the connection is lost. */
const SILENCE_MS = 45_000;
/** A reconnection that takes no longer than this is not worth a word. */
const PATIENCE_MS = 3_000;

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

/**
 * Calls `changed` when something has changed at the bridge, `connection(true|false)` when it is heard again or no more;
 * `overview` is an address that answers when it is there.
 */
export function watch({ changed, connection, overview }) {
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
    get(overview).then(open, () => setTimeout(reopen, PATIENCE_MS));
  };
  setInterval(() => {
    if (Date.now() - heardAtMs < SILENCE_MS) return;
    heardAtMs = Date.now();
    connection(false);
    open();
  }, PATIENCE_MS);
  open();
}
