/**
 * Reads a socket chunk by chunk, and no further than whoever takes the chunks can follow. A handler for `data` rather
 * than an iterator: no promise is made for chunks that are taken at once.
 */
import type { Socket } from 'node:net';

/**
 * Hands every chunk to `take`, in order and one at a time. When `take` returns a promise the next chunk waits for it;
 * of what the peer sends meanwhile one chunk is kept here, some in the socket, and the rest stays with the peer.
 * Resolves when the peer has ended its side and all is taken, or when the connection is closed and what was being taken
 * is done. Rejects with what `take` throws; then the rest is read and dropped.
 */
export function readChunks(
  socket: Socket,
  take: (chunk: Buffer) => Promise<void> | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const waiting: Buffer[] = [];
    let isTaking = false;
    let hasEnded = false;

    const finish = () => {
      leave();
      resolve();
    };
    const fail = (error: unknown) => {
      leave();
      // What nobody reads would make of our A-ABORT a reset.
      socket.resume();
      reject(error);
    };
    const leave = () => {
      socket.off('data', arrived).off('end', ended).off('close', closed);
    };
    const taken = () => {
      isTaking = false;
      pump();
    };
    const pump = () => {
      for (let chunk = waiting.shift(); chunk !== undefined; chunk = waiting.shift()) {
        try {
          const wait = take(chunk);
          if (wait === undefined) continue;
          isTaking = true;
          wait.then(taken, fail);
          return;
        } catch (error) {
          fail(error);
          return;
        }
      }
      if (hasEnded) finish();
      else if (socket.isPaused()) socket.resume();
    };
    const arrived = (chunk: Buffer) => {
      waiting.push(chunk);
      if (isTaking) socket.pause();
      else pump();
    };
    const ended = () => {
      hasEnded = true;
      if (!isTaking) pump();
    };
    const closed = () => {
      waiting.length = 0;
      ended();
    };
    socket.on('data', arrived).on('end', ended).on('close', closed);
  });
}
