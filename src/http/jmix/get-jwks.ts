/** GET and HEAD /.well-known/jwks.json, and /jwks: our public keys (RFC 7517), for everyone. */
import type { RequestHandler } from 'express';
import { JWKS_MEDIA_TYPE, JWKS_PATH } from '../../trust/jwks.js';
import type { PeerApi } from '../ports.js';

export const JWKS_PATHS = [JWKS_PATH, '/jwks'];
/** So long somebody may go on with the old keys after a rotation; they are honoured for much longer. */
const MAX_AGE_SECONDS = 300;

export function getJwks({ keySet }: Pick<PeerApi, 'keySet'>): RequestHandler {
  return async (_request, response) => {
    const document = Buffer.from(await keySet());
    response.setHeader('cache-control', `public, max-age=${MAX_AGE_SECONDS}`);
    response.setHeader('content-type', JWKS_MEDIA_TYPE);
    response.send(document);
  };
}
