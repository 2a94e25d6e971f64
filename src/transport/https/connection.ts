/**
 * TLS connections to one server, TLS 1.2 or later, with our own certificate. Not a byte of HTTP leaves before the
 * server's certificate is known to be a pinned one, or one that its configured CA vouches for.
 */
import { Agent, type AgentOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import type { ServerTrust } from '../../domain/exchange.js';
import { plainFingerprint } from '../../domain/fingerprint.js';
import { GatewayError } from '../../errors/gateway-error.js';
import { classifySocketError } from '../classify-socket.js';
import type { ClientIdentity } from '../client-identity.js';

const CONNECT_TIMEOUT_MS = 15_000;
/** Small enough that an idle peer's firewall has not forgotten the connection. */
const KEEP_ALIVE_MS = 15_000;

type Callback = (error: Error | null, socket?: Duplex) => void;

/** An agent whose every connection is verified before it is handed out. */
export function createVerifiedAgent(trust: ServerTrust, identity: ClientIdentity): Agent {
  const agent = new Agent({
    keepAlive: true,
    timeout: KEEP_ALIVE_MS,
    scheduling: 'lifo',
  } satisfies AgentOptions);
  agent.createConnection = ((options: ConnectionOptions, callback: Callback) => {
    connectVerified(trust, identity, options).then(
      (socket) => callback(null, socket),
      (error: Error) => callback(error),
    );
    return undefined;
  }) as unknown as typeof agent.createConnection;
  return agent;
}

function connectVerified(
  trust: ServerTrust,
  identity: ClientIdentity,
  options: ConnectionOptions,
): Promise<TLSSocket> {
  const pinned = trust.certificateFingerprints.length > 0;
  // Else the certificate authorities of the operating system would do, and with them half the world.
  if (!pinned && trust.certificateAuthority === undefined) {
    return Promise.reject(
      new GatewayError(
        'PEER_UNTRUSTED',
        'nothing is known by which the server could be told from an impostor: neither a fingerprint nor a CA',
      ),
    );
  }
  return new Promise((resolve, reject) => {
    const host = options.host ?? 'localhost';
    const socket = connect({
      host,
      ...(options.port === undefined ? {} : { port: options.port }),
      // RFC 6066 §3: literal addresses are not permitted as a server name.
      ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }),
      cert: identity.certificate,
      key: identity.privateKey,
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['http/1.1'],
      rejectUnauthorized: !pinned,
      ...(trust.certificateAuthority === undefined ? {} : { ca: trust.certificateAuthority }),
    });
    const fail = (error: Error) => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(
      () =>
        fail(new GatewayError('PEER_UNREACHABLE', `no TLS connection within ${CONNECT_TIMEOUT_MS / 1000} s`)),
      CONNECT_TIMEOUT_MS,
    );
    socket.once('error', (error) => fail(classifySocketError(error)));
    socket.once('secureConnect', () => {
      clearTimeout(timer);
      if (pinned && !trust.certificateFingerprints.includes(fingerprintOf(socket))) {
        fail(
          new GatewayError(
            'PEER_UNTRUSTED',
            `the certificate of the peer, ${fingerprintOf(socket)}, is not a pinned one`,
            { facts: { fingerprint: fingerprintOf(socket) } },
          ),
        );
        return;
      }
      socket.removeAllListeners('error');
      socket.setNoDelay(true);
      resolve(socket);
    });
  });
}

function fingerprintOf(socket: TLSSocket): string {
  return plainFingerprint(socket.getPeerCertificate().fingerprint256);
}
