/**
 * A thread that is asked to do things to files, and answers. It is started by the first question, and keeps no process
 * alive but while somebody waits for it.
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

export function createAskedThread<Act, Result extends Answer>(start: () => Worker): AskedThread<Act, Result> {
  const waiting = new Map<number, Waiting<Result>>();
  let thread: Worker | undefined;
  let lastId = 0;

  const startThread = (): Worker => {
    const started = start();
    started.on('message', (results: readonly Result[]) => {
      for (const result of results) {
        const { resolve, reject } = waiting.get(result.id) ?? {};
        waiting.delete(result.id);
        if (result.errno === undefined) resolve?.(result);
        else reject?.(diskError(result.errno));
      }
      if (waiting.size === 0) started.unref();
    });
    const broken = () => {
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
