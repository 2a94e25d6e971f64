/** Keeps the gateway's view of keys and peers fresh, and asks the peers for their published keys now and then. */
import type { SiteContext } from './site.js';

/** What a worker or a command has written shows after so long: one stat where nothing has changed. */
const REFRESH_MS = 2_000;
/** How often it is looked whether a day has passed since a peer was asked. */
const MINUTE_MS = 60_000;
const ASK_MS = 10 * MINUTE_MS;

export interface PeerWatch {
  stop(): Promise<void>;
}

/** @param changed told when something about a peer has changed */
export function startPeerWatch(site: SiteContext, changed: () => void): PeerWatch {
  const stopping = new AbortController();
  let shown = site.peers.known();

  const refresh = async () => {
    await site.refresh();
    const now = site.peers.known();
    const isSame = now.length === shown.length && now.every((each, index) => each === shown[index]);
    shown = now;
    if (!isSame) changed();
  };
  const repeat = (work: () => Promise<void>, everyMs: number) => {
    let running: Promise<void> | undefined;
    const run = () => {
      running ??= work()
        .catch((error: unknown) => site.log.warn({ event: 'peers.watch_failed', reason: String(error) }))
        .finally(() => {
          running = undefined;
        });
    };
    const timer = setInterval(run, everyMs);
    return {
      run,
      async stop() {
        clearInterval(timer);
        await running;
      },
    };
  };
  const ask = () => site.keyNews.askAll(stopping.signal);
  const lookUp = () => site.directory.lookUp(stopping.signal);
  const directory = repeat(lookUp, site.settings.directory.refreshMinutes * MINUTE_MS);
  const repeated = [repeat(refresh, REFRESH_MS), repeat(ask, ASK_MS), directory];
  // Peers may be known by their entries alone. Published keys are asked for when an envelope needs them.
  directory.run();
  return {
    async stop() {
      stopping.abort();
      await Promise.all(repeated.map((each) => each.stop()));
    },
  };
}
