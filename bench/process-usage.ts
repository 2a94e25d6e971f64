/** What the kernel knows of a process of anybody's (proc(5)); nothing where it is no Linux, or the process has ended. */
import { readFileSync } from 'node:fs';

export interface Usage {
  /** User and system, with children that it has waited for. */
  readonly cpuSeconds: number;
  /** Largest resident set so far, in MiB. */
  readonly peakMib: number;
}

const TICKS_PER_SECOND = 100;
/** Of /proc/<pid>/stat after the name in brackets: utime, stime, cutime, cstime. */
const TIMES_FROM = 11;
const TIMES_TO = 15;

export function readUsage(pid: number | undefined): Usage | undefined {
  if (pid === undefined) return undefined;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = fields.slice(TIMES_FROM, TIMES_TO).reduce((sum, field) => sum + Number(field), 0);
    const kib = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return { cpuSeconds: ticks / TICKS_PER_SECOND, peakMib: Number(kib) / 1024 };
  } catch {
    return undefined;
  }
}
