/** What a peer's answers to an upload in pieces mean. */
import { GatewayError } from '../../errors/gateway-error.js';
import { parseJsonObject } from './answer.js';
import type { Answer } from './exchange.js';

/**
 * How far the upload came; undefined when it is one of another length, which has to be begun again.
 * @throws PEER_REFUSED when the peer gives no offset that the archive has
 */
export function uploadOffset({ headers, status }: Answer, sizeBytes: number): number | undefined {
  const { 'upload-offset': offset, 'upload-length': length } = headers;
  if (length !== undefined && length !== String(sizeBytes)) return undefined;
  if (typeof offset === 'string' && /^\d{1,16}$/.test(offset) && Number(offset) <= sizeBytes) {
    return Number(offset);
  }
  throw new GatewayError('PEER_REFUSED', `expected an Upload-Offset of at most ${sizeBytes}, got ${offset}`, {
    facts: { status },
  });
}

/** The upload is gone, or lies at another offset: to be asked for anew. The envelope itself is not refused. */
export function isMisplaced({ status, body }: Answer): boolean {
  if (status === 404 || status === 410) return true;
  return status === 409 && parseJsonObject(body)['code'] !== 'ENVELOPE_EXISTS';
}

/** Somebody else makes, writes or removes the same upload, as often as it is looked at. */
export function misplaced({ status }: Answer): GatewayError {
  return new GatewayError('PEER_BUSY', `the upload is not where the peer said it was: it answers ${status}`, {
    facts: { status },
  });
}
