/**
 * The threads of payload-thread.mjs, two per process, and the jobs that they are given: one for files, one for the cipher.
 * Each is started by its first job, stays, and holds no process up. With one processor there are none: they would only
 * take turns.
 */
import { availableParallelism } from 'node:os';
import { MessageChannel, Worker } from 'node:worker_threads';
import { GatewayError } from '../errors/gateway-error.js';
import type { OpenPiece } from './payload-files.js';
import { borrowSlabs, type SlabPool } from './slab-pool.js';

/** One file to be read. */
export interface FileToRead {
  /** Or, of one that is not made yet, where its bytes lie. */
  readonly path?: string;
  readonly pieces?: readonly OpenPiece[];
  /** As it was announced; of a file that has grown, one byte more is read. */
  readonly sizeBytes: number;
  /** From where on a second hash is taken. */
  readonly tailOffset?: number;
}

export type ThreadTask =
  | { readonly kind: 'read'; readonly files: readonly FileToRead[] }
  | { readonly kind: 'write'; readonly folder: string }
  | {
      readonly kind: 'encrypt';
      readonly key: Buffer;
      readonly iv: Buffer;
      /** What the hash is of. */
      readonly hashed: 'tar' | 'ciphertext' | 'nothing';
    }
  | { readonly kind: 'decrypt'; readonly key: Buffer; readonly iv: Buffer; readonly authTag: Buffer };

/** What was read: bytes of one file, behind those of the piece before. */
export interface ReadPiece {
  readonly sizeBytes: number;
  /** Of the whole file, with its last piece. */
  readonly sha256?: string;
  /** From `tailOffset` on, with its last piece. */
  readonly tailSha256?: string;
}

/** A small file to be written, whole. */
export interface SmallFile {
  /** Where it comes into being, below the folder. */
  readonly name: string;
  readonly sizeBytes: number;
}

/** To read: a slab that may be filled. Else a slab that is; of the cipher, without one, the end. */
export interface ThreadMessage {
  readonly slab?: number;
  /** For the cipher. */
  readonly sizeBytes?: number;
  /** To be written, behind each other in the slab. */
  readonly files?: readonly SmallFile[];
}

export interface ThreadReply {
  /** The one of the message. */
  readonly slab?: number;
  /** From the cipher: as many bytes as went there. */
  readonly sizeBytes?: number;
  /** Of reading; none when all files are through. */
  readonly pieces?: readonly ReadPiece[];
  /** From the cipher, at the end. */
  readonly sha256?: string;
  readonly authTag?: Uint8Array;
  readonly isAuthentic?: boolean;
}

export interface ThreadJob {
  /** To be given back when the job has ended, and nobody else reads them any more. */
  readonly pool: SlabPool;
  post(message: ThreadMessage): void;
  /** The next reply; one to each message, in their order. @throws what went wrong in the thread; FAULT when it died */
  reply(): Promise<ThreadReply>;
  /** Returns when the thread has let go of every file, wherever the job stood. */
  end(): Promise<void>;
}

/** By job: large enough that a message, a read or a write costs nothing; small files are written while others come. */
export const SLAB_BYTES = {
  read: 1024 * 1024,
  encrypt: 1024 * 1024,
  decrypt: 1024 * 1024,
  write: 256 * 1024,
} as const satisfies Record<ThreadTask['kind'], number>;
/** One on either side, and some to wait in between. */
const SLABS = 6;

/** Next to nothing is made in a thread; more room for it would be taken all the same. */
const YOUNG_MB = 2;

/** Told of the thread's death. */
type Mourner = (cause: Error) => void;

interface Thread {
  readonly worker: Worker;
  readonly mourners: Set<Mourner>;
}

const threads: { files?: Thread; cipher?: Thread } = {};

/** Whether a second thread has a processor to run on. */
export const HAS_SECOND_PROCESSOR = availableParallelism() > 1;

export function startThreadJob(task: ThreadTask): ThreadJob {
  const { worker, mourners } = threadFor(task);
  const { port1: port, port2 } = new MessageChannel();
  const slabBytes = SLAB_BYTES[task.kind];
  const pool = borrowSlabs(SLABS, slabBytes);
  const replies: (ThreadReply | Error)[] = [];
  let wake = (): void => undefined;
  let isOver = false;

  const take = (reply: ThreadReply | Error): void => {
    replies.push(reply);
    wake();
  };
  const closed = new Promise<void>((resolve) => {
    port.once('close', () => {
      isOver = true;
      mourners.delete(mourn);
      wake();
      resolve();
    });
  });
  const mourn = (cause: Error): void => {
    take(new GatewayError('FAULT', 'a thread that seals and opens has died', { cause }));
    port.close();
  };
  mourners.add(mourn);
  port.on('message', (message: ThreadReply | { readonly error: ThreadError }) =>
    take('error' in message ? asError(message.error) : message),
  );
  worker.postMessage({ task, memory: pool.memory, slabBytes, port: port2 }, [port2]);

  return {
    pool,
    post: (message) => port.postMessage(message),
    async reply() {
      for (;;) {
        const [reply] = replies;
        // What went wrong stays where it is, for whoever asks again.
        if (reply instanceof Error) throw reply;
        if (reply !== undefined) {
          replies.shift();
          return reply;
        }
        if (isOver) throw new GatewayError('FAULT', 'a job of another thread is over');
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    end() {
      port.postMessage('end');
      return closed;
    },
  };
}

function threadFor({ kind }: ThreadTask): Thread {
  const which = kind === 'read' || kind === 'write' ? 'files' : 'cipher';
  const running = threads[which];
  if (running !== undefined) return running;
  const worker = new Worker(new URL('./payload-thread.mjs', import.meta.url), {
    env: {},
    execArgv: [],
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    // Node 20 overlooks what is opened synchronously, and warns when it is closed.
    trackUnmanagedFds: false,
  });
  const started: Thread = { worker, mourners: new Set() };
  const die = (cause: Error): void => {
    if (threads[which] === started) delete threads[which];
    for (const mourn of [...started.mourners]) mourn(cause);
  };
  worker.once('error', die);
  worker.once('exit', (code) => die(new Error(`the thread ended with ${code}`)));
  // The jobs' own ports keep the process up.
  worker.unref();
  threads[which] = started;
  return started;
}

interface ThreadError {
  readonly message: string;
  readonly code?: string;
  readonly errno?: number;
  readonly syscall?: string;
}

function asError({ message, ...more }: ThreadError): Error {
  return Object.assign(new Error(message), more);
}
