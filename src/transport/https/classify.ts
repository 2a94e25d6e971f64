/** HTTP statuses → GatewayError, by number, never by text. */
import type { IncomingHttpHeaders } from 'node:http';
import { GatewayError } from '../../errors/gateway-error.js';

/** Longest wait that a peer may ask us for. */
const MAX_RETRY_AFTER_MS = 3600 * 1000;

/** The problem document of an answer, as far as it is one (RFC 9457). */
export interface Problem {
  readonly code?: string;
  readonly detail?: string;
}

/** An HTTP answer that is not the one hoped for. */
export function classifyStatus(status: number, headers: IncomingHttpHeaders, problem: Problem): GatewayError {
  const reason = problem.detail ?? problem.code ?? '';
  const text = `the peer answers ${status}${reason === '' ? '' : `: ${reason}`}`;
  const facts = { status, ...(problem.code === undefined ? {} : { peerCode: problem.code }) };
  switch (status) {
    case 409:
      return new GatewayError('ENVELOPE_EXISTS', text, { facts });
    // RFC 4918 §11.3: locked.
    case 423:
      return new GatewayError('ENVELOPE_CLAIMED', text, { facts });
    case 413:
      return new GatewayError('ENVELOPE_TOO_LARGE', text, { facts });
    case 507:
      return new GatewayError('QUOTA_EXCEEDED', text, { facts });
    case 408:
    case 425:
    case 429:
      return new GatewayError('PEER_BUSY', text, { facts: { ...facts, ...retryAfter(headers) } });
    default:
      // A server that failed may have stored the envelope; putting the same one again is harmless, so try again.
      return status >= 500
        ? new GatewayError('PEER_BUSY', text, { facts: { ...facts, ...retryAfter(headers) } })
        : new GatewayError('PEER_REFUSED', text, { facts });
  }
}

/** Retry-After (RFC 9110 §10.2.3): seconds or a date. */
function retryAfter(headers: IncomingHttpHeaders): { retryAfterMs?: number } {
  const text = headers['retry-after'];
  if (text === undefined) return {};
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) ? { retryAfterMs: Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS) } : {};
}
