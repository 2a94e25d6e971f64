/** The JSON API of a site's dashboard: what there is, and what an operator or a script can do about it. */
import { type Response, Router } from 'express';
import { parseEnvelopeId } from '../../domain/envelope-id.js';
import type { PairingDesk } from '../pairing-ports.js';
import type { Operations } from '../ports.js';
import type { OperatorLocals } from './guard.js';
import { listFilter } from './list-filter.js';
import { pairingApi } from './pairing-api.js';
import { studyAdditions } from './study-additions.js';

export function apiRoutes(operations: Operations, pairing?: PairingDesk): Router {
  const router = Router();
  router.get('/overview', async (_request, response) => {
    response.json(await operations.overview());
  });
  router.get('/studies', (_request, response) => {
    response.json(operations.studies());
  });
  router.get('/associations', (_request, response) => {
    response.json(operations.associations());
  });
  router.get('/peers', (_request, response) => {
    response.json(operations.peers());
  });
  router.get('/refusals', (_request, response) => {
    response.json(operations.refusals());
  });
  router.get('/deliveries', (request, response) => {
    response.json(operations.deliveries(listFilter(request)));
  });
  router.get('/deliveries/:id', (request, response) => {
    response.json(operations.delivery(parseEnvelopeId(request.params.id)));
  });
  router.get('/receptions', (request, response) => {
    response.json(operations.receptions(listFilter(request)));
  });
  router.get('/receptions/:id', (request, response) => {
    response.json(operations.reception(parseEnvelopeId(request.params.id)));
  });
  router.use(studyAdditions(operations));
  router.post('/studies/:key/complete', async (request, response) => {
    response.json(await operations.completeStudy(request.params.key));
  });
  router.post('/deliveries/:id/retry', async (request, response) => {
    response.json(await operations.retryDelivery(parseEnvelopeId(request.params.id)));
  });
  router.post('/receptions/:id/retry', async (request, response) => {
    response.json(await operations.retryReception(parseEnvelopeId(request.params.id)));
  });
  router.post('/receptions/:id/dismiss', async (request, response: Response<unknown, OperatorLocals>) => {
    const id = parseEnvelopeId(request.params.id);
    response.json(await operations.dismissReception(id, response.locals.operator));
  });
  if (pairing !== undefined) router.use(pairingApi(pairing));
  return router;
}
