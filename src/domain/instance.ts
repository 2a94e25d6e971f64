/** One SOP instance as the spool holds it. `sha256` identifies its bytes everywhere: at intake, in receipts, at the PACS. */
import type { Uid } from './uid.js';

/** What the header of an instance says. */
export interface Described {
  readonly sopInstanceUid: Uid;
  readonly sopClassUid: Uid;
  readonly transferSyntaxUid: Uid;
  readonly seriesInstanceUid: Uid;
  /** Modality (0008,0060); empty when the data set has none. */
  readonly modality: string;
  /** Length of the data set in bytes, without the Part 10 header. */
  readonly dataSetBytes: number;
}

export interface Instance extends Described {
  /** SHA-256, lower hex, of the data set bytes as they crossed the wire, without the Part 10 header. */
  readonly sha256: string;
}

/** An instance with the circumstances of its arrival. */
export interface ReceivedInstance extends Instance {
  readonly receivedAtMs: number;
  readonly callingAe: string;
  readonly calledAe: string;
}
