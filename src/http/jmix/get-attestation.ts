/** GET /api/jmix/directory/:site: what this directory attests of a site, as a compact JWS. */
import type { RequestHandler } from 'express';
import { GatewayError } from '../../errors/gateway-error.js';
import type { DirectoryApi, PeerLocals } from '../ports.js';

export function getAttestation(
  directory: DirectoryApi,
): RequestHandler<{ site: string }, unknown, unknown, unknown, PeerLocals> {
  return (request, response) => {
    const attestation = directory.attestationOf(request.params.site);
    if (attestation === undefined) {
      throw new GatewayError('ENVELOPE_NOT_FOUND', 'the directory has no such site');
    }
    response.setHeader('cache-control', 'no-store');
    response.type('application/jose').send(attestation);
  };
}
