/** A C-STORE on an association that we open: before it goes out, and while it is under way. */
import type { OutgoingMessage } from './pdata-writer.js';

/** It can go out. */
export interface StoreDraft {
  readonly messageId: number;
  readonly message: OutgoingMessage;
}

/** It waits for its turn, or is under way. Both end in the association's failure when it is lost. */
export interface StoreTicket {
  /**
   * True when all of it has gone out; false when it was withdrawn before its first byte. Rejects with SPOOL_CORRUPT when
   * the source fails, which aborts the association.
   */
  readonly sent: Promise<boolean>;
  /** The final status, and the SHA-256 of the data set as it went out; undefined when it was withdrawn. */
  readonly answered: Promise<StoreAnswer | undefined>;
}

export interface StoreAnswer {
  readonly status: number;
  readonly sha256: string;
}
