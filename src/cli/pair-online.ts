/** `drawbridge pair` over HTTPS: the running bridge does the work; this asks it, shows, and asks the person. */
import { setTimeout as pause } from 'node:timers/promises';
import { GatewayError } from '../errors/gateway-error.js';
import type { PairingView } from '../http/pairing-ports.js';
import type { DeliveryView } from '../http/ports.js';
import { type BridgeApi, openBridgeApi } from './bridge-api.js';
import { configPath } from './config-option.js';
import { EXIT, printResult } from './output.js';
import { askWhetherSame, formatPairing, isAttended, tell } from './pair-ask.js';
import type { PairOptions } from './pair-options.js';

type Comparing = Extract<PairingView, { state: 'comparing' }>;
type Paired = Extract<PairingView, { state: 'paired' }>;

const POLL_MS = 300;
/** Test envelopes of two bridges that have little else to do take seconds. */
const TEST_PATIENCE_MS = 120_000;

/** @param url of the bridge that waits; without it, ours waits */
export async function pairOverBridge(options: PairOptions, url: string | undefined): Promise<void> {
  const api = await openSiteApi(options);
  const { host } = options;
  const begun = (await (url === undefined
    ? api.post('/api/pairing/open', { host })
    : api.post('/api/pairing/call', { url, host }))) as PairingView;
  if (begun.state === 'waiting') {
    const until = new Date(begun.endsAtMs).toLocaleTimeString('sv-SE', { timeStyle: 'short' });
    tell(
      `waiting until ${until}; the other side runs: drawbridge pair ${begun.url ?? 'https://<this host>:8443'}`,
    );
  }
  const id = 'id' in begun ? begun.id : '';
  const interrupted = onInterrupt(() => api.post('/api/pairing/refuse', { id }));
  const view = await watch(api, id, ({ state }) => state !== 'waiting');
  interrupted.end();
  if (view.state !== 'comparing') throw new GatewayError('STATE_INVALID', `the pairing is ${view.state}`);
  const { words, peer } = view;
  if (!isAttended(options)) {
    const next =
      'If they are the same: drawbridge pair --words "<the six words>"; if not: drawbridge pair --refuse';
    printResult(options, { ...view }, `${formatPairing(peer, words)}\n${next}`);
    return;
  }
  tell(formatPairing(peer, words));
  const yes = await askWhileComparing(api, view);
  await api.post(`/api/pairing/${yes ? 'agree' : 'refuse'}`, { id, words });
  if (!yes) throw new GatewayError('PAIRING_FAILED', 'you said no: nothing was pinned, on either side');
  await finish(options, api, id);
}

/** Says yes to the pairing whose words are being compared. @throws STATE_INVALID when there is none */
export async function confirmPairing(options: PairOptions, words: string): Promise<void> {
  const api = await openSiteApi(options);
  const { id } = await compared(api);
  await api.post('/api/pairing/agree', { id, words });
  await finish(options, api, id);
}

/** @throws STATE_INVALID when no words are being compared */
export async function refusePairing(options: PairOptions): Promise<void> {
  const api = await openSiteApi(options);
  const { id, peer } = await compared(api);
  await api.post('/api/pairing/refuse', { id });
  printResult(options, { state: 'refused', peer }, `not paired with ${peer.id}`);
}

/** Sends a test envelope, and waits until its receipt is there, or it does not go on. */
export async function testPeer(options: PairOptions, peerId: string): Promise<void> {
  const api = await openSiteApi(options);
  const { id } = (await api.post(`/api/peers/${encodeURIComponent(peerId)}/test`)) as { id: string };
  const endsAtMs = Date.now() + TEST_PATIENCE_MS;
  for (;;) {
    const { state, parked, refusal, lastError } = (await api.get(`/api/deliveries/${id}`)) as DeliveryView;
    if (state === 'verified') {
      printResult(
        options,
        { id, peer: peerId, state },
        `${peerId} has opened our test envelope, and signed for it`,
      );
      return;
    }
    const trouble = parked ?? refusal ?? (Date.now() > endsAtMs ? lastError : undefined);
    if (trouble !== undefined || Date.now() > endsAtMs) {
      const reason = trouble?.message ?? 'its receipt has not come yet';
      throw new GatewayError(
        state === 'parked' || state === 'refused' ? 'PEER_REFUSED' : 'PEER_BUSY',
        `the test envelope to ${peerId} is ${state}: ${reason}`,
      );
    }
    await pause(POLL_MS);
  }
}

async function openSiteApi(options: PairOptions): Promise<BridgeApi> {
  const api = await openBridgeApi(configPath(options));
  if (api.role === 'hub')
    throw new GatewayError('REQUEST_INVALID', 'a hub is not paired: its sites stand in its config');
  return api;
}

async function compared(api: BridgeApi): Promise<Comparing> {
  const view = (await api.get('/api/pairing')) as PairingView;
  if (view.state === 'comparing') return view;
  throw new GatewayError(
    'STATE_INVALID',
    'there are no words to compare: `drawbridge pair` comes first, on both sides',
  );
}

/** Takes the question back when there is nothing to answer any more. */
async function askWhileComparing(api: BridgeApi, { id }: Comparing): Promise<boolean> {
  const asking = new AbortController();
  const over = watch(api, id, ({ state }) => state !== 'comparing', asking.signal).finally(() =>
    asking.abort(),
  );
  over.catch(() => undefined);
  const answer = await askWhetherSame(asking.signal);
  // Where it was taken back, what ended the pairing is what the person should hear.
  if (asking.signal.aborted) await over;
  asking.abort();
  return answer === 'yes';
}

/** We have said yes: waits for the other side, then for the test envelopes. */
async function finish(options: PairOptions, api: BridgeApi, id: string): Promise<void> {
  const seen = (await api.get('/api/pairing')) as PairingView;
  if (seen.state === 'comparing' && !seen.peerAgreed) tell(`waiting for the yes of ${seen.peer.id}`);
  const paired = await watch(api, id, (view) => view.state === 'paired' && view.ended);
  if (paired.state !== 'paired') throw new GatewayError('STATE_INVALID', `the pairing is ${paired.state}`);
  tell(
    paired.confirmed
      ? `paired with ${paired.peer.name} (${paired.peer.id}); test envelopes are on their way`
      : `${paired.peer.id} is pinned here, but has not said that it has pinned us; if its screen shows a failure, pair again`,
  );
  const tested = await untilTested(api, id, paired);
  printResult(options, { ...tested }, describe(tested));
  const { sent } = tested.tests;
  if (sent !== undefined && sent.state !== 'verified') process.exitCode = EXIT.tryAgain;
}

async function untilTested(api: BridgeApi, id: string, from: Paired): Promise<Paired> {
  const endsAtMs = Date.now() + TEST_PATIENCE_MS;
  let last = from;
  await watch(api, id, (view) => {
    if (view.state !== 'paired') return true;
    last = view;
    const { sent, unsent, received } = view.tests;
    const isStuck = sent?.state === 'parked' || sent?.state === 'refused';
    const isDone = unsent !== undefined || sent?.state === 'verified';
    return isStuck || (isDone && received) || Date.now() > endsAtMs;
  });
  return last;
}

function describe({ peer, tests }: Paired): string {
  const { sent, unsent, received } = tests;
  const ours =
    sent?.state === 'verified'
      ? `${peer.id} has opened our test envelope, and signed for it`
      : `our test envelope: ${unsent ?? `${sent?.state ?? 'not sent yet'}${sent?.trouble === undefined ? '' : `, ${sent.trouble}`}`}; try again: drawbridge pair --test ${peer.id}`;
  const theirs = received
    ? `we have opened theirs`
    : `none of theirs has come yet; they can try again: drawbridge pair --test <our id>`;
  return `paired with ${peer.name} (${peer.id})\n${ours}\n${theirs}`;
}

/**
 * Asks until `isDone`.
 * @throws what ended the pairing; STATE_INVALID when another one was begun
 */
async function watch(
  api: BridgeApi,
  id: string,
  isDone: (view: PairingView) => boolean,
  signal?: AbortSignal,
): Promise<PairingView> {
  for (;;) {
    const view = (await api.get('/api/pairing')) as PairingView;
    if (!('id' in view) || view.id !== id) {
      throw new GatewayError(
        'STATE_INVALID',
        'the pairing is over: another one was begun, or the bridge restarted',
      );
    }
    if (view.state === 'failed') throw new GatewayError(view.code, view.message);
    if (isDone(view) || signal?.aborted === true) return view;
    await pause(POLL_MS);
  }
}

/** A window that nobody sits in front of any more is closed. */
function onInterrupt(close: () => Promise<unknown>): { end(): void } {
  const stop = () => {
    close()
      .catch(() => undefined)
      .finally(() => process.exit(130));
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  return {
    end() {
      process.removeListener('SIGINT', stop);
      process.removeListener('SIGTERM', stop);
    },
  };
}
