/**
 * Where associations come in: the port for plain DICOM, the one for DICOM over TLS, or both. Whatever came in by
 * either ends up in one place. Connections are counted from their first moment, so that a handshake that never ends
 * takes a place as well, and gives it back.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { plainAddress } from './association-policy.js';
import type { DicomTls } from './dicom-tls.js';

export interface ScpListenerOptions {
  readonly host: string;
  /** For plain DICOM, 0 for any free port; absent: none. */
  readonly port?: number;
  readonly tls?: {
    /** 0 for any free port. */
    readonly port: number;
    readonly dicomTls: DicomTls;
  };
  /** A connection beyond is closed at once. */
  readonly maxConnections: number;
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

/** Rejects with the listeners' error when a port cannot be had. */
export async function listenForAssociations(options: ScpListenerOptions): Promise<ScpListener> {
  const { host, tls, maxConnections, take } = options;
  const connected = new Set<Socket>();
  const servers: Server[] = [];

  const listen = async (port: number, accept: (socket: Socket) => void): Promise<number> => {
    const server = createServer({ noDelay: true, keepAlive: true }, (socket) => {
      if (connected.size >= maxConnections) {
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
