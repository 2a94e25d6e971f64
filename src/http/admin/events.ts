/**
 * GET /api/events: a server-sent event whenever something has changed, so that the page need not ask. The event says
 * that much and no more; the page asks for what it shows.
 */
import type { RequestHandler } from 'express';
import { GatewayError } from '../../errors/gateway-error.js';
import type { Operations } from '../ports.js';

/** Below the idle timeouts of proxies. */
const HEARTBEAT_MS = 20_000;
/** The browser comes back by itself, and has to show its session again. */
const STREAM_MS = 3600_000;
/** Pages that may watch at the same time. */
const MAX_WATCHERS = 100;
const CHANGED = 'event: changed\ndata: \n\n';

/** @throws PEER_BUSY when too many pages watch */
export function events({ subscribe }: Pick<Operations, 'subscribe'>): RequestHandler {
  let watchers = 0;
  return (_request, response) => {
    if (watchers >= MAX_WATCHERS) {
      throw new GatewayError('PEER_BUSY', `${MAX_WATCHERS} pages watch already`);
    }
    watchers += 1;
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    // Who does not read gets no more: one event that waits says as much as ten.
    const write = (text: string) => {
      if (!response.writableNeedDrain) response.write(text);
    };
    write(`retry: 2000\n\n${CHANGED}`);
    const unsubscribe = subscribe(() => write(CHANGED));
    // Named, since a page does not see comments, and wants to know that the bridge is there.
    const heartbeat = setInterval(() => write('event: alive\ndata: \n\n'), HEARTBEAT_MS);
    const end = setTimeout(() => response.end(), STREAM_MS);
    response.on('close', () => {
      watchers -= 1;
      clearInterval(heartbeat);
      clearTimeout(end);
      unsubscribe();
    });
  };
}
