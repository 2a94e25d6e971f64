/**
 * A thread that is asked to do things to files, and answers. It is started by the first question, and keeps no process
 * alive but while somebody waits for it. Where it is not asked for long, it may end, and be started again.
 */
import type { Worker } from 'node:worker_threads';
import { classifyDiskError } from './atomic.js';

/** As it crosses to the thread. */
export type Asked<Act> = Act & { readonly id: number };

/** As it comes back, one or several in a message. */
export interface Answer {
  readonly id: number;
  /** Why it could not be done. */
  readonly errno?: string;
}

export interface AskedThread<Act, Result extends Answer> {
  /** @throws SPOOL_WRITE_FAILED, for any reason that the thread gives, and when it dies */
  ask(act: Act): Promise<Result>;
  /** Something that nobody waits for; nothing where the thread does not run. */
  tell(act: Act): void;
  isRunning(): boolean;
}

interface Waiting<Result> {
  resolve(result: Result): void;
  reject(error: Error): void;
}

/** @param idleMs it ends when it was not asked for so long; by default it stays */
export function createAskedThread<Act, Result extends Answer>(
  start: () => Worker,
  idleMs?: number,
): AskedThread<Act, Result> {
  const waiting = new Map<number, Waiting<Result>>();
  let thread: Worker | undefined;
  let lastId = 0;
  let idle: NodeJS.Timeout | undefined;

  /** Nobody waits for it any more. */
  const rest = (resting: Worker): void => {
    resting.unref();
    if (idleMs === undefined) return;
    // What was only told is answered as well.
    clearTimeout(idle);
    idle = setTimeout(() => {
      thread = undefined;
      void resting.terminate();
    }, idleMs).unref();
  };

  const startThread = (): Worker => {
    const started = start();
    started.on('message', (results: readonly Result[]) => {
      for (const result of results) {
        const { resolve, reject } = waiting.get(result.id) ?? {};
        waiting.delete(result.id);
        if (result.errno === undefined) resolve?.(result);
        else reject?.(diskError(result.errno));
      }
      if (waiting.size === 0) rest(started);
    });
    const broken = () => {
      // Of one that has ended by itself nobody waits, and another may run in its place.
      if (thread !== started) return;
      clearTimeout(idle);
      thread = undefined;
      for (const { reject } of waiting.values()) reject(diskError('ESRCH'));
      waiting.clear();
    };
    started.on('error', broken).on('exit', broken);
    started.unref();
    return started;
  };

  return {
    ask(act) {
      clearTimeout(idle);
      thread ??= startThread();
      const asked = thread;
      lastId += 1;
      const id = lastId;
      return new Promise((resolve, reject) => {
        asked.ref();
        waiting.set(id, { resolve, reject });
        asked.postMessage({ id, ...act } satisfies Asked<Act>);
      });
    },
    tell(act) {
      thread?.postMessage({ id: 0, ...act } satisfies Asked<Act>);
    },
    isRunning: () => thread !== undefined,
  };
}

function diskError(errno: string): Error {
  return classifyDiskError(Object.assign(new Error(errno), { code: errno }));
}
