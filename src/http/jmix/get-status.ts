/** GET /api/jmix/:id/status: whether an envelope that the caller sent is here, and which one it is. */
import type { RequestHandler } from 'express';
import { parseEnvelopeId } from '../../domain/envelope-id.js';
import { GatewayError } from '../../errors/gateway-error.js';
import type { PeerApi, PeerLocals } from '../ports.js';

export function getStatus(
  api: PeerApi,
): RequestHandler<{ id: string }, unknown, unknown, unknown, PeerLocals> {
  return async (request, response) => {
    const id = parseEnvelopeId(request.params.id);
    const found = await api.probe(response.locals.peerId, id);
    if (found === undefined)
      throw new GatewayError('ENVELOPE_NOT_FOUND', 'no envelope with this id came from you');
    response.json({ id, manifest_sha256: found.manifestSha256 });
  };
}
