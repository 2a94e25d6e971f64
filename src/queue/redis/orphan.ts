/**
 * A bridge that was killed leaves its Redis running. Two servers on one append-only file would destroy it, so that
 * the one left over is found and ended before another is started; its jobs are in the file.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { Redis } from 'ioredis';
import { GatewayError } from '../../errors/gateway-error.js';
import type { Log } from '../../observe/log.js';
import { oneShot, withinTime } from '../connection.js';
import type { InstanceFiles } from './instance-files.js';
import { probeRedis } from './probe.js';
import { commandLineOf, endProcess, startTimeOf } from './process-identity.js';

const PROBE_TIMEOUT_MS = 1_000;
const END_GRACE_MS = 10_000;

interface Owner {
  readonly pid: number;
  readonly startTime: string | undefined;
}

/**
 * Takes the folder for this process, and ends the Redis that an earlier one left behind.
 * @throws STATE_INVALID when another bridge that is still alive runs its Redis here
 */
export async function takeOver(files: InstanceFiles, log: Log): Promise<void> {
  const owner = await readOwner(files.owner);
  if (owner !== undefined && owner.pid !== process.pid) {
    const startTime = await startTimeOf(owner.pid);
    if (startTime !== undefined && startTime === owner.startTime) {
      throw new GatewayError(
        'STATE_INVALID',
        `another bridge runs on this data folder, process ${owner.pid}`,
      );
    }
  }
  const pid = await findOrphan(files);
  if (pid !== undefined) {
    log.warn({ event: 'redis.orphan_found', pid }, 'ending the Redis that a killed bridge left running');
    await endProcess(pid, END_GRACE_MS);
  }
  const self: Owner = { pid: process.pid, startTime: await startTimeOf(process.pid) };
  try {
    await writeFile(files.owner, JSON.stringify(self), { mode: 0o600 });
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    // To start matters more: what the bridge has to ship is what makes room.
    log.warn(
      { event: 'redis.owner_not_noted' },
      'the disk is full: another bridge here would not be noticed',
    );
  }
}

function isDiskFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');
}

/** The id of a living Redis on our files, proved by the answer on our socket, or by its command line. */
async function findOrphan(files: InstanceFiles): Promise<number | undefined> {
  const answering = await pidBehindSocket(files);
  if (answering !== undefined) return answering;
  // It may be there without answering: stopped, or still reading its data.
  const noted = Number((await readFile(files.pid, 'utf8').catch(() => '')).trim());
  if (!Number.isSafeInteger(noted) || noted < 2) return undefined;
  // Redis shows its socket in its title: `redis-server unixsocket:/…/redis.sock`; before that, its arguments.
  const commandLine = (await commandLineOf(noted)) ?? '';
  const isOurs = commandLine.includes(files.socket) || commandLine.includes(files.config);
  return isOurs ? noted : undefined;
}

async function pidBehindSocket(files: InstanceFiles): Promise<number | undefined> {
  try {
    const { processId } = await probeRedis({ path: files.socket }, PROBE_TIMEOUT_MS);
    if (processId === undefined || (await dataFolderOf(files.socket)) !== files.data) return undefined;
    return processId;
  } catch {
    return undefined;
  }
}

async function dataFolderOf(socket: string): Promise<string | undefined> {
  const redis = new Redis(oneShot({ path: socket }, PROBE_TIMEOUT_MS));
  redis.on('error', () => {});
  try {
    const answer = await withinTime(async () => {
      await redis.connect();
      return redis.config('GET', 'dir');
    }, PROBE_TIMEOUT_MS);
    return Array.isArray(answer) && typeof answer[1] === 'string' ? answer[1] : undefined;
  } finally {
    redis.disconnect();
  }
}

async function readOwner(file: string): Promise<Owner | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(file, 'utf8'));
    if (typeof value !== 'object' || value === null || !('pid' in value)) return undefined;
    const startTime = 'startTime' in value ? value.startTime : undefined;
    if (typeof value.pid !== 'number') return undefined;
    return { pid: value.pid, startTime: typeof startTime === 'string' ? startTime : undefined };
  } catch {
    return undefined;
  }
}
