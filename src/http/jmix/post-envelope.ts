/**
 * POST /api/jmix: an envelope as an archive. 201 when it is durable, 200 when it was here before; nothing of the body is
 * asked for before the head has passed (RFC 9110 §10.1.1).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RequestHandler } from 'express';
import { GatewayError, isGatewayError } from '../../errors/gateway-error.js';
import { gatheredBody } from '../gathered-body.js';
import type { ArchiveMediaType, PeerApi, PeerLocals } from '../ports.js';
import { askForBody } from '../request-body.js';

/** To make gigabytes durable after their last byte may take long on a slow disk, and nothing moves meanwhile. */
const COMMIT_TIMEOUT_MS = 600_000;

const MEDIA_TYPES: Readonly<Record<string, ArchiveMediaType>> = {
  'application/x-tar': 'application/x-tar',
  'application/gzip': 'application/gzip',
  'application/x-gzip': 'application/gzip',
  'application/zip': 'application/zip',
  'application/pgp-encrypted': 'application/pgp-encrypted',
};

export function postEnvelope(
  api: PeerApi,
  maxBytes: number,
): RequestHandler<Record<string, string>, unknown, unknown, unknown, PeerLocals> {
  return async (request, response) => {
    const { peerId } = response.locals;
    const mediaType = mediaTypeOf(request, response);
    assertFits(request, maxBytes);
    const refusal = api.admission();
    if (refusal !== undefined) throw refusal;

    const gone = new AbortController();
    response.on('close', () => {
      if (!response.writableFinished) gone.abort(wentAway());
    });
    askForBody(request, response);
    request.once('end', () => response.socket?.setTimeout(COMMIT_TIMEOUT_MS));
    const body = gatheredBody(request, maxBytes, () => tooLarge(maxBytes));
    const { id, created } = await api
      .receive({ peerId, body, mediaType, signal: gone.signal })
      .catch((error: unknown) => {
        // Whatever broke in the receiver when the sender went away, that is what it was.
        throw isCutOff(request) && !isGatewayError(error) ? wentAway(error) : error;
      });
    response
      .status(created ? 201 : 200)
      .location(`/api/jmix/${id}/status`)
      .json({ id, status: created ? 'created' : 'exists' });
  };
}

function wentAway(cause?: unknown): GatewayError {
  return new GatewayError('CANCELLED', 'the sender closed the connection', { cause });
}

/** By the sender: a receiver that fails also ends the request, but with an error of its own. */
function isCutOff({ errored }: IncomingMessage): boolean {
  return errored !== null && 'code' in errored && errored.code === 'ECONNRESET';
}

function mediaTypeOf(request: IncomingMessage, response: ServerResponse): ArchiveMediaType {
  const text = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  const mediaType = Object.hasOwn(MEDIA_TYPES, text) ? MEDIA_TYPES[text] : undefined;
  if (mediaType === undefined) {
    // RFC 9110 §15.5.16: the answer says what would be taken.
    response.setHeader('accept', Object.keys(MEDIA_TYPES).join(', '));
    throw new GatewayError(
      'MEDIA_TYPE_UNSUPPORTED',
      'expected Content-Type application/x-tar, application/gzip, application/zip or application/pgp-encrypted',
    );
  }
  return mediaType;
}

function assertFits(request: IncomingMessage, maxBytes: number): void {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > maxBytes) throw tooLarge(maxBytes);
}

function tooLarge(maxBytes: number): GatewayError {
  return new GatewayError('ENVELOPE_TOO_LARGE', `the archive is larger than the limit of ${maxBytes} bytes`);
}
