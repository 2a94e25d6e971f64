/** GET /api/jmix/inbox: what waits for the caller. With `wait` it answers later when nothing does. */
import type { RequestHandler } from 'express';
import { GatewayError } from '../../errors/gateway-error.js';
import type { InboxApi, PeerApi, PeerLocals } from '../ports.js';
import { inboxCaller } from './inbox-caller.js';

/** Below what proxies and firewalls allow a connection to be silent. */
const MAX_WAIT_SECONDS = 60;

export function getInbox(
  inbox: InboxApi,
  { admission }: Pick<PeerApi, 'admission'>,
): RequestHandler<Record<string, string>, unknown, unknown, { wait?: unknown }, PeerLocals> {
  return async (request, response) => {
    const waitMs = waitOf(request.query.wait) * 1000;
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    const waiting = await inbox.list(inboxCaller(request, response), waitMs, gone.signal);
    response.setHeader('cache-control', 'no-store');
    // Whoever was let go because we stop must not hold the listener up with a connection that is idle now.
    if (admission()?.code === 'SHUTTING_DOWN') response.setHeader('connection', 'close');
    response.json({ envelopes: waiting.map(({ id, sizeBytes }) => ({ id, size_bytes: sizeBytes })) });
  };
}

function waitOf(text: unknown): number {
  if (text === undefined) return 0;
  const seconds = typeof text === 'string' && /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
  if (seconds <= MAX_WAIT_SECONDS) return seconds;
  throw new GatewayError('REQUEST_INVALID', `wait: expected whole seconds, 0 to ${MAX_WAIT_SECONDS}`);
}
