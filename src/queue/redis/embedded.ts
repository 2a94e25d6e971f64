/**
 * Last rung: a Redis server in JavaScript, in this process, where nothing else can be had. In memory only and about
 * forty jobs a second; good enough to try the bridge, and safe, because the jobs are made again from the disk.
 *
 * It would listen on all interfaces without a password, so that only its protocol engine is used, behind a unix
 * socket of our own.
 */
import { rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import type { RedisOptions } from 'ioredis';
import type { Log } from '../../observe/log.js';
import { transportOver } from './embedded-transport.js';
import { prepareInstanceFiles } from './instance-files.js';
import { takeOver } from './orphan.js';

export interface EmbeddedServer {
  readonly connection: RedisOptions;
  readonly version: string;
  stop(): Promise<void>;
}

/**
 * Starts it on a socket in `folder`; resolves when it listens. Throws when the package does not load or listen.
 * @throws STATE_INVALID when another bridge that is still alive runs its Redis here
 */
export async function startEmbedded(folder: string, log: Log): Promise<EmbeddedServer> {
  // Loaded only where it is needed: its Lua engine is large.
  const { attachSession, createRedisCommandExecutor, RedisServerState } = await import(
    'js-redis-server/core'
  );
  const state = new RedisServerState({ databaseCount: 1 });
  const executor = createRedisCommandExecutor();
  const files = await prepareInstanceFiles(folder);
  await takeOver(files, log);
  const sockets = new Set<Socket>();
  const logger = {
    error: (error: unknown) => log.debug({ event: 'redis.session_failed', reason: String(error) }),
  };

  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    const transport = transportOver(socket);
    const { done, session } = attachSession(transport, {
      state,
      executor,
      logger,
      clientAddress: 'local:0',
    });
    // Ends a blocking read whose client has gone; by itself the session would wait for the read to end.
    transport.signal.addEventListener('abort', () => session.close(), { once: true });
    done.catch(logger.error);
  });
  await rm(files.socket, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(files.socket, resolve);
  });

  return {
    connection: { path: files.socket },
    version: 'js-redis-server',
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      state.close();
      await rm(files.owner, { force: true });
    },
  };
}
