/**
 * The port that every way of moving envelopes between bridges stands behind: an outbox to put into, an inbox to take
 * from. Behind it is the other bridge itself (HTTPS), or a place that both can reach: an FTPS server, a hub, a folder.
 *
 * An implementation throws GatewayErrors of the right kind: `transient` only when the far side certainly did not take
 * it, `ambiguous` when it may have. `test/conformance/transport.ts` says what all of them must do alike.
 */
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Pace } from './pace.js';

export interface OutgoingEnvelope {
  readonly id: EnvelopeId;
  /** The sealed folder `<id>.JMIX`; it stays as it is, so that its archive has the same bytes at every attempt. */
  readonly folder: string;
  /** SHA-256 of manifest.json, 64 lower hex digits. */
  readonly manifestSha256: string;
}

export interface PutOptions {
  readonly signal: AbortSignal;
  /** Called at most once, when the last byte has left, before it is known what became of it; awaited. */
  readonly onSent?: () => Promise<void>;
  /** Called with the number of bytes that the far side has already, before any leave; not where it has none. */
  readonly onResume?: (count: number) => void;
  /** Called with the number of archive bytes that have just left this machine; those resumed over are not counted. */
  readonly onBytes?: (count: number) => void;
  /** How fast bytes may leave; as fast as they can when absent. */
  readonly pace?: Pace;
}

/** What the far side has under an id: nothing, this very envelope, or another one. */
export type Probe = 'absent' | 'same' | 'other';

export interface Outbox {
  /**
   * Sends an envelope, going on where an earlier attempt broke wherever the far side allows it. Resolves when the far
   * side has acknowledged that it has all of it under its final name; sending the same one again is harmless.
   * @throws PEER_UNREACHABLE, PEER_BUSY (fact `retryAfterMs`), QUOTA_EXCEEDED, PEER_UNTRUSTED, PEER_REFUSED,
   *   ENVELOPE_EXISTS when another one lies there under this id, ENVELOPE_TOO_LARGE, SHIP_UNCONFIRMED, CANCELLED
   */
  put(envelope: OutgoingEnvelope, options: PutOptions): Promise<void>;
  /**
   * The same at once and in one piece, but for the archive's last bytes, which leave when `release` resolves: until then
   * the far side can look at the envelope, but neither keep nor acknowledge it. Only where that is a bridge itself.
   * @throws what `put` throws
   */
  putHeld?(envelope: OutgoingEnvelope, options: PutOptions, release: Promise<void>): Promise<void>;
  /**
   * Whether the far side has it. `absent` is no proof that it never came: whoever reads an inbox may have emptied it.
   * @throws PEER_UNREACHABLE, PEER_BUSY, PEER_UNTRUSTED, PEER_REFUSED, CANCELLED
   */
  probe(envelope: OutgoingEnvelope, signal: AbortSignal): Promise<Probe>;
}

/** An envelope that lies whole in an inbox. */
export interface WaitingEnvelope {
  readonly id: EnvelopeId;
  /** Size of the archive in bytes. */
  readonly sizeBytes: number;
}

export interface TakeOptions {
  readonly signal: AbortSignal;
  /** Called with the number of bytes that have just arrived; those of earlier attempts are not counted. */
  readonly onBytes?: (count: number) => void;
  readonly pace?: Pace;
}

export interface Inbox {
  /**
   * What waits, in the order of its arrival as far as that is known; nothing half-written. Never what another bridge
   * has claimed; always what this one has claimed and not acknowledged.
   * @param waitMs where the far side can, it answers later when there is nothing yet, up to this long; 0 by default
   * @throws PEER_UNREACHABLE, PEER_BUSY, PEER_UNTRUSTED, PEER_REFUSED, CANCELLED
   */
  list(options: {
    readonly signal: AbortSignal;
    readonly waitMs?: number;
  }): Promise<readonly WaitingEnvelope[]>;
  /**
   * Claims an envelope for this bridge and brings its archive into `file`, behind the bytes that `file` has already
   * from an earlier attempt; a file that cannot be the beginning of it is emptied first. Resolves when `file` has
   * `sizeBytes` bytes (not yet synced).
   * @throws ENVELOPE_NOT_FOUND when it is not there any more, ENVELOPE_CLAIMED by another bridge,
   *   ENVELOPE_INCOMPLETE, SPOOL_WRITE_FAILED, and what `list` throws
   */
  take(envelope: WaitingEnvelope, file: string, options: TakeOptions): Promise<void>;
  /**
   * Ends a claim, when the envelope is durable here (`taken`: removed there, or moved to the folder of what is done), or
   * is one that will never be accepted (`refused`: kept there under another name for whoever runs the place). An
   * envelope that is not there any more is no error.
   * @throws what `list` throws
   */
  acknowledge(id: EnvelopeId, outcome: 'taken' | 'refused', signal: AbortSignal): Promise<void>;
}

/** A place that envelopes are put into and taken from. */
export interface Transport extends Outbox, Inbox {
  /** Closes idle connections; may be called again. */
  close(): void;
}

/** Where the other bridge can be called directly: receipts without an envelope around them. */
export interface ReceiptDesk {
  /** The far side's receipt for an envelope of ours; undefined when there is none yet. */
  fetchReceipt(id: EnvelopeId, signal: AbortSignal): Promise<Buffer | undefined>;
  /** Hands our receipt for an envelope of theirs to the far side. */
  sendReceipt(id: EnvelopeId, receipt: Buffer, signal: AbortSignal): Promise<void>;
}
