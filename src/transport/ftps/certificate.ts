/**
 * TLS of control and data connections, TLS 1.2 or later: the pinned certificate, or one that a CA vouches for under the
 * host's name (RFC 4217 §15).
 */
import { isIP } from 'node:net';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { plainFingerprint } from '../../domain/fingerprint.js';
import { GatewayError } from '../../errors/gateway-error.js';
import type { FtpsOptions } from './options.js';

/** Where a certificate is pinned, nothing is verified by these alone: `checkCertificate` must follow. */
export function tlsOptions({ host, trust, clientIdentity }: FtpsOptions): ConnectionOptions {
  return {
    // Also what a session belongs to: without a host, data connections could not go on with it.
    host,
    // RFC 6066 §3: literal addresses are not permitted as a server name.
    ...(isIP(host) === 0 ? { servername: host } : {}),
    minVersion: 'TLSv1.2',
    rejectUnauthorized: trust.certificateFingerprints.length === 0,
    ...(trust.certificateAuthority === undefined ? {} : { ca: trust.certificateAuthority }),
    ...(clientIdentity === undefined
      ? {}
      : { cert: clientIdentity.certificate, key: clientIdentity.privateKey }),
  };
}

/**
 * To be called when a handshake is over, before a byte is sent or believed. A session that is gone on with proves by
 * itself that the other end is the one of the control connection: only that one has its keys.
 * @throws PEER_UNTRUSTED
 */
export function checkCertificate(socket: TLSSocket, trust: FtpsOptions['trust'], resumable: boolean): void {
  if (trust.certificateFingerprints.length === 0) {
    if (socket.authorized) return;
    throw new GatewayError('PEER_UNTRUSTED', 'the certificate of the server is not trusted');
  }
  if (resumable && socket.isSessionReused()) return;
  const fingerprint = plainFingerprint(socket.getPeerCertificate().fingerprint256);
  if (trust.certificateFingerprints.includes(fingerprint)) return;
  throw new GatewayError(
    'PEER_UNTRUSTED',
    `the certificate of the server is not a pinned one, but ${fingerprint}`,
    {
      facts: { fingerprint },
    },
  );
}
