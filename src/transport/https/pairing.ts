/**
 * The line that pairing goes over, to a bridge whose certificate nobody knows yet. The certificate is looked at first, in
 * a connection that carries nothing; every further connection must show the same one, and carries nothing but pairing
 * messages. The caller compares its fingerprint with the one on the card that comes over the line: whoever answers in the
 * place of the other bridge has another key, and cannot put his fingerprint on a card without changing the words.
 */
import { once } from 'node:events';
import { connect } from 'node:tls';
import { plainFingerprint } from '../../domain/fingerprint.js';
import { GatewayError, toGatewayError } from '../../errors/gateway-error.js';
import { classifySocketError } from '../classify-socket.js';
import type { ClientIdentity } from '../client-identity.js';
import { refusalFrom } from './answer.js';
import { createVerifiedAgent } from './connection.js';
import { exchange } from './exchange.js';

export interface PairingLine {
  /** SHA-256 of the certificate that the other bridge shows: 64 lower hex digits. */
  readonly fingerprint: string;
  /**
   * Sends one message, and gives the other side's.
   * @param to which of its two desks
   * @throws PAIRING_FAILED when it takes no pairing (any more), PEER_UNREACHABLE, PEER_UNTRUSTED, PEER_BUSY, CANCELLED
   */
  send(to: 'request' | 'standing', message: Buffer, signal: AbortSignal): Promise<Buffer>;
  /** Closes idle connections. */
  close(): void;
}

const HANDSHAKE_TIMEOUT_MS = 15_000;
/** A bridge answers at once. */
const ANSWER_TIMEOUT_MS = 30_000;
const MEDIA_TYPE = 'application/jose';
const MAX_ANSWER_BYTES = 8 * 1024;

/**
 * @param url `https://host:port`, as the operator typed it
 * @param identity our own certificate, whose fingerprint is on our card
 * @throws PEER_UNREACHABLE, CANCELLED
 */
export async function openPairingLine(
  url: URL,
  identity: ClientIdentity,
  signal: AbortSignal,
): Promise<PairingLine> {
  const fingerprint = await lookAtCertificate(url, signal);
  const agent = createVerifiedAgent({ certificateFingerprints: [fingerprint] }, identity);
  return {
    fingerprint,
    async send(to, message, stop) {
      const limit = AbortSignal.any([stop, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]);
      const answer = await exchange({
        agent,
        method: 'POST',
        url: new URL(`/api/pairing/${to}`, url),
        headers: { 'content-type': MEDIA_TYPE },
        body: { sizeBytes: message.length, stream: message },
        signal: limit,
      }).catch((raw: unknown) => {
        throw stop.aborted ? raw : unanswered(toGatewayError(raw));
      });
      if (answer.status === 404) {
        throw new GatewayError(
          'PAIRING_FAILED',
          'the other bridge takes no pairing now: `drawbridge pair` has to be running there',
        );
      }
      if (answer.status !== 200) throw toPairingError(refusalFrom(answer));
      if (answer.body.length > MAX_ANSWER_BYTES) {
        throw new GatewayError('PAIRING_FAILED', `the other bridge answers ${answer.body.length} bytes`);
      }
      return answer.body;
    },
    close: () => agent.destroy(),
  };
}

/** Neither our patience nor a message that may have arrived is worth a word of its own: saying it again is harmless. */
function unanswered(error: GatewayError): GatewayError {
  if (error.code !== 'CANCELLED' && error.code !== 'SHIP_UNCONFIRMED') return error;
  return new GatewayError('PEER_UNREACHABLE', 'the other bridge did not answer', { cause: error });
}

/** What can be tried again stays what it is. */
function toPairingError(error: GatewayError): GatewayError {
  if (error.kind === 'transient') return error;
  return new GatewayError('PAIRING_FAILED', error.message, { cause: error });
}

async function lookAtCertificate(url: URL, signal: AbortSignal): Promise<string> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const socket = connect({
    host,
    port: Number(url.port === '' ? 443 : url.port),
    // RFC 6066 §3: literal addresses are not permitted as a server name.
    ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }),
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
    // It is what we came to see; nothing is sent before it is pinned.
    rejectUnauthorized: false,
  });
  const limit = AbortSignal.any([signal, AbortSignal.timeout(HANDSHAKE_TIMEOUT_MS)]);
  try {
    await once(socket, 'secureConnect', { signal: limit });
    const { fingerprint256 } = socket.getPeerCertificate();
    if (fingerprint256 === undefined) throw new GatewayError('PEER_UNREACHABLE', 'no certificate was shown');
    return plainFingerprint(fingerprint256);
  } catch (error) {
    if (signal.aborted) throw new GatewayError('CANCELLED', 'pairing was stopped', { cause: error });
    if (!limit.aborted) throw classifySocketError(error);
    const text = `no TLS connection within ${HANDSHAKE_TIMEOUT_MS / 1000} s`;
    throw new GatewayError('PEER_UNREACHABLE', text, { cause: error });
  } finally {
    socket.on('error', () => undefined);
    socket.destroy();
  }
}
