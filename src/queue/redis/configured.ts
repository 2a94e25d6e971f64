/** First rung: the operator's own Redis, by URL. It is looked at and watched, never changed. */
import { isIP } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import type { RedisOptions } from 'ioredis';
import { GatewayError, isGatewayError } from '../../errors/gateway-error.js';
import type { Log } from '../../observe/log.js';
import { OLDEST_VERSION, probeRedis, type RedisFacts } from './probe.js';
import type { RunningRedis } from './running-redis.js';
import { watchRedis } from './watch.js';

const DEFAULT_PORT = 6379;
const PROBE_TIMEOUT_MS = 5_000;

export interface ConfiguredRedis {
  /** `redis://[user[:password]@]host[:port][/database]`, or `rediss://…` for TLS. */
  readonly url: string;
  /** Goes before one in the URL. */
  readonly password?: string;
  /** CA, client certificate and the like, for `rediss://`. */
  readonly tls?: ConnectionOptions;
  readonly log: Log;
}

/**
 * Uses a configured Redis. One that does not answer yet is no reason not to start: intake needs only the disk, and
 * the jobs wait.
 * @throws CONFIG_INVALID when the URL, user or password are wrong, or Redis is older than 6.2
 */
export async function useConfigured(options: ConfiguredRedis): Promise<RunningRedis> {
  const { log } = options;
  const connection = parseRedisUrl(options.url, options);
  let facts: RedisFacts | undefined;
  let notes: string[];
  try {
    facts = await probeRedis(connection, PROBE_TIMEOUT_MS);
    assertRecent(facts);
    notes = remarks(facts);
  } catch (error) {
    if (!isGatewayError(error) || error.code !== 'REDIS_UNAVAILABLE') throw error;
    notes = ['the Redis of redis.url does not answer yet; jobs wait until it does'];
  }
  for (const note of notes) log.warn({ event: 'redis.remarked' }, note);
  const watch = watchRedis(connection, log);
  return {
    connection,
    kind: 'configured',
    version: facts?.version ?? 'unknown',
    ...(notes.length === 0 ? {} : { note: notes.join('; ') }),
    onDown: watch.onDown,
    onRestored: watch.onRestored,
    stop: async () => watch.stop(),
  };
}

/**
 * The connection that a URL names.
 * @throws CONFIG_INVALID when it is not a redis:// or rediss:// URL, or its database is not a number
 */
export function parseRedisUrl(
  text: string,
  extra: { readonly password?: string; readonly tls?: ConnectionOptions } = {},
): RedisOptions {
  // The URL may hold a password: it never goes into a message.
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'redis:' && url.protocol !== 'rediss:') || url.hostname === '') {
    throw new GatewayError(
      'CONFIG_INVALID',
      'redis.url must look like redis://host:6379/0 or rediss://host:6379/0',
    );
  }
  const database = url.pathname.replace(/^\//, '');
  if (!/^\d{0,5}$/.test(database)) {
    throw new GatewayError('CONFIG_INVALID', 'redis.url must end in the number of a database, as in /0');
  }
  const password = extra.password ?? decodeURIComponent(url.password);
  // An IPv6 address stands in brackets in a URL, and nowhere else.
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  // A name to expect in the certificate; an address may not stand in SNI (RFC 6066 §3).
  const tls = { ...(isIP(host) === 0 ? { servername: host } : {}), ...extra.tls };
  return {
    host,
    port: url.port === '' ? DEFAULT_PORT : Number(url.port),
    db: Number(database),
    ...(url.username === '' ? {} : { username: decodeURIComponent(url.username) }),
    ...(password === '' ? {} : { password }),
    ...(url.protocol === 'rediss:' ? { tls } : {}),
  };
}

function assertRecent(facts: RedisFacts): void {
  if (facts.isRecentEnough) return;
  throw new GatewayError(
    'CONFIG_INVALID',
    `redis.url leads to ${facts.version}, ${OLDEST_VERSION} or later is needed`,
  );
}

function remarks(facts: RedisFacts): string[] {
  const notes: string[] = [];
  const policy = facts.maxmemoryPolicy;
  if (policy !== undefined && policy !== 'noeviction') {
    notes.push(`this Redis may throw jobs away: its maxmemory-policy is ${policy}, it must be noeviction`);
  }
  if (!facts.isAppendOnly) {
    notes.push('this Redis has no append-only file: after it restarts, jobs are made again from the records');
  }
  return notes;
}
