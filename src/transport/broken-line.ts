/** A line that breaks again and again, and still carries something each time. */
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';

/** The far side was there, and then not any more; or it ended before its time. */
const BROKEN: ReadonlySet<string> = new Set(['PEER_UNREACHABLE', 'ENVELOPE_INCOMPLETE']);
/** Less than this is no progress: a login that succeeds and nothing behind it. */
const PROGRESS_BYTES = 64 * 1024;
const AGAIN_AFTER_MS = 1_000;

/**
 * The error that a transfer ended with; where the line broke after it had carried something, with the advice to go on
 * soon, which uses up no attempt: the next one has less to carry.
 * @param bytes carried by this attempt
 */
export function afterProgress(error: unknown, bytes: number): unknown {
  if (!isGatewayError(error) || !BROKEN.has(error.code) || bytes < PROGRESS_BYTES) return error;
  return new GatewayError(error.code, error.message, {
    cause: error,
    facts: { ...error.facts, retryAfterMs: AGAIN_AFTER_MS },
  });
}
