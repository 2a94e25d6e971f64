/**
 * How fast bytes may go to or come from one peer. One pace is shared by all transfers of a process with that peer, so
 * that together they stay below its limit: a token bucket, which fills with time and is emptied by whoever is first in
 * the queue. Transfers take turns piece by piece, so none of them waits for another to end.
 */
import { Transform } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';

export interface Pace {
  readonly bytesPerSecond: number;
  /** A stream that lets bytes through no faster; to be put into a pipeline. */
  limiter(): Transform;
}

/** Time as a pace sees it, so that tests need none. */
export interface PaceClock {
  /** Milliseconds that only go forward. */
  now(): number;
  /** Resolves after `ms` milliseconds; rejects on abort. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

const processClock: PaceClock = {
  now: () => performance.now(),
  sleep: (ms, signal) => pause(ms, undefined, { signal }),
};

/** What may leave at once after a silence, in seconds' worth of bytes. */
const BURST_SECONDS = 0.25;

interface Turn {
  readonly bytes: number;
  /** Aborted when the transfer has ended. */
  readonly gone: AbortSignal;
  /** True: the bytes may go; false: the turn was given up. */
  settle(granted: boolean): void;
}

/** @param bytesPerSecond 1 or more; RangeError otherwise */
export function createPace(bytesPerSecond: number, clock: PaceClock = processClock): Pace {
  if (!(bytesPerSecond >= 1)) throw new RangeError(`expected 1 byte a second or more, got ${bytesPerSecond}`);
  const bucketBytes = Math.max(1, Math.floor(bytesPerSecond * BURST_SECONDS));
  const turns: Turn[] = [];
  let tokens = bucketBytes;
  let filledAtMs = clock.now();
  let serving = false;

  const fill = (): void => {
    const atMs = clock.now();
    tokens = Math.min(bucketBytes, tokens + ((atMs - filledAtMs) * bytesPerSecond) / 1000);
    filledAtMs = atMs;
  };

  /** One sleeper for all: it wakes when the first in the queue may go, or has given up. */
  const serve = async (): Promise<void> => {
    for (let turn = turns[0]; turn !== undefined; turn = turns[0]) {
      fill();
      const missing = turn.bytes - tokens;
      if (missing > 0) {
        await clock.sleep(Math.ceil((missing * 1000) / bytesPerSecond), turn.gone).catch(() => undefined);
        continue;
      }
      tokens -= turn.bytes;
      turns.shift();
      turn.settle(true);
    }
    serving = false;
  };

  /** @param bytes at most what the bucket holds */
  const wait = (bytes: number, gone: AbortSignal): Promise<boolean> =>
    new Promise((resolve) => {
      const giveUp = () => {
        turns.splice(turns.indexOf(turn), 1);
        resolve(false);
      };
      const turn: Turn = {
        bytes,
        gone,
        settle(granted) {
          gone.removeEventListener('abort', giveUp);
          resolve(granted);
        },
      };
      gone.addEventListener('abort', giveUp, { once: true });
      turns.push(turn);
      if (serving) return;
      serving = true;
      void serve();
    });

  return {
    bytesPerSecond,
    limiter: () => createLimiter(bucketBytes, wait),
  };
}

function createLimiter(
  pieceBytes: number,
  wait: (bytes: number, gone: AbortSignal) => Promise<boolean>,
): Transform {
  const gone = new AbortController();
  return new Transform({
    async transform(chunk: Buffer, _encoding, done) {
      for (let at = 0; at < chunk.length; at += pieceBytes) {
        const piece = chunk.subarray(at, at + pieceBytes);
        if (gone.signal.aborted || !(await wait(piece.length, gone.signal))) return;
        this.push(piece);
      }
      done();
    },
    destroy(error, done) {
      gone.abort();
      done(error);
    },
  });
}
