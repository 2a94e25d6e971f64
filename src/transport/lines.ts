/** The lines to all peers and exchanges of a site, as the use cases see them; `createLines` makes them at first use. */
import type { Exchange } from '../domain/exchange.js';
import type { Pace } from './pace.js';
import type { Inbox, Outbox, ReceiptDesk } from './transport.js';

export interface Lines {
  /** Where envelopes for a peer are put. @throws PEER_REFUSED when nothing in the config leads to it */
  outboxTo(peerId: string): Outbox;
  /** Where a peer takes and gives receipts; undefined when it cannot be called, so that they travel in envelopes. */
  receiptDeskOf(peerId: string): ReceiptDesk | undefined;
  /** The inbox at an exchange. @throws PEER_REFUSED when the config has no such inbox */
  inboxAt(exchangeName: string): Inbox;
  /** Shared by all transfers to a peer; undefined where none is set. */
  paceTo(peerId: string): Pace | undefined;
  /** Those that have an inbox to be emptied. */
  readonly inboxes: readonly Exchange[];
  close(): void;
}
