/** The dashboard of a site: its page, its API, and the queues' own board, all behind one login. */
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { ExpressAdapter } from '@bull-board/express';
import type { Express, Router } from 'express';
import type { Log } from '../observe/log.js';
import { createAdminApp } from './admin/admin-app.js';
import { apiRoutes } from './admin/api.js';
import type { AdminSecrets } from './admin/guard.js';
import { boardHeaders } from './admin/headers.js';
import type { PairingDesk } from './pairing-ports.js';
import type { Operations } from './ports.js';

export interface DashboardOptions {
  readonly operations: Operations;
  readonly pairing?: PairingDesk;
  /** BullMQ queues, for the queues' own board. */
  readonly boardQueues: readonly unknown[];
  readonly auth: AdminSecrets;
  readonly log: Log;
  /** What /metrics gives, in the Prometheus text format; without it there is no such address. */
  readonly metrics?: () => Promise<string>;
}

type BoardServer = Parameters<typeof createBullBoard>[0]['serverAdapter'];

const BOARD_PATH = '/queues';

/** Ready when Redis and the workers are there: without them studies are taken in, but nothing goes on. */
export function createDashboardApp(options: DashboardOptions): Express {
  const { operations, pairing, auth, log, metrics } = options;
  return createAdminApp({
    auth,
    log,
    api: apiRoutes(operations, pairing),
    page: 'index.html',
    async readiness() {
      const { redis, workers } = await operations.overview();
      return { ready: redis.up && workers.up, redis: redis.up, workers: workers.up };
    },
    subscribe: (listener) => operations.subscribe(listener),
    ...(metrics === undefined ? {} : { metrics }),
    board: { path: BOARD_PATH, headers: boardHeaders, router: board(options.boardQueues) },
  });
}

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
