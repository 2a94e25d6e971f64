/** `drawbridge up` with role hub: the hub's gateway and its dashboard, in this one process. */
import type { Settings } from '../config/settings.js';
import type { Log } from '../observe/log.js';
import { startHubGateway } from './hub-gateway.js';

export interface Hub {
  readonly ports: { readonly https: number };
  close(graceMs: number): Promise<void>;
}

/** @throws KEY_UNREADABLE, CONFIG_INVALID, and the listeners' errors (EADDRINUSE, EACCES) */
export async function startHub(settings: Settings, log: Log): Promise<Hub> {
  const gateway = await startHubGateway({ settings, log });
  return {
    ports: gateway.ports,
    close: (graceMs) => gateway.close(graceMs),
  };
}
