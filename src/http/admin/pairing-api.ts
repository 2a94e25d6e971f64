/** The JSON API by which an operator pairs this bridge with another one; see `PairingDesk`. */
import { json, Router } from 'express';
import { GatewayError } from '../../errors/gateway-error.js';
import type { PairingDesk } from '../pairing-ports.js';

const MAX_BODY_BYTES = 4096;

export function pairingApi(desk: PairingDesk): Router {
  const router = Router();
  router.get('/pairing', (_request, response) => {
    response.json(desk.view());
  });
  router.use('/pairing', json({ limit: MAX_BODY_BYTES }));
  router.post('/pairing/open', (request, response) => {
    response.json(desk.open(text(request.body, 'host')));
  });
  router.post('/pairing/call', async (request, response) => {
    response.json(await desk.call(text(request.body, 'url'), text(request.body, 'host')));
  });
  router.post('/pairing/agree', async (request, response) => {
    response.json(await desk.agree(text(request.body, 'id'), text(request.body, 'words')));
  });
  router.post('/pairing/refuse', (request, response) => {
    response.json(desk.refuse(text(request.body, 'id')));
  });
  router.post('/peers/:id/test', async (request, response) => {
    response.json(await desk.test(request.params.id));
  });
  return router;
}

/** @throws REQUEST_INVALID */
function text(body: unknown, member: string): string {
  const value =
    typeof body === 'object' && body !== null && Object.hasOwn(body, member)
      ? (body as Record<string, unknown>)[member]
      : undefined;
  if (typeof value === 'string' && value !== '') return value;
  throw new GatewayError('REQUEST_INVALID', `expected a JSON object with ${member}`);
}
