/** What a folder that others share answers with, as a GatewayError: by errno, never by text. */
import type { ErrorCode } from '../../errors/codes.js';
import { GatewayError, isGatewayError } from '../../errors/gateway-error.js';

const BY_ERRNO: Readonly<Record<string, ErrorCode>> = {
  ABORT_ERR: 'CANCELLED',
  ENOSPC: 'QUOTA_EXCEEDED',
  EDQUOT: 'QUOTA_EXCEEDED',
  // FAT32 ends at 4 GiB for one file: however often it is tried, it will not fit.
  EFBIG: 'ENVELOPE_TOO_LARGE',
  EACCES: 'PEER_REFUSED',
  EPERM: 'PEER_REFUSED',
  EROFS: 'PEER_REFUSED',
  ELOOP: 'PEER_REFUSED',
  // Somebody has the file open on a share that locks.
  EBUSY: 'PEER_BUSY',
  ETXTBSY: 'PEER_BUSY',
  EAGAIN: 'PEER_BUSY',
};

const MEANING: Partial<Record<ErrorCode, string>> = {
  CANCELLED: 'stopped before it was done',
  QUOTA_EXCEEDED: 'the folder has no space left',
  ENVELOPE_TOO_LARGE: 'the file system of the folder does not hold a file this large',
  PEER_REFUSED: 'the folder refuses',
  PEER_BUSY: 'a file in the folder is in use',
};

export function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown';
}

/** An error of the shared folder; what is not known otherwise counts as a folder that cannot be reached. */
export function classifyFolderError(error: unknown, signal?: AbortSignal): GatewayError {
  if (isGatewayError(error)) return error;
  const errno = errnoOf(error);
  // What fails after an abort fails because of it, whatever it is called.
  const code = signal?.aborted === true ? 'CANCELLED' : (BY_ERRNO[errno] ?? 'PEER_UNREACHABLE');
  const meaning = MEANING[code] ?? 'the folder cannot be reached';
  return new GatewayError(code, `${meaning}: ${errno}`, { cause: error, facts: { errno } });
}

/** An error of the file of ours that an envelope is brought into. */
export function classifyOwnFileError(error: unknown): GatewayError {
  if (isGatewayError(error)) return error;
  const errno = errnoOf(error);
  const code = errno === 'ABORT_ERR' ? 'CANCELLED' : 'SPOOL_WRITE_FAILED';
  return new GatewayError(code, `the data disk refused a write: ${errno}`, {
    cause: error,
    facts: { errno },
  });
}
