/**
 * A bad line: a TCP proxy in the process of the tests which loses connections after a number of bytes, or lets them
 * stand still. It understands nothing of what it carries, which may be TLS.
 *
 * FTP's data connections go to ports that the server chooses, told inside TLS, where nobody can rewrite them. But
 * EPSV (RFC 2428 §3) tells a port alone, which the client connects to at the address of the control connection: so
 * the proxy listens at another address of the loopback, on the same ports, and leads each to the server's.
 */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** Linux gives the whole of 127.0.0.0/8 to the loopback. */
const HOST = '127.0.0.2';

export type ConnectionKind = 'control' | 'data';

export interface CuttingProxyOptions {
  readonly target: {
    readonly host?: string;
    readonly port: number;
    /** Ports of an FTP server's data connections; default none. */
    readonly passivePorts?: readonly number[];
  };
  /**
   * Bytes, in both directions together, after which a connection is cut. A function is asked anew for each connection
   * with its number, from 1, among those of its kind; undefined: not at all.
   */
  readonly cutAfter?: number | ((connection: number) => number | undefined);
  /** Which connections are cut; default: those to passive ports, or where there are none, those to the one port. */
  readonly cutKind?: ConnectionKind;
  /** True: with one connection all others are cut, as when the line itself fails; default false. */
  readonly cutsAll?: boolean;
}

export interface Carried {
  /** Connections so far. */
  readonly connections: number;
  /** Bytes of the clients that were passed on; of the last before a cut some may not have arrived. */
  readonly up: number;
  /** Bytes of the server that were passed on. */
  readonly down: number;
}

export interface CuttingProxy {
  readonly host: string;
  readonly port: number;
  /** What went through so far: the control connections of FTP, or of a single port all of them; and FTP's data. */
  readonly carried: Readonly<Record<ConnectionKind, Carried>>;
  /** Connections that `cutAfter` ended so far. */
  readonly cuts: number;
  /** Replaces `cutAfter` for connections to come; without an argument nothing is cut any more. */
  cutAfter(bytes?: CuttingProxyOptions['cutAfter']): void;
  /** Cuts what is connected now, of one kind or all; gives their number. */
  cutNow(kind?: ConnectionKind): number;
  /** Nothing goes through any more, but connections stay and new ones are accepted. */
  stall(): void;
  resume(): void;
  /** Ends everything. May be called again. */
  stop(): Promise<void>;
}

interface Line {
  readonly kind: ConnectionKind;
  readonly client: Socket;
  readonly server: Socket;
  /** Bytes until the cut. */
  left: number;
}

/**
 * Starts it. Where no server listens behind it, a client's connection is accepted and then reset.
 * @throws Error with code EADDRINUSE when a port is taken at the proxy's address
 */
export async function startCuttingProxy(options: CuttingProxyOptions): Promise<CuttingProxy> {
  const { target } = options;
  const passivePorts = target.passivePorts ?? [];
  const cutKind = options.cutKind ?? (passivePorts.length > 0 ? 'data' : 'control');
  const carried = {
    control: { connections: 0, up: 0, down: 0 },
    data: { connections: 0, up: 0, down: 0 },
  };
  const lines = new Set<Line>();
  let limit = options.cutAfter;
  let cuts = 0;
  let stalled = false;

  /** RST, as from a firewall that has forgotten the connection: what was under way is lost. */
  const cut = (line: Line) => {
    lines.delete(line);
    line.client.resetAndDestroy();
    line.server.resetAndDestroy();
  };

  const limitFor = (kind: ConnectionKind, connection: number): number => {
    if (kind !== cutKind) return Number.POSITIVE_INFINITY;
    const bytes = typeof limit === 'function' ? limit(connection) : limit;
    return bytes ?? Number.POSITIVE_INFINITY;
  };

  const carry = (line: Line, from: Socket, to: Socket, direction: 'up' | 'down') => {
    from.on('data', (bytes: Buffer) => {
      const passed = bytes.subarray(0, line.left);
      line.left -= passed.length;
      carried[line.kind][direction] += passed.length;
      const goesOn = to.write(passed, () => {
        // Not before: the other side shall get exactly as many bytes as were granted.
        if (line.left > 0 || !lines.has(line)) return;
        cuts += 1;
        for (const other of options.cutsAll ? [...lines] : [line]) cut(other);
      });
      if (!goesOn || line.left === 0) from.pause();
    });
    to.on('drain', () => {
      if (!stalled && line.left > 0) from.resume();
    });
    from.on('end', () => to.end());
    from.on('error', () => cut(line));
    from.on('close', () => {
      if (to.destroyed) lines.delete(line);
    });
  };

  const accept = (kind: ConnectionKind, port: number) => (client: Socket) => {
    carried[kind].connections += 1;
    const server = connect({ host: target.host ?? '127.0.0.1', port, allowHalfOpen: true });
    const line = { kind, client, server, left: limitFor(kind, carried[kind].connections) };
    lines.add(line);
    carry(line, client, server, 'up');
    carry(line, server, client, 'down');
    if (stalled) for (const socket of [client, server]) socket.pause();
  };

  const listeners: Server[] = [];
  const stop = async () => {
    for (const line of lines) cut(line);
    await Promise.all(listeners.splice(0).map(close));
  };
  try {
    for (const port of [target.port, ...passivePorts]) {
      const kind = port === target.port ? 'control' : 'data';
      const listener = createServer({ allowHalfOpen: true }, accept(kind, port));
      listener.listen(port, HOST);
      await once(listener, 'listening');
      listeners.push(listener);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    host: HOST,
    port: target.port,
    carried,
    get cuts() {
      return cuts;
    },
    cutAfter(bytes) {
      limit = bytes;
    },
    cutNow(kind) {
      const chosen = [...lines].filter((line) => kind === undefined || line.kind === kind);
      for (const line of chosen) cut(line);
      return chosen.length;
    },
    stall() {
      stalled = true;
      for (const { client, server } of lines) for (const socket of [client, server]) socket.pause();
    },
    resume() {
      stalled = false;
      for (const { client, server } of lines) for (const socket of [client, server]) socket.resume();
    },
    stop,
  };
}

/** A generator of byte counts between `least` and `most`, the same for the same seed: mulberry32. */
export function randomCuts(seed: number, least: number, most: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    const fraction = ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    return least + Math.floor(fraction * (most - least + 1));
  };
}

async function close(listener: Server): Promise<void> {
  const closed = once(listener, 'close');
  listener.close();
  await closed;
}
