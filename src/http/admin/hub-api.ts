/** The JSON API of a hub's dashboard: its inboxes, its envelopes, and the two things that an operator can do about one. */
import { Router } from 'express';
import { parseEnvelopeId } from '../../domain/envelope-id.js';
import type { HubOperations } from '../ports.js';
import { listFilter } from './list-filter.js';

export function hubApiRoutes(operations: HubOperations): Router {
  const router = Router();
  router.get('/hub/overview', (_request, response) => {
    response.json(operations.overview());
  });
  router.get('/parcels', (request, response) => {
    response.json(operations.parcels(listFilter(request)));
  });
  router.post('/parcels/:id/retry', async (request, response) => {
    const id = parseEnvelopeId(request.params.id);
    await operations.retryParcel(id);
    response.json({ id });
  });
  router.post('/parcels/:id/discard', async (request, response) => {
    const id = parseEnvelopeId(request.params.id);
    await operations.discardParcel(id);
    response.json({ id });
  });
  return router;
}
