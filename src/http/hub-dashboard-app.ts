/** The dashboard of a hub: its page and its API, behind the same login as a site's. It has no queues to show. */
import type { Express } from 'express';
import type { Log } from '../observe/log.js';
import { createAdminApp } from './admin/admin-app.js';
import type { AdminSecrets } from './admin/guard.js';
import { hubApiRoutes } from './admin/hub-api.js';
import type { HubOperations } from './ports.js';

export interface HubDashboardOptions {
  readonly operations: HubOperations;
  readonly auth: AdminSecrets;
  readonly log: Log;
  /** What /metrics gives, in the Prometheus text format; without it there is no such address. */
  readonly metrics?: () => Promise<string>;
}

/** Ready unless the disk is so full that nothing is taken. */
export function createHubDashboardApp({ operations, auth, log, metrics }: HubDashboardOptions): Express {
  return createAdminApp({
    auth,
    log,
    api: hubApiRoutes(operations),
    page: 'hub.html',
    async readiness() {
      const { disk } = operations.overview();
      return { ready: disk.state !== 'refusing', disk: disk.state };
    },
    subscribe: (listener) => operations.subscribe(listener),
    ...(metrics === undefined ? {} : { metrics }),
  });
}
