/** Errors of sockets and of TLS → GatewayError, by code, never by text. */
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';

/** Prefixes of OpenSSL and Node codes that say: this certificate is not trusted. */
const UNTRUSTED_CODES = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'CERT_UNTRUSTED',
  'CERT_REVOKED',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]);

export function classifySocketError(error: unknown): GatewayError {
  if (isGatewayError(error)) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  if (UNTRUSTED_CODES.has(code)) {
    return new GatewayError('PEER_UNTRUSTED', `the certificate of the peer is not trusted: ${code}`, {
      cause: error,
    });
  }
  return new GatewayError('PEER_UNREACHABLE', `the peer cannot be reached: ${code}`, {
    cause: error,
    facts: { errno: code },
  });
}
