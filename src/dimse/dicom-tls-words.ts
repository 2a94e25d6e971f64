/**
 * Why a TLS connection was refused, by one side or the other: codes of OpenSSL and Node → words for the people who run
 * both ends, and on our own way out a GatewayError. By code, never by text. No names of subjects: fingerprints tell who.
 */
import type { TLSSocket } from 'node:tls';
import { plainFingerprint } from '../domain/fingerprint.js';
import { GatewayError } from '../errors/gateway-error.js';
import { CERTIFICATE_ALERTS, tlsCodeOf } from '../errors/tls-alerts.js';

/** Results of the verification (X509_verify_cert), and Node's own for host names. */
const OBJECTIONS: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'its root is a CA that is not known here',
  UNABLE_TO_GET_ISSUER_CERT: 'it is signed by a CA that is not known here',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'it is signed by a CA that is not known here',
  CERT_SIGNATURE_FAILURE: 'it is signed by a CA that is not known here, under the name of one that is',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'it is signed by a CA that is not known here',
  INVALID_PURPOSE: 'it is not made for this end of a TLS connection (extended key usage)',
  CERT_REVOKED: 'it is revoked',
  UNABLE_TO_GET_CRL: 'dimse.tls.crlFile holds no revocation list of its CA',
  CRL_HAS_EXPIRED: 'the revocation list of its CA in dimse.tls.crlFile has expired',
  CRL_NOT_YET_VALID: 'the revocation list of its CA in dimse.tls.crlFile is of the future',
  CRL_SIGNATURE_FAILURE: 'the revocation list of its CA in dimse.tls.crlFile is not signed by that CA',
  ERR_TLS_CERT_ALTNAME_INVALID: 'it is made for another host name',
  // Node has no name for most rules of OpenSSL; the one that is met is a key or a digest below its security level.
  UNSPECIFIED: 'it breaks a rule of certificates; most often its key is too short, or its digest too weak',
};

/** Why the certificate of the other end is not taken. */
export interface Objection {
  /** '' where none was shown. */
  readonly fingerprint: string;
  readonly words: string;
}

/**
 * Judges the certificate of a connection whose handshake is over.
 * @param pins fingerprints of certificates that are taken without a CA, whatever host they name
 */
export function judgeCertificate(
  socket: TLSSocket,
  pins: readonly string[],
  nowMs: number,
): Objection | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return { fingerprint: '', words: 'no certificate was shown' };
  const fingerprint = plainFingerprint(certificate.fingerprint256);
  const [fromMs, toMs] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  if (!(nowMs <= toMs)) return { fingerprint, words: `it has expired at ${isoTime(toMs)}` };
  if (!(nowMs >= fromMs)) return { fingerprint, words: `it is not valid before ${isoTime(fromMs)}` };
  if (pins.includes(fingerprint) || socket.authorized) return undefined;
  const code = String(socket.authorizationError);
  return { fingerprint, words: OBJECTIONS[code] ?? `its verification ends with ${code}` };
}

/** A handshake that a caller could not finish; what is not listed is a broken connection and says nothing. */
const FAILED_CALLS: Readonly<Record<string, string>> = {
  ERR_SSL_NO_SHARED_CIPHER: 'it offers no cipher suite of our profile, or none that fits our certificate',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'it offers no version of TLS from 1.2 on',
  ERR_SSL_NO_SHARED_SIGNATURE_ALGORITHMS: 'it offers no signature algorithm of our profile',
  ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM: 'it offers no signature algorithm of our profile',
  ERR_SSL_NO_SUITABLE_KEY_SHARE: 'it offers no group of our profile for the key exchange',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS; if it is a modality, it is set to plain DICOM',
  ERR_SSL_HTTP_REQUEST: 'it speaks HTTP, not DICOM over TLS',
  ERR_TLS_HANDSHAKE_TIMEOUT: 'it did not finish its handshake in time',
};

/** A handshake of ours that came to nothing, and would again. */
const FAILED_OWN: Readonly<Record<string, string>> = {
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE:
    'agrees to none of our cipher suites, or does not take our certificate (alert: handshake failure)',
  ERR_SSL_TLSV1_ALERT_INSUFFICIENT_SECURITY: 'finds none of our cipher suites strong enough',
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: 'speaks no version of TLS from 1.2 on',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'speaks no version of TLS from 1.2 on',
  ERR_SSL_WRONG_VERSION_NUMBER: 'does not speak TLS at this port; it may be its port for plain DICOM',
  ERR_SSL_DH_KEY_TOO_SMALL: 'offers a key exchange that is too weak (DHE below 2048 bits)',
  ERR_TLS_DH_PARAM_SIZE: 'offers a key exchange that is too weak (DHE below 2048 bits)',
  ERR_SSL_EE_KEY_TOO_SMALL: 'shows a certificate whose key is too short',
  ERR_SSL_WRONG_SIGNATURE_TYPE: 'signs with an algorithm that is not in our profile',
  ERR_SSL_WRONG_CURVE: 'chose a group that is not in our profile',
};

/** Why a caller was not let in; undefined for a connection that merely broke. */
export function wordsForFailedCall(error: Error): string | undefined {
  const code = tlsCodeOf(error);
  const alert = CERTIFICATE_ALERTS[code];
  return alert === undefined ? FAILED_CALLS[code] : `it does not take our certificate: ${alert}`;
}

/**
 * PACS_UNTRUSTED, where that is what an error of a socket towards a PACS means; undefined for every other error.
 * @param pacs for the message
 */
export function classifyTlsError(error: unknown, pacs: string): GatewayError | undefined {
  const code = tlsCodeOf(error);
  const alert = CERTIFICATE_ALERTS[code];
  const words =
    alert === undefined
      ? FAILED_OWN[code]
      : `does not take our certificate: ${alert}; it has to know it, or the CA that signed it`;
  return words === undefined
    ? undefined
    : new GatewayError('PACS_UNTRUSTED', `${pacs} ${words}`, { facts: { errno: code }, cause: error });
}

function isoTime(ms: number): string {
  return Number.isNaN(ms) ? 'a time that cannot be read' : new Date(ms).toISOString();
}
