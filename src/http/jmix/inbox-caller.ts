/** Who asks at an inbox: the peer that was recognised, and which of its bridges, by what it says of itself. */
import type { Request, Response } from 'express';
import { GatewayError } from '../../errors/gateway-error.js';
import type { InboxCaller, PeerLocals } from '../ports.js';

/**
 * Holds 8 to 32 hex digits. It parts nobody from anything but their own second bridge, so it need not be proved.
 * Software that knows nothing of it is one bridge.
 */
const HEADER = 'drawbridge-bridge';

/** @throws REQUEST_INVALID */
export function inboxCaller(
  request: Pick<Request<Record<string, string>>, 'headers'>,
  response: Pick<Response<unknown, PeerLocals>, 'locals'>,
): InboxCaller {
  const bridgeId = request.headers[HEADER] ?? '';
  if (typeof bridgeId !== 'string' || !/^(?:[0-9a-f]{8,32})?$/.test(bridgeId)) {
    throw new GatewayError('REQUEST_INVALID', `${HEADER}: expected 8 to 32 lower hex digits`);
  }
  return { memberId: response.locals.peerId, bridgeId };
}
