/** The API of a dashboard over operations that are given, and a folder from which commands find it. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { hashPassword } from '../../src/http/auth.js';
import { createDashboardApp } from '../../src/http/dashboard-app.js';
import { listenPlain } from '../../src/http/server.js';
import { silentLog } from '../../src/observe/log.js';
import { makeCommandFolder } from './cli.js';
import type { FakeOperations } from './fake-operations.js';

const TOKEN = 'token-of-scripts';

export interface CommandApi {
  /** The options with which a command asks it. */
  readonly config: readonly string[];
  stop(): Promise<void>;
}

export async function startCommandApi(operations: FakeOperations): Promise<CommandApi> {
  const auth = {
    passwordHash: await hashPassword('correct horse'),
    apiToken: TOKEN,
    sessionKey: Buffer.alloc(32, 3),
  };
  const app = createDashboardApp({ operations, boardQueues: [], auth, log: silentLog });
  const listener = await listenPlain({ host: '127.0.0.1', port: 0, app });
  const folder = await makeCommandFolder(listener.port, TOKEN);
  return {
    config: ['--config', join(folder, 'drawbridge.yaml')],
    async stop() {
      await listener.close(0);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
