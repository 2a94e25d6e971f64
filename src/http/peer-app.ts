/**
 * The API for other bridges: envelopes come in, receipts come and go; a hub has inboxes as well, and takes tokens.
 * Nobody gets past the door who is not known by certificate or token; before it lie our public keys, and pairing.
 */
import express, { type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import { GatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import { getAttestation } from './jmix/get-attestation.js';
import { getEnvelope } from './jmix/get-envelope.js';
import { getInbox } from './jmix/get-inbox.js';
import { getJwks, JWKS_PATHS } from './jmix/get-jwks.js';
import { getReceipt } from './jmix/get-receipt.js';
import { getStatus } from './jmix/get-status.js';
import { postAcknowledge } from './jmix/post-acknowledge.js';
import { postEnvelope } from './jmix/post-envelope.js';
import { pairingRoutes } from './jmix/post-pairing.js';
import { postReceipt } from './jmix/post-receipt.js';
import { createPeerIdentity } from './peer-identity.js';
import type { InboxApi, PeerApi, PeerLocals } from './ports.js';
import { problemHandler } from './problem.js';
import { askForBody } from './request-body.js';
import type { Uploads } from './tus/uploads.js';

const RECEIPT_TYPE = 'application/jose';
/** The receipt of a study of 100,000 instances stays below. */
const MAX_RECEIPT_BYTES = 32 * 1024 * 1024;
const MAX_ACKNOWLEDGEMENT_BYTES = 1024;

export interface PeerAppOptions {
  readonly log: Log;
  readonly maxEnvelopeBytes: number;
  /** Takes uploads in pieces. */
  readonly uploads?: Pick<Uploads, 'router'>;
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
  app.get(JWKS_PATHS, getJwks(api));
  app.use('/api/jmix', authenticate);
  if (api.pairing !== undefined) app.use('/api/pairing', pairingRoutes(api.pairing));
  if (options.uploads !== undefined) app.use('/api/jmix/uploads', options.uploads.router);
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
  if (api.directory !== undefined) app.get('/api/jmix/directory/:site', getAttestation(api.directory));
  if (api.inbox !== undefined) addInbox(app, api.inbox, api);
  app.use(() => {
    throw new GatewayError('ENVELOPE_NOT_FOUND', 'there is nothing at this address');
  });
  app.use(problemHandler(options.log));
  return app;
}

/** What waits here for the caller. */
function addInbox(app: Express, inbox: InboxApi, api: PeerApi): void {
  app.get('/api/jmix/inbox', getInbox(inbox, api));
  app.get('/api/jmix/:id', getEnvelope(inbox));
  app.post(
    '/api/jmix/:id/acknowledge',
    (request, response, next) => {
      askForBody(request, response);
      next();
    },
    express.json({ limit: MAX_ACKNOWLEDGEMENT_BYTES, inflate: false }),
    postAcknowledge(inbox),
  );
}
