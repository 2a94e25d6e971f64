/** Ports of the loopback, for programs that cannot choose one for themselves. Our own listeners use port 0. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** A port that was free a moment ago. Another process may take it before you do: so start again on another one. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('a listener without a port');
  return address.port;
}

/** True when something on the loopback accepts connections at `port`. */
export async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
