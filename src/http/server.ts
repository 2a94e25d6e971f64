/** Listeners, HTTPS and plain, that stop in bounded time. */
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from 'node:http';
import { createServer as createHttpsServer } from 'node:https';

/** No request sends more header than this. */
const MAX_HEADER_BYTES = 16 * 1024;
/** A connection on which nothing moves for this long is closed; a slow upload of hours is none. */
const STALL_TIMEOUT_MS = 120_000;
/** The same while the listener closes: some partners hold the end of an envelope back for a minute. */
const CLOSING_STALL_TIMEOUT_MS = 1_000;
const HEADERS_TIMEOUT_MS = 30_000;
const HANDSHAKE_TIMEOUT_MS = 15_000;
/** Far more than partners and browsers open; what comes on top is closed at once. */
const MAX_CONNECTIONS = 1_000;
/** Above the keep-alive time of our own client, so that we are not the one to close first. */
const KEEP_ALIVE_MS = 30_000;

export interface HttpListener {
  readonly port: number;
  /** Takes no new connection, lets requests end within `graceMs`, then closes all. */
  close(graceMs: number): Promise<void>;
}

export interface ListenOptions {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly app: RequestListener;
}

export interface TlsListenOptions extends ListenOptions {
  /** PEM */
  readonly certificate: string;
  /** PEM */
  readonly privateKey: string;
  /** PEM of the CAs that may vouch for client certificates, where they are not pinned. */
  readonly authorities: readonly string[];
}

/** HTTPS, TLS 1.2 or later; asks for a client certificate, which the app judges by its pins. */
export function listenTls(options: TlsListenOptions): Promise<HttpListener> {
  const server = createHttpsServer(
    {
      cert: options.certificate,
      key: options.privateKey,
      minVersion: 'TLSv1.2',
      requestCert: true,
      rejectUnauthorized: false,
      maxHeaderSize: MAX_HEADER_BYTES,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      ...(options.authorities.length === 0 ? {} : { ca: [...options.authorities] }),
    },
    options.app,
  );
  return listen(server, options);
}

/** Plain HTTP, for loopback or behind a proxy. */
export function listenPlain(options: ListenOptions): Promise<HttpListener> {
  return listen(createHttpServer({ maxHeaderSize: MAX_HEADER_BYTES }, options.app), options);
}

async function listen(server: Server, { host, port, app }: ListenOptions): Promise<HttpListener> {
  // An upload may take hours: what counts is that it moves.
  server.requestTimeout = 0;
  server.headersTimeout = HEADERS_TIMEOUT_MS;
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.timeout = STALL_TIMEOUT_MS;
  server.maxConnections = MAX_CONNECTIONS;
  // Handlers answer `Expect: 100-continue` themselves, after they have looked at the head.
  server.on('checkContinue', app);
  const open = new Set<IncomingMessage>();
  const note = (request: IncomingMessage) => {
    open.add(request);
    request.once('close', () => open.delete(request));
  };
  server.on('request', note).on('checkContinue', note);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: (graceMs) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => server.closeAllConnections(), graceMs);
        server.close(() => {
          clearTimeout(timer);
          resolve();
        });
        server.closeIdleConnections();
        for (const { complete, socket } of open) if (!complete) socket.setTimeout(CLOSING_STALL_TIMEOUT_MS);
      }),
  };
}
