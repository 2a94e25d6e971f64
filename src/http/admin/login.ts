/** GET and POST /login, POST /logout. Guesses are slowed down, for everybody at once: there is one password. */

import { fileURLToPath } from 'node:url';
import express, { Router } from 'express';
import type { Log } from '../../observe/log.js';
import { isSameOrigin, openSession, sessionCookie, verifyPassword } from '../auth.js';

export interface LoginSecrets {
  readonly passwordHash: string;
  readonly sessionKey: Buffer;
}

/** Failed guesses in a row that cost nothing. */
const FREE_FAILURES = 5;
/** After those, every further one closes the door for this long. */
const LOCK_MS = 30_000;
const PAGE = fileURLToPath(new URL('../dashboard/login.html', import.meta.url));

export function loginRoutes(secrets: LoginSecrets, log: Log): Router {
  const router = Router();
  let failures = 0;
  let guessing = 0;
  let lockedUntilMs = 0;
  /** Guesses that run beside each other count before they are judged, else a thousand at once were free. */
  const mustWait = () => Date.now() < lockedUntilMs || (guessing > 0 && failures + guessing >= FREE_FAILURES);

  router.get('/login', (_request, response) => response.sendFile(PAGE));

  router.post('/login', express.urlencoded({ extended: false, limit: '4kb' }), async (request, response) => {
    if (!isSameOrigin(request)) {
      response.redirect(303, '/login?error=origin');
      return;
    }
    if (mustWait()) {
      response.redirect(303, '/login?error=wait');
      return;
    }
    const body = request.body as Record<string, unknown> | undefined;
    const password = typeof body?.['password'] === 'string' ? body['password'] : '';
    guessing += 1;
    const isRight = await verifyPassword(password, secrets.passwordHash).finally(() => {
      guessing -= 1;
    });
    if (!isRight) {
      failures += 1;
      if (failures >= FREE_FAILURES) lockedUntilMs = Date.now() + LOCK_MS;
      log.warn({ event: 'login.failed', remoteAddress: request.socket.remoteAddress, failures });
      response.redirect(303, '/login?error=password');
      return;
    }
    failures = 0;
    log.info({ event: 'login.succeeded', remoteAddress: request.socket.remoteAddress });
    const session = openSession(secrets.sessionKey, Date.now());
    response.setHeader('set-cookie', sessionCookie(request, secrets.sessionKey, session));
    response.redirect(303, '/');
  });

  router.post('/logout', (request, response) => {
    if (isSameOrigin(request)) {
      response.setHeader('set-cookie', sessionCookie(request, secrets.sessionKey, ''));
    }
    response.redirect(303, '/login');
  });
  return router;
}
