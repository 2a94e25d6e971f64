/**
 * The files of a private instance, and its configuration. Everything lies in one folder that only we may enter:
 * that, and not a password, is what protects the socket.
 */
import { createHash } from 'node:crypto';
import { lstat, mkdir, realpath } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { GatewayError } from '../../errors/gateway-error.js';

/** `sun_path` holds 108 bytes on Linux and 104 elsewhere, the final zero included. */
const SOCKET_PATH_MAX_BYTES = 103;

export interface InstanceFiles {
  readonly folder: string;
  readonly socket: string;
  readonly config: string;
  readonly pid: string;
  readonly log: string;
  /** Which bridge runs it. */
  readonly owner: string;
  /** Redis' own files. */
  readonly data: string;
}

/**
 * Names the files in `folder` (`<data>/redis`) and makes the folders, mode 0700. Where the socket's path would be
 * too long for the system, it lies in a folder of ours under the system's temporary one, always the same.
 * @throws STATE_INVALID when somebody else has that folder
 */
export async function prepareInstanceFiles(folder: string): Promise<InstanceFiles> {
  await mkdir(join(folder, 'data'), { recursive: true, mode: 0o700 });
  // Redis tells its folder without symbolic links, and by that it is recognised.
  const data = await realpath(join(folder, 'data'));
  let socket = join(folder, 'redis.sock');
  if (Buffer.byteLength(socket) > SOCKET_PATH_MAX_BYTES) {
    const name = createHash('sha256').update(folder).digest('hex').slice(0, 16);
    const short = join(tmpdir(), `drawbridge-${name}`);
    await mkdir(short, { recursive: true, mode: 0o700 });
    await assertOurs(short);
    socket = join(short, 'redis.sock');
  }
  return {
    folder,
    socket,
    config: join(folder, 'redis.conf'),
    pid: join(folder, 'redis.pid'),
    log: join(folder, 'redis.log'),
    owner: join(folder, 'owner.json'),
    data,
  };
}

/** The configuration file of Redis 6.2 to 8, and of Valkey. */
export function formatInstanceConfig(files: InstanceFiles): string {
  // Redis reads "…" with the same escapes as JSON for all that a path may hold.
  const lines = [
    '# Written by Drawbridge; a change would not last.',
    'port 0',
    `unixsocket ${JSON.stringify(files.socket)}`,
    'unixsocketperm 700',
    'daemonize no',
    `dir ${JSON.stringify(files.data)}`,
    `pidfile ${JSON.stringify(files.pid)}`,
    `logfile ${JSON.stringify(files.log)}`,
    'loglevel warning',
    'databases 1',
    'save ""',
    'appendonly yes',
    'appendfsync everysec',
    'aof-load-truncated yes',
    'maxmemory-policy noeviction',
  ];
  return `${lines.join('\n')}\n`;
}

/** Anybody can make a folder in the temporary one: ours is a folder, not a link, and shut to others. */
async function assertOurs(folder: string): Promise<void> {
  const stats = await lstat(folder);
  const isOurs = stats.isDirectory() && stats.uid === userInfo().uid && (stats.mode & 0o077) === 0;
  if (isOurs) return;
  throw new GatewayError('STATE_INVALID', 'the folder for the socket of Redis belongs to somebody else', {
    facts: { folder },
  });
}
