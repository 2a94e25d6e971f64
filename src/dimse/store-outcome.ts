/** An instance on its way to a PACS, and what becomes of it. */
import type { AeTitle } from '../domain/ae-title.js';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import type { ReadableInstance } from './instance-reading.js';

export interface OutgoingInstance extends ReadableInstance {
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
  /** The one that the data set is really in. */
  readonly transferSyntaxUid: string;
  /** Who is to be named as the caller; the `callingAe` of the options when absent. */
  readonly callingAe?: AeTitle;
  /** An earlier C-STORE of it may have been taken: that the PACS has it already is then no refusal (0x0111). */
  readonly mayBeThere?: boolean;
}

/**
 * Makes of an instance one in a transfer syntax that the PACS accepts, without loss.
 * @param accepted those for its SOP class, at least one
 * @throws TRANSCODE_FAILED
 */
export type Convert = (
  instance: OutgoingInstance,
  accepted: readonly string[],
  signal: AbortSignal,
) => Promise<OutgoingInstance>;

export interface StoreOutcome {
  readonly sopInstanceUid: string;
  /** SHA-256, lower hex, of the data set bytes as they went out; empty when not all of them did. */
  readonly sha256: string;
  /** The one that it went out in; absent when it has no status. */
  readonly transferSyntaxUid?: string;
  /** The PACS's final status; absent when it gave none. */
  readonly status?: number;
  /**
   * `stored` and `warning`: the PACS has it. `refused`: the PACS does not want it, or not now (`error.kind`).
   * `unanswered`: it may have it; to send it again is harmless.
   */
  readonly result: 'stored' | 'warning' | 'refused' | 'unanswered';
  /** Present when refused or unanswered. */
  readonly error?: GatewayError;
}

export function unanswered(sopInstanceUid: string, cause: unknown): StoreOutcome {
  const because = isGatewayError(cause) ? cause.message : 'the association was lost';
  const error =
    isGatewayError(cause) && cause.code === 'SPOOL_CORRUPT'
      ? cause
      : new GatewayError('STORE_UNANSWERED', `C-STORE has no answer: ${because}`, { cause });
  return { sopInstanceUid, sha256: '', result: 'unanswered', error };
}
