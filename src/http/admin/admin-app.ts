/**
 * What every dashboard has, a site's and a hub's: the login, the guard behind it, the events, the pages, and what says
 * to other machines whether we live. What there is to see and do is the caller's.
 */
import { fileURLToPath } from 'node:url';
import express, { type Express, type RequestHandler, type Router } from 'express';
import { GatewayError } from '../../errors/gateway-error.js';
import type { Log } from '../../observe/log.js';
import { problemHandler } from '../problem.js';
import { events } from './events.js';
import { type AdminSecrets, guard } from './guard.js';
import { noStore, strictHeaders } from './headers.js';
import { loginRoutes } from './login.js';

export interface AdminAppOptions {
  readonly auth: AdminSecrets;
  readonly log: Log;
  /** What stands below /api. */
  readonly api: Router;
  /** File in the folder of assets that is the page. */
  readonly page: string;
  /** The answer of /readyz; 503 unless `ready`. */
  readonly readiness: () => Promise<{ readonly ready: boolean }>;
  readonly subscribe: (listener: () => void) => () => void;
  /** What /metrics gives, in the Prometheus text format; without it there is no such address. */
  readonly metrics?: () => Promise<string>;
  /** Somebody else's pages, behind the same login, with headers that let them work. */
  readonly board?: { readonly path: string; readonly headers: RequestHandler; readonly router: Router };
}

const ASSETS = fileURLToPath(new URL('../dashboard/', import.meta.url));
/** What the login needs before anybody has logged in. */
const PUBLIC_ASSETS = ['/app.css', '/login.css', '/login.js', '/favicon.svg'];
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export function createAdminApp(options: AdminAppOptions): Express {
  const { auth, log, board, metrics } = options;
  const app = express();
  app.disable('x-powered-by');
  app.use((request, response, next) => {
    const isBoard = board !== undefined && request.path.startsWith(board.path);
    (isBoard ? board.headers : strictHeaders)(request, response, next);
  });
  app.get('/healthz', (_request, response) => {
    response.type('text').send('ok');
  });
  app.get('/readyz', async (_request, response) => {
    const readiness = await options.readiness();
    response.status(readiness.ready ? 200 : 503).json(readiness);
  });
  app.use(loginRoutes(auth, log));
  app.get(PUBLIC_ASSETS, express.static(ASSETS));
  app.use(guard(auth, log));
  app.get('/api/events', events(options));
  app.use('/api', noStore, options.api);
  if (metrics !== undefined) {
    app.get('/metrics', noStore, async (_request, response) => {
      response.setHeader('content-type', METRICS_TYPE).send(await metrics());
    });
  }
  if (board !== undefined) app.use(board.path, board.router);
  app.use(express.static(ASSETS, { index: options.page, redirect: false }));
  app.use(() => {
    throw new GatewayError('ENVELOPE_NOT_FOUND', 'there is nothing at this address');
  });
  app.use(problemHandler(log));
  return app;
}
