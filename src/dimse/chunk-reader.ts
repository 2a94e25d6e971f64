/**
 * Reads a socket chunk by chunk, and no further than whoever takes the chunks can follow. A handler for each chunk rather
 * than an iterator: no promise is made for chunks that are taken at once.
 */
import type { Socket } from 'node:net';
import { readIntoOwn } from './own-buffers.js';

/** Enough for associations, commands, and peers that send little, of which hundreds may be connected. */
const FIRST_READ_BYTES = 16 * 1024;
/** For those that have once filled it: the kernel has more for us at a time, and the processor's cache has room for it. */
const READ_BYTES = 128 * 1024;

const NOTHING = Buffer.alloc(0);

/**
 * Hands every chunk to `take`, in order and one at a time; its bytes are good until `take` returns, or what it returns has
 * resolved. When it returns a promise the next chunk waits for it; of what the peer sends meanwhile one chunk is kept here,
 * some in the socket, and the rest stays with the peer. To be called as soon as the connection is there. Resolves when the
 * peer has ended its side and all is taken, or when the connection is closed and what was being taken is done. Rejects with
 * what `take` throws; then the rest is read and dropped.
 */
export function readChunks(
  socket: Socket,
  take: (chunk: Buffer) => Promise<void> | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const waiting: Buffer[] = [];
    let isTaking = false;
    let hasEnded = false;
    let hasLeft = false;
    /** The second is made when the next chunk comes while one is being taken. */
    const buffers = [NOTHING, NOTHING];
    let current = 0;
    let readBytes = FIRST_READ_BYTES;

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
      hasLeft = true;
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
      if (hasLeft) return;
      if (chunk.length === FIRST_READ_BYTES) readBytes = READ_BYTES;
      waiting.push(chunk);
      if (isTaking) socket.pause();
      else pump();
    };
    /** Not the one that is being taken. While another one waits as well, nothing is read. */
    const nextBuffer = () => {
      if (isTaking) current = 1 - current;
      let buffer = buffers[current] ?? NOTHING;
      if (buffer.length < readBytes) buffer = Buffer.allocUnsafeSlow(readBytes);
      buffers[current] = buffer;
      return buffer;
    };
    const ended = () => {
      hasEnded = true;
      if (!isTaking) pump();
    };
    const closed = () => {
      waiting.length = 0;
      ended();
    };
    socket.on('end', ended).on('close', closed);
    if (!readIntoOwn(socket, nextBuffer, arrived)) socket.on('data', arrived);
  });
}
