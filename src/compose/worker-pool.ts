/**
 * The worker processes of one machine. One that dies, or cannot be started because the machine is short of something,
 * is started again a little later; its jobs are taken up where their records say.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Log } from '../observe/log.js';

const FIRST_RESTART_MS = 500;
const LONGEST_RESTART_MS = 30_000;
/** A worker that lived for this long had nothing wrong with its start. */
const HEALTHY_MS = 60_000;
/** Above the grace that a worker gives its steps. */
const KILL_AFTER_MS = 20_000;

export interface WorkerPool {
  start(): void;
  /** Somebody works; always so where no process is to be started here, since others are not seen from here. */
  up(): boolean;
  /** Lets the workers end, then kills them. */
  close(): Promise<void>;
}

/**
 * @param module the file of a worker process
 * @param environment what they get beside our own: their runtime (runtime.ts), and whose they are (left-over-workers.ts)
 */
export function createWorkerPool(
  count: number,
  module: URL,
  environment: Readonly<Record<string, string>>,
  log: Log,
): WorkerPool {
  const children = new Set<ChildProcess>();
  const restarts = new Set<NodeJS.Timeout>();
  let closing = false;

  const startLater = (inMs: number) => {
    if (closing) return;
    const timer = setTimeout(() => {
      restarts.delete(timer);
      start(inMs);
    }, inMs);
    restarts.add(timer);
  };

  const notStarted = (error: unknown, delayMs: number) => {
    const restartInMs = Math.min(delayMs * 2, LONGEST_RESTART_MS);
    log.error({ event: 'worker.not_started', reason: String(error), restartInMs });
    startLater(restartInMs);
  };

  const spawn = (): ChildProcess =>
    fork(module, [], {
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });

  const start = (delayMs: number) => {
    const startedAtMs = Date.now();
    let child: ChildProcess;
    try {
      child = spawn();
    } catch (error) {
      // Of what the system lacks, Node throws some, and emits some.
      notStarted(error, delayMs);
      return;
    }
    children.add(child);
    child.once('error', (error) => {
      // No `exit` follows for a process that never was. One that is there will tell by that.
      if (child.pid === undefined && children.delete(child)) notStarted(error, delayMs);
    });
    child.once('exit', (code, signal) => {
      if (!children.delete(child) || closing) return;
      const nextMs =
        Date.now() - startedAtMs > HEALTHY_MS ? FIRST_RESTART_MS : Math.min(delayMs * 2, LONGEST_RESTART_MS);
      log.error({ event: 'worker.died', code, signal, restartInMs: nextMs });
      startLater(nextMs);
    });
  };

  return {
    start() {
      for (let index = 0; index < count; index += 1) start(FIRST_RESTART_MS);
    },
    up: () => count === 0 || [...children].some(({ pid }) => pid !== undefined),
    async close() {
      closing = true;
      for (const timer of restarts) clearTimeout(timer);
      const running = [...children].filter(({ pid }) => pid !== undefined);
      await Promise.all(
        running.map(async (child) => {
          const timer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
          const exited = once(child, 'exit');
          child.kill('SIGTERM');
          await exited;
          clearTimeout(timer);
        }),
      );
    },
  };
}
