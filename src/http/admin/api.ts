/** The JSON API of the dashboard: what there is, and the three things that an operator can do about it. */
import { type Request, Router } from 'express';
import { parseEnvelopeId } from '../../domain/envelope-id.js';
import { GatewayError } from '../../errors/gateway-error.js';
import type { Operations } from '../ports.js';

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1_000;

export function apiRoutes(operations: Operations): Router {
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
  router.get('/refusals', (_request, response) => {
    response.json(operations.refusals());
  });
  router.get('/deliveries', (request, response) => {
    response.json(operations.deliveries(filterOf(request)));
  });
  router.get('/deliveries/:id', (request, response) => {
    response.json(operations.delivery(parseEnvelopeId(request.params.id)));
  });
  router.get('/receptions', (request, response) => {
    response.json(operations.receptions(filterOf(request)));
  });
  router.get('/receptions/:id', (request, response) => {
    response.json(operations.reception(parseEnvelopeId(request.params.id)));
  });
  router.post('/studies/:key/complete', async (request, response) => {
    response.json(await operations.completeStudy(request.params.key));
  });
  router.post('/deliveries/:id/retry', async (request, response) => {
    response.json(await operations.retryDelivery(parseEnvelopeId(request.params.id)));
  });
  router.post('/receptions/:id/retry', async (request, response) => {
    response.json(await operations.retryReception(parseEnvelopeId(request.params.id)));
  });
  return router;
}

/** `?state=parked&limit=20`; an unknown state simply fits nothing. */
function filterOf<S extends string>(request: Request): { state?: S; limit: number } {
  const { state, limit } = request.query;
  const count = limit === undefined ? DEFAULT_LIMIT : Number(limit);
  if (!Number.isInteger(count) || count < 1 || count > MAX_LIMIT) {
    throw new GatewayError('REQUEST_INVALID', `limit must be a whole number from 1 to ${MAX_LIMIT}`);
  }
  return { limit: count, ...(typeof state === 'string' ? { state: state as S } : {}) };
}
