/** Ports of the loopback, for programs that cannot choose one for themselves. Our own listeners use port 0. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** Below the range from which the kernel takes the ports of outgoing connections: those would come in between. */
const LOWEST = 20_000;
const HIGHEST = 32_000;
/**
 * Each of the processes in which vitest runs tests side by side has ports of its own: what one hands out may be bound
 * only seconds later, or not for a while, as when a bridge is killed and started again.
 */
const SHARES = 4;
const SHARE_PORTS = (HIGHEST - LOWEST) / SHARES;
const OWN_LOWEST = LOWEST + (Number(process.env['VITEST_POOL_ID'] ?? 0) % SHARES) * SHARE_PORTS;

/** Handed out by this process; never twice. */
const handedOut = new Set<number>();

/** A port that was free a moment ago. Another process may take it before you do: so start again on another one. */
export async function freePort(): Promise<number> {
  const [port = 0] = await freePorts(1);
  return port;
}

/** The same, for ports that lie side by side, ascending. */
export async function freePorts(count: number): Promise<readonly number[]> {
  for (;;) {
    const first = randomInt(OWN_LOWEST, OWN_LOWEST + SHARE_PORTS - count + 1);
    const ports = Array.from({ length: count }, (_, index) => first + index);
    if (ports.some((port) => handedOut.has(port))) continue;
    // Before it is known that they are free: who asks meanwhile shall not get them as well.
    for (const port of ports) handedOut.add(port);
    if ((await Promise.all(ports.map(canListen))).every(Boolean)) return ports;
    for (const port of ports) handedOut.delete(port);
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
