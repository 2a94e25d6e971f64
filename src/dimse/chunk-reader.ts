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

interface Chunk {
  readonly bytes: Buffer;
  /** In which they lie, where that is ours. */
  readonly memory: Buffer | undefined;
}

/**
 * Hands every chunk to `take`, in order and one at a time; its bytes are good until `take` returns, or what it returns has
 * resolved. When it returns a promise the next chunk waits for it; of what the peer sends meanwhile one chunk is kept here
 * (with TLS, those that came with one read of the network), some in the socket, and the rest stays with the peer. To be
 * called as soon as the connection is there. Resolves when the peer has ended its side and all is taken, or when the
 * connection is closed and what was being taken is done. Rejects with what `take` throws; then the rest is read and dropped.
 */
export function readChunks(
  socket: Socket,
  take: (chunk: Buffer) => Promise<void> | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const waiting: Chunk[] = [];
    let isTaking = false;
    let hasEnded = false;
    let hasLeft = false;
    /** Into which the next chunk is read; undefined where memory is Node's. */
    let reading: Buffer | undefined;
    /** Another one, in which nothing lies any more. */
    let spare: Buffer = NOTHING;
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
    const release = ({ memory }: Chunk) => {
      if (memory !== undefined && memory !== reading) spare = memory;
    };
    const pump = () => {
      for (let chunk = waiting.shift(); chunk !== undefined; chunk = waiting.shift()) {
        const taking = chunk;
        try {
          const wait = take(taking.bytes);
          if (wait !== undefined) {
            isTaking = true;
            wait.then(() => {
              isTaking = false;
              release(taking);
              pump();
            }, fail);
            return;
          }
        } catch (error) {
          fail(error);
          return;
        }
        release(taking);
      }
      if (hasEnded) finish();
      else if (socket.isPaused()) socket.resume();
    };
    const arrived = (bytes: Buffer) => {
      if (hasLeft) return;
      if (bytes.length === FIRST_READ_BYTES) readBytes = READ_BYTES;
      waiting.push({ bytes, memory: reading });
      // With TLS, what has been decrypted comes all the same.
      if (isTaking) socket.pause();
      else pump();
    };
    const nextBuffer = () => {
      if (isTaking || waiting.length > 0) {
        reading = spare;
        spare = NOTHING;
      }
      if (reading === undefined || reading.length < readBytes) reading = Buffer.allocUnsafeSlow(readBytes);
      return reading;
    };
    const ended = () => {
      hasEnded = true;
      if (!isTaking) pump();
    };
    const closed = () => {
      // What came before the peer has ended its side is all that it meant to send.
      if (!hasEnded) waiting.length = 0;
      ended();
    };
    socket.on('end', ended).on('close', closed);
    if (!readIntoOwn(socket, nextBuffer, arrived)) socket.on('data', arrived);
  });
}
