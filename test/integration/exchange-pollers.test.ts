/** Looking into inboxes: what waits is put on the queue, failures are told and waited out, and stopping takes no time. */
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createExchangeBoard, readExchangeState } from '../../src/compose/exchange-board.js';
import { startPollers } from '../../src/compose/pollers.js';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import type { Exchange, HubExchange } from '../../src/domain/exchange.js';
import { GatewayError } from '../../src/errors/gateway-error.js';
import { ship } from '../../src/outbound/ship.js';
import type { Lines } from '../../src/transport/lines.js';
import type { Inbox } from '../../src/transport/transport.js';
import { EXCHANGE, makeSites, type TestSite, type TestSites } from '../support/site-parts.js';
import { until } from '../support/until.js';
import { makeHub } from './hub-under-test.js';

/** The waits of the pollers: each lasts until the test lets it go. Others wait as they do. */
const waits = vi.hoisted((): { ms: number; go: () => void }[] => []);
vi.mock('node:timers/promises', async (original) => {
  const real = await original<typeof import('node:timers/promises')>();
  return {
    ...real,
    setTimeout: (ms: number, value: unknown, options?: { signal?: AbortSignal }) =>
      options?.signal === undefined
        ? real.setTimeout(ms, value)
        : new Promise<void>((resolve, reject) => {
            waits.push({ ms, go: resolve });
            options.signal?.addEventListener('abort', reject);
          }),
  };
});

const { signal } = new AbortController();
const POLL_MS = 30_000;
const MINUTE_MS = 60_000;

let sites: TestSites;
let a: TestSite;
let b: TestSite;
let stop: (() => Promise<void>) | undefined;
let enqueued: [string, EnvelopeId][];

beforeEach(async () => {
  waits.length = 0;
  enqueued = [];
  sites = await makeSites(['site-a', 'site-b']);
  a = sites.site('site-a');
  b = sites.site('site-b');
});
afterEach(async () => {
  await stop?.();
  stop = undefined;
  vi.useRealTimers();
  await sites.close();
});

const arrive = async () => {
  const id = await a.seal('site-b', 1_000);
  await ship(a.outbound, id, signal);
  return id;
};
const start = (
  lines: Lines = b.context.lines,
  enqueue = async (exchange: string, id: EnvelopeId) => void enqueued.push([exchange, id]),
) => {
  const board = createExchangeBoard(b.context.layout, () => b.time.ms);
  stop = startPollers({ lines, board, enqueue, log: b.context.log });
};
/** Lines with one inbox, of whatever kind. */
const linesTo = (inbox: Partial<Inbox>, type: Exchange['type'] = 'folder'): Lines => {
  const { lines } = b.context;
  const [exchange] = lines.inboxes;
  return {
    ...lines,
    inboxAt: (name) => ({ ...lines.inboxAt(name), ...inbox }),
    inboxes: [{ ...exchange, type, pollMs: POLL_MS } as Exchange],
  };
};
/** The wait after the `number`th look, from 1. */
const waitAfter = (number: number) => until(() => waits[number - 1], { what: `look ${number}` });
const lookAgain = async () => {
  const looks = waits.length;
  waits.at(-1)?.go();
  return waitAfter(looks + 1);
};
const board = () => readExchangeState(b.context.layout, EXCHANGE);
const isAbout = (ms: number, nominalMs: number) =>
  expect([ms >= nominalMs * 0.8, ms <= nominalMs * 1.2]).toEqual([true, true]);

it('what waits is put on the queue, at each look, and told on the board', async () => {
  const ids = [await arrive(), await arrive()];
  start();
  const { ms } = await waitAfter(1);
  isAbout(ms, POLL_MS);
  const expected = ids.map((id) => [EXCHANGE, id]);
  expect(enqueued).toEqual(expected);
  expect(await board()).toMatchObject({ waitingCount: 2, troubles: [] });
  await lookAgain();
  expect(enqueued).toEqual([...expected, ...expected]);
});

it('failures are told, waited out ever longer, and forgotten when it works again', async () => {
  const away = join(sites.root, 'unplugged');
  await rename(b.inboxFolder, away);
  const sinceMs = b.time.ms;
  start();
  const nominal = [1, 2, 2, 2, 2].map((times) => times * POLL_MS);
  for (const [look, ms] of nominal.entries()) {
    isAbout((await waitAfter(look + 1)).ms, ms);
    b.time.ms += MINUTE_MS;
    if (look < nominal.length - 1) await lookAgain();
  }
  expect(await board()).toMatchObject({ error: { code: 'PEER_UNREACHABLE', sinceMs } });
  expect(b.logged).toContainEqual({
    event: 'exchange.look_failed',
    exchange: EXCHANGE,
    code: 'PEER_UNREACHABLE',
  });

  await rename(away, b.inboxFolder);
  isAbout((await lookAgain()).ms, POLL_MS);
  expect(await board()).not.toHaveProperty('error');
  await rename(b.inboxFolder, away);
  isAbout((await lookAgain()).ms, POLL_MS);
  await rename(away, b.inboxFolder);
});

it('a queue that is not there is told, and what waits is put on it later', async () => {
  const id = await arrive();
  let up = false;
  start(b.context.lines, async (exchange, each) => {
    if (!up) throw new GatewayError('REDIS_UNAVAILABLE', 'Redis is away');
    enqueued.push([exchange, each]);
  });
  await waitAfter(1);
  expect(await board()).toMatchObject({ error: { code: 'REDIS_UNAVAILABLE' } });
  up = true;
  await lookAgain();
  expect(enqueued).toEqual([[EXCHANGE, id]]);
  expect(await board()).not.toHaveProperty('error');
});

it('a board that cannot be written is told, and keeps nobody from looking as often as before', async () => {
  const id = await arrive();
  await rm(b.context.layout.exchanges, { recursive: true });
  start();
  await waitAfter(1);
  await lookAgain();
  isAbout((await lookAgain()).ms, POLL_MS);
  expect(enqueued).toEqual([1, 2, 3].map(() => [EXCHANGE, id]));
  expect(b.logged.map(({ event }) => event)).toContain('exchange.board_unwritten');
});

it('stopping does not wait for the next look', async () => {
  start();
  await waitAfter(1);
  await stop?.();
});

it('stopping in the middle of a long list puts no more on the queue', async () => {
  await arrive();
  await arrive();
  const stopping: Promise<void>[] = [];
  start(b.context.lines, async (exchange, id) => {
    enqueued.push([exchange, id]);
    if (stop !== undefined) stopping.push(stop());
  });
  await until(() => stopping.length > 0);
  await Promise.all(stopping);
  expect(enqueued).toHaveLength(1);
});

it('stopping ends a look that hangs', async () => {
  let asked = 0;
  start(
    linesTo({
      list: ({ signal: stopping }) =>
        new Promise((_, reject) => {
          asked += 1;
          stopping.addEventListener('abort', () => reject(new GatewayError('CANCELLED', 'stopped')));
        }),
    }),
  );
  await until(() => asked > 0);
  await stop?.();
  expect(waits).toEqual([]);
  expect(await board()).toBeUndefined();
});

it('stopping ends a long poll of a hub, and is no failure', { timeout: 15_000 }, async () => {
  const hub = await makeHub();
  try {
    const real = hub.transport('site-b');
    let asked = 0;
    start(
      linesTo(
        {
          list(options) {
            asked += 1;
            return real.list(options);
          },
        },
        'hub',
      ),
    );
    await until(() => asked > 0);
    await stop?.();
    expect(b.logged).toEqual([]);
  } finally {
    await hub.close();
  }
});

it('a hub that kept us waiting in vain is asked again at once', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  start(
    linesTo(
      {
        async list({ waitMs = 0 }) {
          vi.advanceTimersByTime(waitMs);
          return [];
        },
      },
      'hub',
    ),
  );
  expect((await waitAfter(1)).ms).toBe(0);
});

it('a hub that answers at once with nothing is not asked without pause', async () => {
  start(linesTo({}, 'hub'));
  expect((await waitAfter(1)).ms).toBeGreaterThanOrEqual(1_000);
});

it('a hub where something waits is asked again soon, however seldom the config says', async () => {
  await arrive();
  start(linesTo({}, 'hub'));
  expect((await waitAfter(1)).ms).toBe(2_000);
});

it('an inbox that hangs holds up no other', async () => {
  const id = await arrive();
  const { lines } = b.context;
  const [exchange] = lines.inboxes;
  const hanging = { ...exchange, name: 'hanging' } as HubExchange;
  start({
    ...lines,
    inboxes: [hanging, ...lines.inboxes],
    inboxAt: (name) =>
      name === 'hanging'
        ? {
            ...lines.inboxAt(EXCHANGE),
            list: ({ signal: stopping }) =>
              new Promise(
                (_, reject) => void stopping.addEventListener('abort', () => reject(new Error('stopped'))),
              ),
          }
        : lines.inboxAt(name),
  });
  await waitAfter(1);
  expect(enqueued).toEqual([[EXCHANGE, id]]);
});
