/**
 * Which peer stands behind a request: by its client certificate; where tokens are taken, also by a bearer token
 * (RFC 6750 §2.1). Whoever shows both must be the same by both.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { plainFingerprint } from '../domain/fingerprint.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import type { PeerApi, PeerCertificate } from './ports.js';

/** A stranger is logged this often, not at each of its requests. */
const STRANGER_LOG_EVERY_MS = 60_000;
/** Strangers remembered for that; more are not told apart. */
const MAX_STRANGERS = 1_000;

const UNKNOWN = 'expected a client certificate or a token that is known here';
/** RFC 6750 §2.1, b64token, of a length that bounds the work. */
const BEARER = /^bearer +([\w.~+/-]{1,512}=*)$/i;

export interface Connected {
  readonly socket: Socket;
  readonly headers: IncomingHttpHeaders;
}

/**
 * @returns the function that names the peer of a request; it throws NOT_AUTHORISED for a stranger, and logs the
 *   fingerprint, so that an operator who knows the caller can pin it. Where tokens are taken, every stranger hears
 *   the same, whatever was wrong with what it showed
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

  const noteStranger = (certificate: PeerCertificate | undefined, remoteAddress: string | undefined) => {
    if (certificate === undefined) {
      if (!isLogDue(`address ${remoteAddress}`)) return;
      log.warn(
        { event: 'peer.anonymous', remoteAddress },
        'a caller without a client certificate was refused',
      );
      return;
    }
    const { fingerprint } = certificate;
    if (!isLogDue(fingerprint)) return;
    log.warn(
      { event: 'peer.unknown', fingerprint, remoteAddress },
      'a certificate that no peer has pinned; to accept it, add it to certificateFingerprints of the peer',
    );
  };

  return ({ socket, headers }) => {
    const certificate = certificateOf(socket);
    const { remoteAddress } = socket;
    const byCertificate = certificate === undefined ? undefined : api.identify(certificate);
    if (api.identifyToken !== undefined && headers.authorization !== undefined) {
      const token = BEARER.exec(headers.authorization)?.[1];
      const byToken = token === undefined ? undefined : api.identifyToken(token);
      if (byToken !== undefined && (byCertificate ?? byToken) === byToken) return byToken;
      if (isLogDue(`token ${remoteAddress}`)) {
        log.warn(
          { event: 'peer.token_refused', remoteAddress },
          'a token that is nobody’s, or not this caller’s',
        );
      }
      throw new GatewayError('NOT_AUTHORISED', UNKNOWN);
    }
    if (byCertificate !== undefined) return byCertificate;
    noteStranger(certificate, remoteAddress);
    if (api.identifyToken !== undefined) throw new GatewayError('NOT_AUTHORISED', UNKNOWN);
    throw new GatewayError(
      'NOT_AUTHORISED',
      certificate === undefined
        ? 'a client certificate is required'
        : `the certificate ${certificate.fingerprint} is not pinned here`,
    );
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
    fingerprint: plainFingerprint(fingerprint256),
    authorized: socket.authorized,
    names: typeof commonName === 'string' ? [...dnsNames, commonName] : dnsNames,
  };
}
