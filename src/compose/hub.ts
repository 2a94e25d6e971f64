/** `drawbridge up` with role hub: the hub's gateway and its dashboard, in this one process. */
import type { Settings } from '../config/settings.js';
import { createHubDashboardApp } from '../http/hub-dashboard-app.js';
import { type HttpListener, listenPlain } from '../http/server.js';
import type { Log } from '../observe/log.js';
import { createLayout } from '../spool/layout.js';
import { readDashboardAuth } from './dashboard-auth.js';
import { startHubGateway } from './hub-gateway.js';
import { createHubOperations } from './hub-operations.js';

export interface Hub {
  readonly ports: { readonly https: number; readonly dashboard: number };
  close(graceMs: number): Promise<void>;
}

/** @throws KEY_UNREADABLE, CONFIG_INVALID, and the listeners' errors (EADDRINUSE, EACCES) */
export async function startHub(settings: Settings, log: Log): Promise<Hub> {
  const auth = await readDashboardAuth(createLayout(settings.dataDir).keys);
  const hub = await startHubGateway({ settings, log });
  const operations = createHubOperations({ hub, settings, startedAtMs: Date.now(), now: Date.now });
  let dashboard: HttpListener;
  try {
    dashboard = await listenPlain({
      host: settings.dashboard.host,
      port: settings.dashboard.port,
      app: createHubDashboardApp({ operations, auth, log }),
    });
  } catch (error) {
    await hub.close(0);
    throw error;
  }
  return {
    ports: { ...hub.ports, dashboard: dashboard.port },
    async close(graceMs) {
      await Promise.all([hub.close(graceMs), dashboard.close(0)]);
    },
  };
}
