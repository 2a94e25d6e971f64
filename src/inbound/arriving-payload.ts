/**
 * A sealed payload that is still on its way, for whoever opens it meanwhile: its bytes can be read once, as they come, and
 * end with the last of them, whatever comes behind it. Whoever needs them a second time waits until they are on the disk.
 */
import type { SealedPayload } from '../jmix/envelope-folder.js';

export interface ArrivingPayload {
  readonly payload: SealedPayload;
  /** The next bytes; resolves when they have been read, or nobody reads any more. */
  show(piece: Buffer): Promise<void>;
  /** Nobody reads any more. */
  leave(): void;
  /** No more bytes come: all were there, or the sender has gone. */
  end(): void;
}

interface Waiting {
  readonly piece: Buffer;
  read(): void;
}

export function createArrivingPayload(name: string, sizeBytes: number): ArrivingPayload {
  const waiting: Waiting[] = [];
  let shownBytes = 0;
  let isEnded = false;
  let isLeft = false;
  let isOpened = false;
  let wake = (): void => undefined;

  const next = async (): Promise<Waiting | undefined> => {
    while (waiting.length === 0 && !isEnded) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return waiting[0];
  };

  async function* all(): AsyncGenerator<Buffer, void, undefined> {
    for (let first = await next(); first !== undefined; first = await next()) {
      yield first.piece;
      waiting.shift();
      first.read();
    }
  }

  async function* head(bytes: number): AsyncGenerator<Buffer, void, undefined> {
    const first = await next();
    if (first === undefined || first.piece.length < bytes) throw readAgain();
    yield first.piece.subarray(0, bytes);
  }

  return {
    payload: {
      kind: 'sealed',
      name,
      sizeBytes,
      open(range) {
        if (isOpened) throw readAgain();
        if (range?.start === 0) return head(range.end + 1);
        isOpened = true;
        return all();
      },
    },
    show(piece) {
      if (isLeft) return Promise.resolve();
      shownBytes += piece.length;
      if (shownBytes === sizeBytes) isEnded = true;
      return new Promise((resolve) => {
        waiting.push({ piece, read: resolve });
        wake();
      });
    },
    leave() {
      isLeft = true;
      for (const { read } of waiting.splice(0)) read();
    },
    end() {
      isEnded = true;
      wake();
    },
  };
}

function readAgain(): Error {
  return new Error('a payload that is on its way can be read once');
}
