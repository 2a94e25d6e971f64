/** POST /api/jmix/:id/acknowledge: the caller has an envelope durably, or will never accept it. 204 in any case. */
import type { RequestHandler } from 'express';
import { parseEnvelopeId } from '../../domain/envelope-id.js';
import { GatewayError } from '../../errors/gateway-error.js';
import type { InboxApi, PeerLocals } from '../ports.js';
import { inboxCaller } from './inbox-caller.js';

export function postAcknowledge(
  inbox: InboxApi,
): RequestHandler<{ id: string }, unknown, unknown, unknown, PeerLocals> {
  return async (request, response) => {
    const id = parseEnvelopeId(request.params.id);
    await inbox.acknowledge(inboxCaller(request, response), id, outcomeOf(request.body));
    response.status(204).end();
  };
}

function outcomeOf(body: unknown): 'taken' | 'refused' {
  const outcome = typeof body === 'object' && body !== null && 'outcome' in body ? body.outcome : undefined;
  if (outcome === 'taken' || outcome === 'refused') return outcome;
  throw new GatewayError(
    'REQUEST_INVALID',
    'expected application/json: {"outcome":"taken"} or {"outcome":"refused"}',
  );
}
