/**
 * A bridge that was killed leaves its workers behind: they notice, and let their steps end for some seconds. A bridge that
 * starts meanwhile would take up the same steps, and remove what they have not finished; so it ends them first. They are
 * known by what their environment says of the bridge that started them, which the steps in processes of their own inherit.
 * Seen on Linux only; elsewhere they are left to end by themselves.
 */
import { readdir, readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Log } from '../observe/log.js';
import { endProcess, startTimeOf } from '../queue/redis/process-identity.js';

/** In a worker's environment: the process of the bridge that started it, as `<pid> <start time> <data folder>`. */
export const SUPERVISOR_VARIABLE = 'DRAWBRIDGE_SUPERVISOR';
const PATTERN = /^(\d+) (\d*) (.+)$/s;

/** They are ending anyway, and what is not done is done again. */
const END_GRACE_MS = 1_000;

/** What the workers of this process carry in their environment. */
export async function supervisorMark(dataDir: string): Promise<string> {
  return `${process.pid} ${(await startTimeOf(process.pid)) ?? ''} ${resolve(dataDir)}`;
}

/** Ends the workers on this data folder whose bridge is there no more. Workers of a bridge that lives are left alone. */
export async function endLeftOverWorkers(dataDir: string, log: Log): Promise<void> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name)).map(Number);
  await Promise.all(
    pids.map(async (pid) => {
      const supervisor = PATTERN.exec((await markOf(pid)) ?? '');
      if (supervisor === null) return;
      const [, supervisorPid, startTime, folder] = supervisor;
      if (folder !== resolve(dataDir) || (await startTimeOf(Number(supervisorPid))) === startTime) return;
      log.warn({ event: 'worker.left_over', pid }, 'ending a worker that a killed bridge left running');
      await endProcess(pid, END_GRACE_MS);
    }),
  );
}

/** Undefined for other people's processes, and for all that no bridge has started. */
async function markOf(pid: number): Promise<string | undefined> {
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  const name = `${SUPERVISOR_VARIABLE}=`;
  const found = environment.split('\0').find((each) => each.startsWith(name));
  return found?.slice(name.length);
}
