/**
 * One connection to the embedded server. Reads ahead while a command is still being answered, so that a client that
 * goes away in the middle of a blocking read is noticed: otherwise its ghost takes the wake-up call of a live worker.
 */
import type { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import type { ConnectionTransport } from 'js-redis-server/core';

/** What a client may send before its earlier commands are answered. */
const READ_AHEAD_BYTES = 1024 * 1024;

let connections = 0;

/** The server's view of a socket. Aborts its signal as soon as the client hangs up. */
export function transportOver(socket: Socket): ConnectionTransport {
  const gone = new AbortController();
  const inbox = new PassThrough({ highWaterMark: READ_AHEAD_BYTES });
  const hangUp = (): void => {
    gone.abort();
    inbox.end();
    socket.destroySoon();
  };
  socket.on('data', (chunk) => {
    if (inbox.write(chunk)) return;
    socket.pause();
    inbox.once('drain', () => socket.resume());
  });
  for (const event of ['end', 'close', 'error']) socket.once(event, hangUp);
  socket.on('error', () => {});
  connections += 1;
  return {
    id: `socket-${connections}`,
    signal: gone.signal,
    read: () => inbox,
    write: (chunk) =>
      new Promise<void>((resolve) => {
        if (socket.writable) socket.write(chunk, () => resolve());
        else resolve();
      }),
    close: hangUp,
    on: (event, listener) => {
      socket.on(event, listener);
      return () => socket.off(event, listener);
    },
  };
}
