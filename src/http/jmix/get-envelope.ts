/**
 * GET /api/jmix/:id: an envelope that waits for the caller, as an archive; HEAD too. One range that runs to the end
 * (RFC 9110 §14) lets a broken transfer go on; any other Range is passed over, as a server may.
 */
import type { IncomingMessage } from 'node:http';
import { pipeline } from 'node:stream/promises';
import type { RequestHandler } from 'express';
import { parseEnvelopeId } from '../../domain/envelope-id.js';
import type { InboxApi, PeerLocals } from '../ports.js';
import { inboxCaller } from './inbox-caller.js';

const ARCHIVE_TYPE = 'application/x-tar';
/** A response that ends before its time. */
const GONE_CODES = new Set(['ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET', 'EPIPE']);

export function getEnvelope(
  inbox: InboxApi,
): RequestHandler<{ id: string }, unknown, unknown, unknown, PeerLocals> {
  return async (request, response) => {
    const id = parseEnvelopeId(request.params.id);
    const caller = inboxCaller(request, response);
    const asked = rangeOf(request);
    let opened = await inbox.open(caller, id, asked ?? 0);
    // An id is taken in once and never changes, so id and size name these very bytes.
    const etag = `"${id}-${opened.sizeBytes}"`;
    let offset = asked;
    // RFC 9110 §13.1.5: the range is of another representation, so all of this one is given.
    const condition = request.headers['if-range'];
    if (asked !== undefined && condition !== undefined && condition !== etag) {
      opened.stream.destroy();
      opened = await inbox.open(caller, id, 0);
      offset = undefined;
    }
    const { sizeBytes, stream } = opened;
    response.setHeader('accept-ranges', 'bytes');
    response.setHeader('cache-control', 'no-store');
    if (offset !== undefined && offset >= sizeBytes) {
      stream.destroy();
      response.status(416).setHeader('content-range', `bytes */${sizeBytes}`).end();
      return;
    }
    response.setHeader('etag', etag);
    response.setHeader('content-type', ARCHIVE_TYPE);
    response.setHeader('content-length', sizeBytes - (offset ?? 0));
    if (offset !== undefined) {
      response.status(206).setHeader('content-range', `bytes ${offset}-${sizeBytes - 1}/${sizeBytes}`);
    }
    if (request.method === 'HEAD') {
      stream.destroy();
      response.end();
      return;
    }
    try {
      await pipeline(stream, response);
    } catch (error) {
      // A caller that goes away comes again for the rest.
      if (!isCallerGone(error)) throw error;
    }
  };
}

/** The first byte of `Range: bytes=N-`; undefined for no range, or one of another form. */
function rangeOf({ method, headers }: IncomingMessage): number | undefined {
  if (method !== 'GET') return undefined;
  const first = /^bytes=(\d{1,15})-$/i.exec(headers.range ?? '')?.[1];
  return first === undefined ? undefined : Number(first);
}

function isCallerGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && GONE_CODES.has(String(error.code));
}
