/**
 * Errors of Node, seen while an envelope is read or written, as ours: by code, never by text.
 */
import type { ErrorCode } from '../errors/codes.js';
import { GatewayError, isGatewayError, toGatewayError } from '../errors/gateway-error.js';

const BY_CODE: Readonly<Record<string, ErrorCode>> = {
  ABORT_ERR: 'CANCELLED',
  ENOSPC: 'SPOOL_WRITE_FAILED',
  EDQUOT: 'SPOOL_WRITE_FAILED',
  EIO: 'SPOOL_WRITE_FAILED',
  EROFS: 'SPOOL_WRITE_FAILED',
  EMFILE: 'SPOOL_WRITE_FAILED',
  // A client that goes away in the middle of an upload.
  ECONNRESET: 'ENVELOPE_MALFORMED',
  ERR_STREAM_PREMATURE_CLOSE: 'ENVELOPE_MALFORMED',
  // zlib: not gzip, or gzip that ends early or breaks.
  Z_DATA_ERROR: 'ENVELOPE_MALFORMED',
  Z_BUF_ERROR: 'ENVELOPE_MALFORMED',
};

const MEANING: Partial<Record<ErrorCode, string>> = {
  CANCELLED: 'stopped before it was done',
  SPOOL_WRITE_FAILED: 'the disk refused',
  ENVELOPE_MALFORMED: 'the stream ended early or is not what it says',
};

/** Any error as a GatewayError; ours stay as they are, the unknown become `FAULT`. */
export function classifyEnvelopeError(error: unknown, signal?: AbortSignal): GatewayError {
  if (isGatewayError(error)) return error;
  // What fails after an abort fails because of it, whatever it is called.
  const code = signal?.aborted === true ? 'CANCELLED' : BY_CODE[codeOf(error)];
  if (code === undefined) return toGatewayError(error);
  const seen = codeOf(error);
  return new GatewayError(code, `${MEANING[code] ?? 'failed'}${seen === '' ? '' : `: ${seen}`}`, {
    cause: error,
  });
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}
