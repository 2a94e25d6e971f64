/** GET /api/jmix/:id/receipt: the signed receipt for an envelope that the caller sent, as soon as there is one. */
import type { RequestHandler } from 'express';
import { parseEnvelopeId } from '../../domain/envelope-id.js';
import { GatewayError } from '../../errors/gateway-error.js';
import type { PeerApi, PeerLocals } from '../ports.js';

const RETRY_AFTER_SECONDS = 5;

export function getReceipt(
  api: PeerApi,
): RequestHandler<{ id: string }, unknown, unknown, unknown, PeerLocals> {
  return async (request, response) => {
    const id = parseEnvelopeId(request.params.id);
    const receipt = await api.receiptFor(response.locals.peerId, id);
    if (receipt === undefined) {
      response.setHeader('retry-after', String(RETRY_AFTER_SECONDS));
      throw new GatewayError('ENVELOPE_NOT_FOUND', 'there is no receipt yet');
    }
    response.type('application/jose').send(receipt);
  };
}
