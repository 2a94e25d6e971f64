/**
 * Conversions in threads of their own: a decoder that hangs, runs out of memory or crashes takes its thread with it and
 * nothing else. Threads start when they are needed, live on for the next instance of the same study, and end when there
 * is none; they keep no process alive.
 */
import { Worker } from 'node:worker_threads';
import { GatewayError } from '../errors/gateway-error.js';
import type { Transcoding } from './transcode.js';
import type { TranscodeAnswer } from './transcode-worker.js';

export interface Transcoder {
  /**
   * As `transcode`. Waits for its turn where all threads are busy.
   * @throws TRANSCODE_FAILED, also when the decoder hangs or dies; SPOOL_WRITE_FAILED; CANCELLED on abort
   */
  transcode(job: Transcoding, signal: AbortSignal): Promise<void>;
}

export interface TranscoderOptions {
  /** The module of the thread. */
  readonly entry?: URL;
  /** Conversions at one time; each may take up to 2 GiB for a moment. Default 2. */
  readonly threads?: number;
  /** A conversion that finishes no frame in so long is given up. Default one minute. */
  readonly stallMs?: number;
  /** A thread without work ends after this. Default 15 seconds. */
  readonly idleMs?: number;
}

/** Of the thread's JavaScript; that of the decoders is bounded by their module, at 2 GiB. */
const MAX_HEAP_MB = 256;

export function createTranscoder(options: TranscoderOptions = {}): Transcoder {
  const { threads = 2, stallMs = 60_000, idleMs = 15_000 } = options;
  const entry = options.entry ?? new URL('./transcode-worker.js', import.meta.url);
  const idle: { readonly worker: Worker; readonly timer: NodeJS.Timeout; forget(): void }[] = [];
  const waiting: (() => void)[] = [];
  let running = 0;

  const takeWorker = (): Worker => {
    const known = idle.pop();
    if (known === undefined)
      return new Worker(entry, { resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB } });
    clearTimeout(known.timer);
    known.worker.off('error', known.forget).off('exit', known.forget);
    known.worker.ref();
    return known.worker;
  };
  const keepWorker = (worker: Worker): void => {
    const forget = () => {
      const at = idle.findIndex((each) => each.worker === worker);
      if (at >= 0) clearTimeout(idle.splice(at, 1)[0]?.timer);
    };
    const timer = setTimeout(() => {
      forget();
      void worker.terminate();
    }, idleMs);
    timer.unref();
    worker.unref();
    worker.on('error', forget);
    worker.on('exit', forget);
    idle.push({ worker, timer, forget });
  };

  return {
    async transcode(job, signal) {
      while (running >= threads) await turn(waiting, signal);
      if (signal.aborted) throw cancelled();
      running += 1;
      const worker = takeWorker();
      let isSound = false;
      try {
        const answer = await ask(worker, job, stallMs, signal);
        isSound = true;
        if (answer.type === 'failed') throw new GatewayError(answer.code, answer.message);
      } finally {
        if (isSound) keepWorker(worker);
        else await worker.terminate();
        running -= 1;
        waiting.shift()?.();
      }
    },
  };
}

/** Resolves when a thread may be free. */
async function turn(waiting: (() => void)[], signal: AbortSignal): Promise<void> {
  if (signal.aborted) throw cancelled();
  await new Promise<void>((resolve) => {
    const go = () => {
      signal.removeEventListener('abort', leave);
      resolve();
    };
    const leave = () => {
      waiting.splice(waiting.indexOf(go), 1);
      resolve();
    };
    signal.addEventListener('abort', leave, { once: true });
    waiting.push(go);
  });
}

/** The thread's last word on a job. Rejects when there is none; then the thread is to be ended. */
function ask(
  worker: Worker,
  job: Transcoding,
  stallMs: number,
  signal: AbortSignal,
): Promise<Exclude<TranscodeAnswer, { type: 'progress' }>> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      worker.off('message', hear).off('error', die).off('exit', vanish);
      // What the thread still has to say, nobody wants to know; an error that nobody hears would end the process.
      worker.on('error', ignore);
    };
    const fail = (message: string, cause?: unknown) => {
      end();
      reject(new GatewayError('TRANSCODE_FAILED', message, { cause }));
    };
    const abort = () => {
      end();
      reject(cancelled());
    };
    const timer = setTimeout(() => fail(`no frame was decoded in ${stallMs / 1000} seconds`), stallMs);
    signal.addEventListener('abort', abort, { once: true });
    const hear = (answer: TranscodeAnswer) => {
      if (answer.type === 'progress') {
        timer.refresh();
        return;
      }
      end();
      resolve(answer);
    };
    const die = (cause: unknown) => fail('the decoder died', cause);
    const vanish = () => fail('the decoder ended');
    // Single listeners come and go; to remove all of a worker's would deafen it.
    worker.off('error', ignore).on('message', hear).on('error', die).on('exit', vanish);
    worker.postMessage(job);
  });
}

function ignore(): void {}

function cancelled(): GatewayError {
  return new GatewayError('CANCELLED', 'a conversion was stopped');
}
