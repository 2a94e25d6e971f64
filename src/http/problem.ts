/** GatewayError → HTTP status and problem document (RFC 9457). The only place that knows HTTP statuses of errors. */
import { randomUUID } from 'node:crypto';
import type { ErrorRequestHandler, Response } from 'express';
import { CODES, type ErrorCode } from '../errors/codes.js';
import { GatewayError, isGatewayError, toGatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import { leaveBody } from './request-body.js';

export const HTTP_STATUS: Readonly<Record<ErrorCode, number>> = {
  CALLING_AE_UNKNOWN: 500,
  CALLING_AE_UNPROVED: 500,
  CALLED_AE_UNKNOWN: 500,
  ASSOCIATION_LIMIT: 503,
  RATE_LIMIT: 503,
  CALLER_UNTRUSTED: 500,
  USER_UNKNOWN: 500,
  SHUTTING_DOWN: 503,
  SPOOL_ABOVE_WATERMARK: 503,
  CONTEXT_UNSUPPORTED: 500,
  PDU_TOO_LARGE: 500,
  SPOOL_WRITE_FAILED: 503,
  INSTANCE_TOO_LARGE: 413,
  STUDY_TOO_LARGE: 413,
  DATASET_UNREADABLE: 400,
  SOP_MISMATCH: 409,
  SOP_CLASS_REFUSED: 409,
  INSTANCE_CONFLICT: 409,
  NOT_AUTHORISED: 403,
  MEDIA_TYPE_UNSUPPORTED: 415,
  NOT_ACCEPTABLE: 406,
  REQUEST_INVALID: 400,
  ENVELOPE_MALFORMED: 400,
  MANIFEST_INVALID: 400,
  METADATA_INVALID: 400,
  ARCHIVE_UNSAFE: 400,
  ENVELOPE_TOO_LARGE: 413,
  ENVELOPE_EXISTS: 409,
  ENVELOPE_NOT_FOUND: 404,
  STUDY_NOT_FOUND: 404,
  ENCRYPTION_PARAMETERS_INVALID: 400,
  ASSERTION_INVALID: 400,
  ASSERTION_EXPIRED: 400,
  ENVELOPE_TOO_OLD: 400,
  ENVELOPE_FROM_FUTURE: 400,
  SIGNER_NOT_PINNED: 400,
  RECIPIENT_MISMATCH: 400,
  PAYLOAD_HASH_MISMATCH: 400,
  PAYLOAD_DECRYPT_FAILED: 400,
  PAYLOAD_INCONSISTENT: 400,
  SPOOL_CORRUPT: 500,
  PEER_UNREACHABLE: 502,
  PEER_BUSY: 503,
  OUTSIDE_WINDOW: 503,
  QUOTA_EXCEEDED: 507,
  ENVELOPE_INCOMPLETE: 503,
  ENVELOPE_CLAIMED: 423,
  PEER_REFUSED: 502,
  PEER_UNTRUSTED: 502,
  SHIP_UNCONFIRMED: 502,
  PACS_UNREACHABLE: 502,
  PACS_BUSY: 503,
  PACS_PAUSED: 503,
  PACS_UNTRUSTED: 502,
  TRANSCODE_FAILED: 502,
  COMMITMENT_PENDING: 503,
  COMMITMENT_FAILED: 502,
  PACS_REFUSED: 502,
  STORE_UNANSWERED: 502,
  RECEIPT_INVALID: 400,
  ROUTE_MISSING: 409,
  STATE_INVALID: 409,
  REDIS_UNAVAILABLE: 503,
  KEY_UNREADABLE: 500,
  KEY_LOCKED: 500,
  KEY_REVOKED: 400,
  PAIRING_FAILED: 409,
  DIRECTORY_INVALID: 502,
  OPENPGP_UNAVAILABLE: 500,
  CUSTODY_BROKEN: 400,
  CONFIG_INVALID: 500,
  CANCELLED: 503,
  FAULT: 500,
};

/** Seconds after which a caller may try again what was refused for want of something. */
const RETRY_AFTER_SECONDS = 30;

/** Says no more than this to somebody whose signature failed: the rest would only teach a forger. */
const UNTOLD: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ASSERTION_INVALID',
  'ASSERTION_EXPIRED',
  'SIGNER_NOT_PINNED',
]);

/**
 * Answers with a problem document, under the code's own status or another one. A fault is told by its correlation id
 * alone; the log line under that id has the rest. Ends the connection where an answer has begun already.
 */
export function sendProblem(
  response: Response,
  error: GatewayError,
  log: Log,
  status: number = HTTP_STATUS[error.code],
): void {
  if (response.destroyed || response.headersSent) {
    response.destroy();
    log.info({ event: 'request.abandoned', code: error.code }, error.message);
    return;
  }
  const body: Record<string, unknown> = {
    type: `urn:drawbridge:error:${error.code}`,
    title: CODES[error.code].meaning,
    status,
    code: error.code,
  };
  if (error.kind === 'fault') {
    const correlationId = randomUUID();
    body['correlation_id'] = correlationId;
    const stack = error.cause instanceof Error ? error.cause.stack : error.stack;
    log.error({ event: 'request.failed', correlationId, stack }, error.message);
  } else if (!UNTOLD.has(error.code)) {
    body['detail'] = error.message;
    if (Object.keys(error.facts).length > 0) body['facts'] = error.facts;
  }
  leaveBody(response.req, response);
  if (status === 503) response.setHeader('retry-after', String(RETRY_AFTER_SECONDS));
  response.status(status).type('application/problem+json').send(JSON.stringify(body));
}

/** The last middleware: whatever was thrown becomes a problem document. */
export function problemHandler(log: Log): ErrorRequestHandler {
  return (error: unknown, _request, response, _next) => {
    sendProblem(response, isGatewayError(error) ? error : fromExpress(error), log);
  };
}

/** Errors of the framework itself (a body too large, a path that cannot be decoded) carry a 4xx status. */
function fromExpress(error: unknown): GatewayError {
  const status =
    typeof error === 'object' && error !== null && 'status' in error ? Number(error.status) : 500;
  if (status === 413)
    return new GatewayError('ENVELOPE_TOO_LARGE', 'the body is too large', { cause: error });
  if (status >= 400 && status < 500) {
    return new GatewayError('REQUEST_INVALID', 'the request cannot be read', { cause: error });
  }
  return toGatewayError(error);
}
