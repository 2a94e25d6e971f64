/**
 * Finds a Redis to run on, best first: the configured one; one that is installed here; the distribution's package,
 * unpacked; at last one in JavaScript. None of them can lose anything, because the disk is the truth.
 */
import { join, resolve } from 'node:path';
import type { ConnectionOptions } from 'node:tls';
import { GatewayError, isGatewayError } from '../../errors/gateway-error.js';
import type { Log } from '../../observe/log.js';
import { useConfigured } from './configured.js';
import { unpackDebianPackage } from './debian-package.js';
import { startEmbedded } from './embedded.js';
import { PrivateInstance } from './private-instance.js';
import type { RedisKind, RunningRedis } from './running-redis.js';
import { findInstalled, type ServerProgram } from './server-program.js';
import { watchRedis } from './watch.js';

export type Rung = Exclude<RedisKind, 'configured'>;

const RUNGS: readonly Rung[] = ['private', 'unpacked', 'embedded'];

const EMBEDDED_NOTE =
  'no Redis could be had: an embedded one in JavaScript runs instead, in memory only and about 40 jobs a second; ' +
  'install redis-server for daily work';

export interface RedisChoice {
  /** `redis://…` or `rediss://…`; absent for a Redis of our own. */
  readonly url?: string;
  readonly password?: string;
  readonly tls?: ConnectionOptions;
  /** The bridge's data folder; `redis` in it is ours. */
  readonly dataDir: string;
  /** Whether the distribution's package may be fetched. */
  readonly allowDownload: boolean;
  readonly log: Log;
  /** The rungs to try, in order; all by default. */
  readonly rungs?: readonly Rung[];
}

/**
 * Resolves when a Redis runs and takes commands (a configured one may come later: see its `note`).
 * @throws CONFIG_INVALID for a configured Redis that cannot be right; STATE_INVALID when another bridge runs on this
 * data folder; REDIS_UNAVAILABLE when no rung holds
 */
export async function startRedis(choice: RedisChoice): Promise<RunningRedis> {
  const { url, log } = choice;
  if (url !== undefined) return useConfigured({ ...choice, url });
  const folder = join(resolve(choice.dataDir), 'redis');
  for (const rung of choice.rungs ?? RUNGS) {
    try {
      const running = await CLIMB[rung](folder, choice);
      if (running !== undefined) return running;
    } catch (error) {
      if (isGatewayError(error) && error.code === 'STATE_INVALID') throw error;
      log.warn(
        { event: 'redis.rung_failed', rung, reason: String(error) },
        'trying the next way to have a Redis',
      );
    }
  }
  throw new GatewayError(
    'REDIS_UNAVAILABLE',
    'no Redis could be started; install redis-server, or set redis.url',
  );
}

/** Each gives undefined where its rung is missing on this machine. */
const CLIMB: Record<Rung, (folder: string, choice: RedisChoice) => Promise<RunningRedis | undefined>> = {
  private: async (folder, { log }) => {
    const program = await findInstalled();
    return program && runProgram('private', program, folder, log);
  },

  unpacked: async (folder, { allowDownload, log }) => {
    if (!allowDownload) return undefined;
    const program = await unpackDebianPackage(folder, log);
    return program && runProgram('unpacked', program, folder, log);
  },

  embedded: async (folder, { log }) => {
    const server = await startEmbedded(folder, log);
    log.warn({ event: 'redis.embedded' }, EMBEDDED_NOTE);
    return withWatch('embedded', server, log, { note: EMBEDDED_NOTE });
  },
};

async function runProgram(
  kind: Rung,
  program: ServerProgram,
  folder: string,
  log: Log,
): Promise<RunningRedis> {
  const instance = await PrivateInstance.start(program, folder, log);
  const { connection } = instance;
  return withWatch(kind, { connection, version: program.version, stop: () => instance.stop() }, log);
}

function withWatch(
  kind: Rung,
  server: Pick<RunningRedis, 'connection' | 'version' | 'stop'>,
  log: Log,
  extra: { readonly note?: string } = {},
): RunningRedis {
  const watch = watchRedis(server.connection, log);
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    watch.stop();
    await server.stop();
  };
  return {
    connection: server.connection,
    kind,
    version: server.version,
    ...extra,
    onDown: watch.onDown,
    onRestored: watch.onRestored,
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}
