/** POST /api/jmix/:id/receipt: the receiving site brings its receipt. 204 when it has been checked and kept. */
import type { RequestHandler } from 'express';
import { parseEnvelopeId } from '../../domain/envelope-id.js';
import { GatewayError } from '../../errors/gateway-error.js';
import type { PeerApi, PeerLocals } from '../ports.js';

export function postReceipt(
  api: PeerApi,
): RequestHandler<{ id: string }, unknown, unknown, unknown, PeerLocals> {
  return async (request, response) => {
    const id = parseEnvelopeId(request.params.id);
    // The body parser leaves other media types alone.
    if (!Buffer.isBuffer(request.body)) {
      response.setHeader('accept', 'application/jose');
      throw new GatewayError('MEDIA_TYPE_UNSUPPORTED', 'expected Content-Type application/jose');
    }
    await api.acceptReceipt(response.locals.peerId, id, request.body);
    response.status(204).end();
  };
}
