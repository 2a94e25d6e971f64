/** Asks a Redis what it is. One short connection, no waiting, no second try. */
import { Redis, type RedisOptions } from 'ioredis';
import { GatewayError } from '../../errors/gateway-error.js';
import { oneShot, withinTime } from '../connection.js';

/** BullMQ's Lua scripts need what came with Redis 6.2. */
const OLDEST_MAJOR = 6;
const OLDEST_MINOR = 2;
export const OLDEST_VERSION = `${OLDEST_MAJOR}.${OLDEST_MINOR}`;

/** What a server says when the password or the user is wrong or missing: the first word of an error reply. */
const AUTHENTICATION_REPLIES = new Set(['NOAUTH', 'WRONGPASS', 'NOPERM']);

export interface RedisFacts {
  /** `Redis 7.0.15`. */
  readonly version: string;
  readonly isRecentEnough: boolean;
  /** Still reading its data: it answers, but takes no commands. */
  readonly isLoading: boolean;
  readonly maxmemoryPolicy: string | undefined;
  readonly isAppendOnly: boolean;
  readonly processId: number | undefined;
}

/**
 * Connects, asks, disconnects.
 * @throws REDIS_UNAVAILABLE when there is no answer within `timeoutMs`; CONFIG_INVALID when user or password are wrong
 */
export async function probeRedis(connection: RedisOptions, timeoutMs: number): Promise<RedisFacts> {
  const redis = new Redis(oneShot(connection, timeoutMs));
  // A refused password shows only here; the call itself fails with a closed connection.
  let lastEvent: unknown;
  redis.on('error', (error) => {
    lastEvent = error;
  });
  try {
    return await withinTime(async () => {
      await redis.connect();
      return parseInfo(await redis.info());
    }, timeoutMs);
  } catch (error) {
    throw refusal(lastEvent) ?? refusal(error) ?? error;
  } finally {
    redis.disconnect();
  }
}

/** Reads the answer to INFO. */
export function parseInfo(info: string): RedisFacts {
  const fields = new Map<string, string>();
  for (const line of info.split(/\r?\n/)) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  // Valkey also names the Redis whose commands it has (7.2.4), and that is what counts for its age.
  const redisVersion = fields.get('redis_version') ?? '';
  const valkeyVersion = fields.get('valkey_version');
  return {
    version: valkeyVersion === undefined ? `Redis ${redisVersion || 'unknown'}` : `Valkey ${valkeyVersion}`,
    isRecentEnough: isRecentEnough(redisVersion),
    isLoading: fields.get('loading') === '1',
    maxmemoryPolicy: fields.get('maxmemory_policy'),
    isAppendOnly: fields.get('aof_enabled') === '1',
    processId: Number(fields.get('process_id')) || undefined,
  };
}

/** Whether `6.2.14` or the like is a version that we run on. */
export function isRecentEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > OLDEST_MAJOR || (major === OLDEST_MAJOR && minor >= OLDEST_MINOR);
}

/** The error for a refused user or password, if this is what an error says. */
function refusal(error: unknown): GatewayError | undefined {
  const cause = error instanceof GatewayError ? error.cause : error;
  if (!(cause instanceof Error) || cause.name !== 'ReplyError') return undefined;
  const reply = cause.message.split(' ')[0] ?? '';
  if (!AUTHENTICATION_REPLIES.has(reply)) return undefined;
  return new GatewayError('CONFIG_INVALID', 'Redis refuses the user or password', { facts: { reply } });
}
