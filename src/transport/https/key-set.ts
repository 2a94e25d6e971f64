/**
 * The key set that a peer publishes (JWKS, RFC 7517 §5): one GET, over a connection that is verified as every other one to
 * that peer. The address comes from the config or a pairing, never from an envelope; redirects are not followed, so the
 * answer is the peer's own or none.
 */
import type { ServerTrust } from '../../domain/exchange.js';
import { GatewayError } from '../../errors/gateway-error.js';
import type { ClientIdentity } from '../client-identity.js';
import { refusalFrom } from './answer.js';
import { createVerifiedAgent } from './connection.js';
import { exchange } from './exchange.js';

/** A hundred keys with their announcements. */
const MAX_BYTES = 64 * 1024;
/** From the first packet to the last byte. */
const TIMEOUT_MS = 20_000;

export interface KeySetRequest {
  /** `https:`. */
  readonly url: string;
  readonly trust: ServerTrust;
  readonly identity: ClientIdentity;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for all of it; default 20,000. */
  readonly timeoutMs?: number;
}

/**
 * @returns the document, not read yet
 * @throws PEER_UNREACHABLE (also when it takes too long), PEER_UNTRUSTED, PEER_BUSY, PEER_REFUSED for any answer but 200
 *   and for one above 64 KiB, CANCELLED
 */
export async function fetchKeySet({
  url,
  trust,
  identity,
  signal,
  timeoutMs = TIMEOUT_MS,
}: KeySetRequest): Promise<Buffer> {
  const agent = createVerifiedAgent(trust, identity);
  const tooLong = AbortSignal.timeout(timeoutMs);
  try {
    const answer = await exchange({
      agent,
      method: 'GET',
      url: new URL(url),
      headers: {},
      maxAnswerBytes: MAX_BYTES,
      signal: signal === undefined ? tooLong : AbortSignal.any([signal, tooLong]),
    });
    if (answer.status !== 200) throw refusalFrom(answer);
    return answer.body;
  } catch (error) {
    if (tooLong.aborted && signal?.aborted !== true) {
      throw new GatewayError('PEER_UNREACHABLE', `no key set within ${timeoutMs / 1000} s`, { cause: error });
    }
    throw error;
  } finally {
    agent.destroy();
  }
}
