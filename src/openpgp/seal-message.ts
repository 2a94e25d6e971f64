/**
 * A whole envelope as one OpenPGP message: the plain, signed envelope streams as a tar into gpg, and is on no disk. The
 * manifest and its signature are within; the caller gets copies for its records.
 */
import { PassThrough, type Writable } from 'node:stream';
import { isGatewayError } from '../errors/gateway-error.js';
import { type PlainEnvelope, type PlainEnvelopeRequest, plainEnvelope } from '../jmix/plain-envelope.js';
import type { Openpgp } from './openpgp.js';

export interface MessageRequest extends Omit<PlainEnvelopeRequest, 'archiveSink'> {
  /** Fingerprints of the receiver's primary keys; at least one. */
  readonly fingerprints: readonly string[];
  /** Takes the message; is ended on success, destroyed on failure. */
  readonly messageSink: Writable;
}

const BUFFER_BYTES = 1024 * 1024;

/** @throws what `plainEnvelope` and `Openpgp.encrypt` throw; then the sink's bytes are worthless */
export async function sealMessage(
  openpgp: Pick<Openpgp, 'encrypt'>,
  request: MessageRequest,
): Promise<PlainEnvelope> {
  const { fingerprints, messageSink, signal } = request;
  const archive = new PassThrough({ highWaterMark: BUFFER_BYTES });
  const encryption = openpgp.encrypt({
    plaintext: archive,
    recipients: fingerprints,
    messageSink,
    ...(signal === undefined ? {} : { signal }),
  });
  // Each ends the other: a sink that breaks is a source that ends too early, and the other way round.
  const [encrypting, writing] = await Promise.allSettled([
    encryption.finally(() => archive.destroy()),
    plainEnvelope({ ...request, archiveSink: archive }),
  ]);
  if (encrypting.status === 'fulfilled' && writing.status === 'fulfilled') return writing.value;
  throw rootCause(encrypting, writing);
}

/** What broke gpg breaks the archive; what broke the archive reaches gpg as it is, or as a stream that has just ended. */
function rootCause(
  encrypting: PromiseSettledResult<unknown>,
  writing: PromiseSettledResult<unknown>,
): unknown {
  if (encrypting.status === 'fulfilled') return writing.status === 'rejected' ? writing.reason : undefined;
  return isGatewayError(encrypting.reason) || writing.status === 'fulfilled'
    ? encrypting.reason
    : writing.reason;
}
