/**
 * Where associations come in: the port for plain DICOM, the one for DICOM over TLS, or both. Whatever came in by
 * either ends up in one place. Connections are counted from their first moment, so that a handshake that never ends
 * takes a place as well, and gives it back. When no place is left, the host that fills most of them with connections on
 * which it has not asked for anything loses the oldest of those: one host shall not shut out the others.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { Log } from '../observe/log.js';
import { plainAddress } from './association-policy.js';
import { type DicomTls, farEndOf } from './dicom-tls.js';

export interface ScpListenerOptions {
  readonly host: string;
  /** For plain DICOM, 0 for any free port; absent: none. */
  readonly port?: number;
  readonly tls?: {
    /** 0 for any free port. */
    readonly port: number;
    readonly dicomTls: DicomTls;
  };
  readonly maxConnections: number;
  /** The connections that have become an association, by `farEndOf`: they are not closed for a newcomer. */
  readonly associated: () => ReadonlySet<string>;
  readonly log: Log;
  readonly handshakeTimeoutMs: number;
  /** Takes a connection: plain, or secure already. */
  readonly take: (socket: Socket) => void;
  readonly refused: (refusal: { readonly remoteAddress: string; readonly reason: string }) => void;
}

export interface ScpListener {
  /** Absent where plain DICOM is not taken. */
  readonly port?: number;
  readonly tlsPort?: number;
  /** Takes no new connection, and ends those that have not finished their handshake. */
  close(): void;
}

/** In the log for that long at most once: whoever fills all places comes back at once. */
const TELL_AGAIN_MS = 60_000;

/** Rejects with the listeners' error when a port cannot be had. */
export async function listenForAssociations(options: ScpListenerOptions): Promise<ScpListener> {
  const { host, tls, maxConnections, take } = options;
  /** The oldest first. */
  const connected = new Set<Socket>();
  const servers: Server[] = [];
  let toldAtMs = Number.NEGATIVE_INFINITY;

  /** Whether there is a place for one more; it may have been taken from somebody. */
  const hasRoom = (): boolean => {
    if (connected.size < maxConnections) return true;
    const oldest = oldestOfMost(connected, options.associated());
    if (performance.now() - toldAtMs > TELL_AGAIN_MS) {
      toldAtMs = performance.now();
      options.log.warn(
        { event: 'dimse.connections_full', count: connected.size, remoteAddress: oldest?.remoteAddress },
        'no connection is left: the oldest of the host with the most silent ones is closed for each new one',
      );
    }
    if (oldest === undefined) return false;
    connected.delete(oldest);
    oldest.destroy();
    return true;
  };

  const listen = async (port: number, accept: (socket: Socket) => void): Promise<number> => {
    const server = createServer({ noDelay: true, keepAlive: true }, (socket) => {
      if (!hasRoom()) {
        socket.destroy();
        return;
      }
      connected.add(socket);
      socket.once('close', () => connected.delete(socket));
      accept(socket);
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, () => {
        server.removeListener('error', reject);
        resolve();
      });
    });
    servers.push(server);
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : port;
  };
  const door = tls?.dicomTls.openDoor({
    handshakeTimeoutMs: options.handshakeTimeoutMs,
    entered: take,
    refused: ({ remoteAddress, reason }) =>
      options.refused({ remoteAddress: plainAddress(remoteAddress), reason }),
  });
  const close = () => {
    for (const server of servers) server.close();
    door?.close();
  };

  try {
    const plainPort = options.port === undefined ? undefined : await listen(options.port, take);
    const tlsPort =
      tls === undefined || door === undefined
        ? undefined
        : await listen(tls.port, (socket) => door.take(socket));
    return {
      ...(plainPort === undefined ? {} : { port: plainPort }),
      ...(tlsPort === undefined ? {} : { tlsPort }),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** Of the connections without an association: the oldest of the host that has the most of them. */
function oldestOfMost(connected: Iterable<Socket>, associated: ReadonlySet<string>): Socket | undefined {
  const silent = [...connected].filter((socket) => !associated.has(farEndOf(socket)));
  const counts = new Map<string, number>();
  for (const { remoteAddress = '' } of silent) {
    counts.set(remoteAddress, (counts.get(remoteAddress) ?? 0) + 1);
  }
  const most = Math.max(...counts.values());
  return silent.find(({ remoteAddress = '' }) => counts.get(remoteAddress) === most);
}
