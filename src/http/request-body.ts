/**
 * The body of a request, asked for or left alone (RFC 9110 §10.1.1). Nothing here reads a body; it decides whether
 * the caller should send one, and what becomes of a body that was refused.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';

/**
 * A caller that is still sending when it is refused gets this long to read why: to close at once would reset the
 * connection, and take the answer with it.
 */
const LINGER_MS = 1_000;

const askedFor = new WeakSet<ServerResponse>();

/** Says 100 (Continue) to a caller that waits for it. Called when the head has passed every check. */
export function askForBody(request: IncomingMessage, response: ServerResponse): void {
  askedFor.add(response);
  if (expectsContinue(request)) response.writeContinue();
}

/**
 * Called before a refusal is sent: what has not been read of the body is not waited for. Without a body it does
 * nothing, so that the connection can be used again.
 */
export function leaveBody(request: IncomingMessage, response: ServerResponse): void {
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers;
  if (request.complete || (encoding === undefined && Number(length ?? 0) === 0)) return;
  if (expectsContinue(request) && !askedFor.has(response)) {
    // Nothing was sent yet, and nothing will be.
    response.setHeader('connection', 'close');
    return;
  }
  // Asked for now: a request that was destroyed no longer knows its socket.
  const { socket } = response;
  response.once('finish', () => {
    if (request.complete || socket === null) return;
    const timer = setTimeout(() => {
      if (!request.complete) socket.destroy();
    }, LINGER_MS);
    socket.once('close', () => clearTimeout(timer));
  });
}

function expectsContinue(request: IncomingMessage): boolean {
  return request.headers.expect?.toLowerCase() === '100-continue';
}
