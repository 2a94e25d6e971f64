/**
 * Reading an accepted connection into memory that is used again and again. Otherwise Node makes a new buffer for each read,
 * and has thousands of them, tens of MiB, by its next garbage collection. It offers the same to sockets that connect
 * (`onread` of net.Socket), but not to those that a server accepts; here these get what that option sets. It is private to
 * Node: where a part of it is missing, a socket is read as ever.
 */
import { type ConnectOpts, Socket, type SocketConstructorOpts } from 'node:net';

interface Handle {
  useUserBuffer?(buffer: Buffer): void;
}

const READING: SocketConstructorOpts & Pick<ConnectOpts, 'onread'> = {
  onread: { buffer: Buffer.alloc(1), callback: () => true },
};
const FIELDS = Object.getOwnPropertySymbols(new Socket(READING));
/** What `onread` sets, by Node's own names. */
const [BUFFER, CALLBACK, GENERATOR] = ['kBuffer', 'kBufferCb', 'kBufferGen'].map((name) =>
  FIELDS.find(({ description }) => description === name),
);

/**
 * To be called before anything was read; the socket flows then. A paused one with TLS still brings what has come with the
 * last read of the network.
 * @param next gives the memory for the next read, each time after `take` has seen the last one
 * @param take is shown what has come: it lies in that memory
 * @returns whether it is so; if not, nothing has changed
 */
export function readIntoOwn(socket: Socket, next: () => Buffer, take: (bytes: Buffer) => void): boolean {
  const handle = (socket as unknown as { readonly _handle?: Handle | null })._handle;
  if (BUFFER === undefined || CALLBACK === undefined || GENERATOR === undefined) return false;
  if (socket.readableLength > 0 || handle?.useUserBuffer === undefined) return false;
  const first = next();
  Object.assign(socket, {
    [BUFFER]: first,
    [CALLBACK]: (count: number, buffer: Buffer) => {
      take(buffer.subarray(0, count));
      return true;
    },
    [GENERATOR]: next,
  });
  handle.useUserBuffer(first);
  socket.resume();
  return true;
}
