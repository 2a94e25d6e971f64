/** Which peer stands behind a connection: by its client certificate, and by nothing else. */

import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { GatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import type { PeerApi, PeerCertificate } from './ports.js';

/** A stranger is logged this often, not at each of its requests. */
const STRANGER_LOG_EVERY_MS = 60_000;
/** Strangers remembered for that; more are not told apart. */
const MAX_STRANGERS = 1_000;

export interface Connected {
  readonly socket: Socket;
}

/**
 * @returns the function that names the peer of a request; it throws NOT_AUTHORISED for a stranger, and logs the
 *   fingerprint, so that an operator who knows the caller can pin it
 */
export function createPeerIdentity(api: PeerApi, log: Log): (request: Connected) => string {
  const loggedAtMs = new Map<string, number>();

  const isLogDue = (stranger: string): boolean => {
    const nowMs = Date.now();
    if (nowMs - (loggedAtMs.get(stranger) ?? 0) < STRANGER_LOG_EVERY_MS) return false;
    if (loggedAtMs.size >= MAX_STRANGERS) loggedAtMs.clear();
    loggedAtMs.set(stranger, nowMs);
    return true;
  };

  return (request) => {
    const certificate = certificateOf(request.socket);
    const { remoteAddress } = request.socket;
    if (certificate === undefined) {
      if (isLogDue(`address ${remoteAddress}`)) {
        log.warn(
          { event: 'peer.anonymous', remoteAddress },
          'a caller without a client certificate was refused',
        );
      }
      throw new GatewayError('NOT_AUTHORISED', 'a client certificate is required');
    }
    const peerId = api.identify(certificate);
    if (peerId === undefined) {
      const { fingerprint } = certificate;
      if (isLogDue(fingerprint)) {
        log.warn(
          { event: 'peer.unknown', fingerprint, remoteAddress },
          'a certificate that no peer has pinned; to accept it, add it to certificateFingerprints of the peer',
        );
      }
      throw new GatewayError(
        'NOT_AUTHORISED',
        `the certificate ${certificate.fingerprint} is not pinned here`,
      );
    }
    return peerId;
  };
}

function certificateOf(socket: Socket): PeerCertificate | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  const { fingerprint256, subject, subjectaltname } = socket.getPeerCertificate();
  if (fingerprint256 === undefined) return undefined;
  const commonName: unknown = subject?.CN;
  const dnsNames = (subjectaltname ?? '')
    .split(', ')
    .filter((name) => name.startsWith('DNS:'))
    .map((name) => name.slice(4));
  return {
    fingerprint: fingerprint256.replaceAll(':', '').toLowerCase(),
    authorized: socket.authorized,
    names: typeof commonName === 'string' ? [...dnsNames, commonName] : dnsNames,
  };
}
