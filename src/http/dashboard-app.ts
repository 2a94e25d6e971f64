/** The dashboard: its page, its API, and the queues' own board, all behind one login. */

import { fileURLToPath } from 'node:url';
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { ExpressAdapter } from '@bull-board/express';
import express, { type Express, type RequestHandler, type Router } from 'express';
import helmet from 'helmet';
import { GatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import { apiRoutes } from './admin/api.js';
import { events } from './admin/events.js';
import { loginRoutes } from './admin/login.js';
import { isSameOrigin, proofOf } from './auth.js';
import type { Operations } from './ports.js';
import { problemHandler, sendProblem } from './problem.js';

export interface DashboardOptions {
  readonly operations: Operations;
  /** BullMQ queues, for the queues' own board. */
  readonly boardQueues: readonly unknown[];
  readonly auth: { readonly passwordHash: string; readonly sessionKey: Buffer; readonly apiToken: string };
  readonly log: Log;
  /** What /metrics gives, in the Prometheus text format; without it there is no such address. */
  readonly metrics?: () => Promise<string>;
}

type BoardServer = Parameters<typeof createBullBoard>[0]['serverAdapter'];

const ASSETS = fileURLToPath(new URL('./dashboard/', import.meta.url));
/** What the login needs before anybody has logged in. */
const PUBLIC_ASSETS = ['/app.css', '/login.css', '/login.js', '/favicon.svg'];
const BOARD_PATH = '/queues';
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/**
 * With `no-referrer`, helmet's default, browsers send the login with `Origin: null`, and over plain HTTP nothing else
 * tells it from a forged one.
 */
const REFERRER_POLICY = { policy: 'same-origin' } as const;
/** Nothing but our own files; no script or style within a page. */
const STRICT = helmet({
  contentSecurityPolicy: {
    directives: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'"],
      imgSrc: ["'self'", 'data:'],
      connectSrc: ["'self'"],
      formAction: ["'self'"],
      baseUri: ["'none'"],
      frameAncestors: ["'none'"],
      fontSrc: ["'none'"],
      // Served without TLS on the loopback; a proxy in front of it says otherwise by itself.
      upgradeInsecureRequests: null,
    },
  },
  referrerPolicy: REFERRER_POLICY,
  strictTransportSecurity: false,
});
/** The board's pages bring scripts and styles within them, and would ask Google for fonts: a bridge asks nobody. */
const BOARD = helmet({
  contentSecurityPolicy: {
    directives: {
      scriptSrc: ["'self'", "'unsafe-inline'"],
      styleSrc: ["'self'", "'unsafe-inline'"],
      fontSrc: ["'self'"],
      upgradeInsecureRequests: null,
    },
  },
  referrerPolicy: REFERRER_POLICY,
  strictTransportSecurity: false,
});

export function createDashboardApp(options: DashboardOptions): Express {
  const { operations, auth, log, metrics } = options;
  const app = express();
  app.disable('x-powered-by');
  app.use((request, response, next) =>
    (request.path.startsWith(BOARD_PATH) ? BOARD : STRICT)(request, response, next),
  );
  app.get('/healthz', (_request, response) => {
    response.type('text').send('ok');
  });
  app.get('/readyz', async (_request, response) => {
    const { redis, workers } = await operations.overview();
    const ready = redis.up && workers.up;
    response.status(ready ? 200 : 503).json({ ready, redis: redis.up, workers: workers.up });
  });
  app.use(loginRoutes(auth, log));
  app.get(PUBLIC_ASSETS, express.static(ASSETS));
  app.use(guard(options));
  app.get('/api/events', events(operations));
  app.use('/api', noStore, apiRoutes(operations));
  if (metrics !== undefined) {
    app.get('/metrics', noStore, async (_request, response) => {
      response.setHeader('content-type', METRICS_TYPE).send(await metrics());
    });
  }
  app.use(BOARD_PATH, board(options.boardQueues));
  app.use(express.static(ASSETS, { index: 'index.html', redirect: false }));
  app.use(() => {
    throw new GatewayError('ENVELOPE_NOT_FOUND', 'there is nothing at this address');
  });
  app.use(problemHandler(log));
  return app;
}

/** Lets in who has logged in or has the token; a cookie alone may change something only from our own pages. */
function guard({ auth, log }: DashboardOptions): RequestHandler {
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
    next();
  };
}

const noStore: RequestHandler = (_request, response, next) => {
  response.setHeader('cache-control', 'no-store');
  next();
};

function board(queues: readonly unknown[]): Router {
  const adapter = new ExpressAdapter();
  adapter.setBasePath(BOARD_PATH);
  createBullBoard({
    queues: queues.map((queue) => new BullMQAdapter(queue as ConstructorParameters<typeof BullMQAdapter>[0])),
    // Its declarations were not written for exactOptionalPropertyTypes.
    serverAdapter: adapter as unknown as BoardServer,
    options: { uiConfig: { boardTitle: 'Drawbridge queues' } },
  });
  return adapter.getRouter() as Router;
}
