/** Lets in who has logged in or has the token; a cookie alone may change something only from our own pages. */
import type { RequestHandler } from 'express';
import { GatewayError } from '../../errors/gateway-error.js';
import type { Log } from '../../observe/log.js';
import { isSameOrigin, proofOf } from '../auth.js';
import { sendProblem } from '../problem.js';

/** What opens the dashboard. */
export interface AdminSecrets {
  readonly passwordHash: string;
  readonly sessionKey: Buffer;
  readonly apiToken: string;
}

/** What the handlers behind the guard know of who asks. */
export type OperatorLocals = {
  /** The proof, and where it came from: there is one password, and one token. For records and logs. */
  operator: string;
};

/** Browsers are led to the login; everybody else gets 401, and a forged request NOT_AUTHORISED. */
export function guard(auth: AdminSecrets, log: Log): RequestHandler {
  return (request, response, next) => {
    const proof = proofOf(request, auth, Date.now());
    if (proof === undefined) {
      if (request.method === 'GET' && request.accepts(['json', 'html']) === 'html') {
        response.redirect(303, '/login');
        return;
      }
      response.setHeader('www-authenticate', 'Bearer realm="drawbridge"');
      sendProblem(response, new GatewayError('NOT_AUTHORISED', 'log in, or send the token'), log, 401);
      return;
    }
    const changes = request.method !== 'GET' && request.method !== 'HEAD';
    if (changes && proof === 'cookie' && !isSameOrigin(request)) {
      throw new GatewayError('NOT_AUTHORISED', 'this request does not come from the dashboard');
    }
    const through = proof === 'cookie' ? 'dashboard' : 'token';
    response.locals['operator'] = `${through}, ${request.socket.remoteAddress ?? 'no address'}`;
    next();
  };
}
