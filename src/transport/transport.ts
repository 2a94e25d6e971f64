/**
 * The port that every way of moving envelopes between bridges stands behind. An implementation throws GatewayErrors
 * of the right kind: `transient` only when the far side certainly did not take it, `ambiguous` when it may have.
 */
import type { EnvelopeId } from '../domain/envelope-id.js';

export interface OutgoingEnvelope {
  readonly id: EnvelopeId;
  /** The sealed folder `<id>.JMIX`. */
  readonly folder: string;
}

export interface Transport {
  /**
   * Sends an envelope. Resolves when the far side has acknowledged that it is durable there; sending the same one
   * again is harmless.
   * @param onSent called once when the last byte has left, before the answer is known
   * @throws PEER_UNREACHABLE, PEER_BUSY (fact `retryAfterMs`), PEER_UNTRUSTED, PEER_REFUSED, ENVELOPE_EXISTS,
   *   ENVELOPE_TOO_LARGE, SHIP_UNCONFIRMED
   */
  put(
    envelope: OutgoingEnvelope,
    options: { signal: AbortSignal; onSent: () => Promise<void> },
  ): Promise<void>;
  /** What the far side has under this id; undefined when nothing. */
  probe(id: EnvelopeId, signal: AbortSignal): Promise<{ readonly manifestSha256: string } | undefined>;
  /** The far side's receipt for an envelope of ours; undefined when there is none yet. */
  fetchReceipt(id: EnvelopeId, signal: AbortSignal): Promise<Buffer | undefined>;
  /** Hands our receipt for an envelope of theirs to the far side. */
  sendReceipt(id: EnvelopeId, receipt: Buffer, signal: AbortSignal): Promise<void>;
}
