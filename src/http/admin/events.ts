/** GET /api/events: a server-sent event whenever something has changed, so that the page need not ask. */
import type { RequestHandler } from 'express';
import type { Operations } from '../ports.js';

/** Below the idle timeouts of proxies. */
const HEARTBEAT_MS = 20_000;

export function events(operations: Operations): RequestHandler {
  return (request, response) => {
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    response.write('retry: 2000\n\nevent: changed\ndata: \n\n');
    const unsubscribe = operations.subscribe(() => response.write('event: changed\ndata: \n\n'));
    const heartbeat = setInterval(() => response.write(': alive\n\n'), HEARTBEAT_MS);
    request.on('close', () => {
      clearInterval(heartbeat);
      unsubscribe();
    });
  };
}
