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
/** A hub answers at once where envelopes wait that are on their way already, and when it is about to stop. */
const BUSY_POLL_MS = 2_000;
/** After failures a look comes less often: but whoever plugs the disk in again waits for no more than this. */
const LONGEST_WAIT_MS = 60_000;
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

interface Look {
  /** How many envelopes wait. */
  readonly found: number;
  /** How long the far side kept us waiting for the answer. */
  readonly tookMs: number;
}

async function poll(parts: PollerParts, exchange: Exchange, signal: AbortSignal): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    const look = await lookInto(parts, exchange, signal);
    if (signal.aborted) return;
    failures = look === undefined ? failures + 1 : 0;
    await pause(waitMs(exchange, look, failures), undefined, { signal }).catch(() => undefined);
  }
}

/** @returns undefined when it could not be found out what waits, or not be put on the queue */
async function lookInto(
  { lines, board, enqueue, log }: PollerParts,
  { name, type }: Exchange,
  signal: AbortSignal,
): Promise<Look | undefined> {
  const askedAtMs = performance.now();
  // It is a note, and its loss keeps no envelope from being fetched.
  const unwritten = (error: unknown) =>
    log.warn({ event: 'exchange.board_unwritten', exchange: name, reason: String(error) });
  try {
    const waiting = await lines
      .inboxAt(name)
      .list({ signal, ...(type === 'hub' ? { waitMs: LONG_POLL_MS } : {}) });
    const tookMs = performance.now() - askedAtMs;
    for (const { id } of waiting.slice(0, MAX_ENQUEUED)) {
      if (signal.aborted) return undefined;
      await enqueue(name, id);
    }
    await board.looked(name, waiting).catch(unwritten);
    return { found: waiting.length, tookMs };
  } catch (raw) {
    if (signal.aborted) return undefined;
    const error = toGatewayError(raw);
    log.warn({ event: 'exchange.look_failed', exchange: name, code: error.code }, error.message);
    await board.failed(name, error).catch(unwritten);
    return undefined;
  }
}

function waitMs({ type, pollMs }: Exchange, look: Look | undefined, failures: number): number {
  if (look !== undefined && type === 'hub') {
    const keptUsWaiting = look.found === 0 && look.tookMs >= BUSY_POLL_MS;
    return keptUsWaiting ? 0 : Math.min(pollMs, BUSY_POLL_MS);
  }
  const nominal =
    failures === 0
      ? pollMs
      : Math.max(pollMs, Math.min(LONGEST_WAIT_MS, pollMs * 2 ** Math.min(failures - 1, 10)));
  return nominal * (1 - JITTER + 2 * JITTER * Math.random());
}
