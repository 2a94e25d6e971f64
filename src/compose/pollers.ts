/**
 * Looks into every inbox now and then, and puts what waits there on the queue. Each worker process does so: what two of
 * them find is one job, and what two bridges find is claimed by one of them.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Exchange } from '../domain/exchange.js';
import { toGatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import type { Lines } from '../transport/lines.js';
import type { ExchangeBoard } from './exchange-board.js';

/** Looks at different inboxes, and those of different bridges, come apart. */
const JITTER = 0.2;
/** How long a hub may keep us waiting for news. */
const LONG_POLL_MS = 30_000;
/** Where envelopes wait that are on their way already, a hub answers at once. */
const BUSY_POLL_MS = 2_000;
/** After failures a look comes less and less often, but not less often than this. */
const LONGEST_WAIT_MS = 5 * 60_000;
/** Put on the queue at one look; the next one brings the rest. */
const MAX_ENQUEUED = 500;

export interface PollerParts {
  readonly lines: Lines;
  readonly board: ExchangeBoard;
  /** Puts a fetch on the queue; harmless when it is there already. */
  enqueue(exchange: string, id: EnvelopeId): Promise<void>;
  readonly log: Log;
}

/** @returns the function that stops them, in bounded time */
export function startPollers(parts: PollerParts): () => Promise<void> {
  const stopping = new AbortController();
  const loops = parts.lines.inboxes.map((exchange) => poll(parts, exchange, stopping.signal));
  return async () => {
    stopping.abort();
    await Promise.all(loops);
  };
}

async function poll(parts: PollerParts, exchange: Exchange, signal: AbortSignal): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    const found = await look(parts, exchange, signal);
    if (signal.aborted) return;
    failures = found === undefined ? failures + 1 : 0;
    await pause(waitMs(exchange, found, failures), undefined, { signal }).catch(() => undefined);
  }
}

/** @returns how many envelopes wait; undefined when that could not be found out */
async function look(
  { lines, board, enqueue, log }: PollerParts,
  { name, type }: Exchange,
  signal: AbortSignal,
): Promise<number | undefined> {
  try {
    const waiting = await lines
      .inboxAt(name)
      .list({ signal, ...(type === 'hub' ? { waitMs: LONG_POLL_MS } : {}) });
    await board.looked(name, waiting);
    for (const { id } of waiting.slice(0, MAX_ENQUEUED)) await enqueue(name, id);
    return waiting.length;
  } catch (raw) {
    if (signal.aborted) return undefined;
    const error = toGatewayError(raw);
    log.warn({ event: 'exchange.look_failed', exchange: name, code: error.code }, error.message);
    await board.failed(name, error).catch(() => undefined);
    return undefined;
  }
}

function waitMs({ type, pollMs }: Exchange, found: number | undefined, failures: number): number {
  if (found !== undefined && type === 'hub') return found === 0 ? 0 : Math.min(pollMs, BUSY_POLL_MS);
  const nominal =
    failures === 0 ? pollMs : Math.min(LONGEST_WAIT_MS, pollMs * 2 ** Math.min(failures - 1, 10));
  return nominal * (1 - JITTER + 2 * JITTER * Math.random());
}
