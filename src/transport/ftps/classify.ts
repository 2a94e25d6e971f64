/**
 * FTP replies (RFC 959 §4.2, RFC 4217) and broken connections → GatewayError, by number or code, never by text. Mind
 * that an FTP 4yz says "try again", where an HTTP 4xx says "do not".
 */
import { FTPError } from 'basic-ftp';
import { GatewayError, isGatewayError } from '../../errors/gateway-error.js';
import { CERTIFICATE_ALERTS, tlsCodeOf } from '../../errors/tls-alerts.js';
import { classifySocketError } from '../classify-socket.js';

export interface Reply {
  /** Three digits, 100 to 599. */
  readonly code: number;
  readonly message: string;
}

/** Of a server's own words, so much is passed on. */
const MAX_WORDS = 200;

/**
 * A reply that says no.
 * @param doing the command's verb, as `STOR`
 */
export function classifyReply(reply: Reply, doing: string): GatewayError {
  const { code } = reply;
  const text = `the server answers ${code} to ${doing}${wordsOf(reply)}`;
  const facts = { reply: code, command: doing };
  switch (code) {
    case 425:
    case 426:
      return new GatewayError('PEER_UNREACHABLE', text, { facts });
    case 452:
    case 552:
      return new GatewayError('QUOTA_EXCEEDED', text, { facts });
    case 430:
      return loginRefused(reply);
    default:
      return new GatewayError(code >= 400 && code < 500 ? 'PEER_BUSY' : 'PEER_REFUSED', text, { facts });
  }
}

/** Its words are left out: a server may repeat what it was told. */
export function loginRefused(reply: Reply): GatewayError {
  const text = `the server refuses the login with ${reply.code}: check user and password`;
  return new GatewayError('PEER_REFUSED', text, { facts: { reply: reply.code } });
}

/** What the FTP library, a socket or TLS throws. Its own errors, as for a timeout, have no code: the line is broken. */
export function classifyFtpError(error: unknown, doing: string): GatewayError {
  if (isGatewayError(error)) return error;
  if (error instanceof FTPError) return classifyReply(error, doing);
  const code = tlsCodeOf(error);
  const alert = CERTIFICATE_ALERTS[code];
  if (alert !== undefined) {
    return new GatewayError('PEER_REFUSED', `the server refuses the certificate of this bridge: ${alert}`, {
      facts: { errno: code },
      cause: error,
    });
  }
  if (/[A-Z]/.test(code)) return classifySocketError(error);
  return new GatewayError('PEER_UNREACHABLE', `the connection broke, or the server did not answer ${doing}`, {
    cause: error,
  });
}

/** A command as it may be told to others: without what it is about. */
export function verbOf(command: string): string {
  return command.split(' ', 1)[0] ?? command;
}

/** The first line without its number, printable ASCII only. */
function wordsOf({ message }: Reply): string {
  const line = message.split(/[\r\n]/, 1)[0] ?? '';
  const words = line
    .replace(/^\d{3}[ -]?/, '')
    .replace(/[^ -~]/g, '?')
    .slice(0, MAX_WORDS);
  return words === '' ? '' : `: ${words}`;
}
