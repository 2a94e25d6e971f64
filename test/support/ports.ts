/** Ports of the loopback, for programs that cannot choose one for themselves. Our own listeners use port 0. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** Below the range from which the kernel takes the ports of outgoing connections: those would come in between. */
const LOWEST = 20_000;
const HIGHEST = 32_000;

/** Handed out by this process; never twice. */
const handedOut = new Set<number>();

/** A port that was free a moment ago. Another process may take it before you do: so start again on another one. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(LOWEST, HIGHEST);
    if (handedOut.has(port) || !(await canListen(port))) continue;
    handedOut.add(port);
    return port;
  }
}

async function canListen(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    server.close();
    await once(server, 'close');
    return true;
  } catch {
    return false;
  }
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
