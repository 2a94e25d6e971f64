/** The API for other bridges: envelopes come in, receipts come and go. Every request needs a pinned certificate. */
import express, { type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import { GatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import { getReceipt } from './jmix/get-receipt.js';
import { getStatus } from './jmix/get-status.js';
import { postEnvelope } from './jmix/post-envelope.js';
import { postReceipt } from './jmix/post-receipt.js';
import { createPeerIdentity } from './peer-identity.js';
import type { PeerApi, PeerLocals } from './ports.js';
import { problemHandler } from './problem.js';
import { askForBody } from './request-body.js';

const RECEIPT_TYPE = 'application/jose';
/** The receipt of a study of 100,000 instances stays below. */
const MAX_RECEIPT_BYTES = 32 * 1024 * 1024;

export interface PeerAppOptions {
  readonly log: Log;
  readonly maxEnvelopeBytes: number;
}

/**
 * The application behind the listener for other bridges. RFC 9110 has no challenge that asks for a client
 * certificate, so who brings none, or one that is not pinned, is answered 403 and not 401.
 */
export function createPeerApp(api: PeerApi, options: PeerAppOptions): Express {
  const app = express();
  const identify = createPeerIdentity(api, options.log);
  const authenticate: RequestHandler<Record<string, string>, unknown, unknown, unknown, PeerLocals> = (
    request,
    response,
    next,
  ) => {
    response.locals.peerId = identify(request);
    next();
  };

  app.disable('x-powered-by');
  app.use(helmet());
  app.use('/api/jmix', authenticate);
  app.post('/api/jmix', postEnvelope(api, options.maxEnvelopeBytes));
  app.get('/api/jmix/:id/status', getStatus(api));
  app.get('/api/jmix/:id/receipt', getReceipt(api));
  app.post(
    '/api/jmix/:id/receipt',
    (request, response, next) => {
      if (request.is(RECEIPT_TYPE)) askForBody(request, response);
      next();
    },
    express.raw({ type: RECEIPT_TYPE, limit: MAX_RECEIPT_BYTES, inflate: false }),
    postReceipt(api),
  );
  app.use(() => {
    throw new GatewayError('ENVELOPE_NOT_FOUND', 'there is nothing at this address');
  });
  app.use(problemHandler(options.log));
  return app;
}
