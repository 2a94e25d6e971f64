/**
 * Who a process id belongs to. Ids are used again, so that an id from a file proves nothing: before anything is
 * killed, its command line must name our own files.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { runCommand } from './run-command.js';

const PS_TIMEOUT_MS = 5_000;
const POLL_MS = 20;
/** Field 22 of /proc/<pid>/stat, counted from the one after the name in brackets (proc(5)). */
const START_TIME_FIELD = 19;

/** Its command line, or undefined when there is no such process. */
export async function commandLineOf(pid: number): Promise<string | undefined> {
  if (process.platform === 'linux') {
    const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => undefined);
    return text?.replaceAll('\0', ' ');
  }
  return runCommand('ps', ['-o', 'command=', '-p', String(pid)], { timeoutMs: PS_TIMEOUT_MS });
}

/** When it was started, in a form that can only be compared; undefined when there is no such process. */
export async function startTimeOf(pid: number): Promise<string | undefined> {
  if (process.platform === 'linux') {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
    return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[START_TIME_FIELD];
  }
  const text = await runCommand('ps', ['-o', 'lstart=', '-p', String(pid)], { timeoutMs: PS_TIMEOUT_MS });
  return text?.trim() || undefined;
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives, and belongs to somebody else.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** Ends a process by its id: SIGTERM, and SIGKILL when it still runs after `graceMs`. */
export async function endProcess(pid: number, graceMs: number): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    try {
      process.kill(pid, signal);
    } catch {
      return;
    }
    const deadlineMs = Date.now() + graceMs;
    while (Date.now() < deadlineMs) {
      if (!isAlive(pid) || (await isUnreaped(pid))) return;
      await pause(POLL_MS);
    }
  }
}

/** It has ended and waits for its parent to notice, which a container's first process may never do. */
async function isUnreaped(pid: number): Promise<boolean> {
  return process.platform === 'linux' && ((await commandLineOf(pid)) ?? '') === '';
}
