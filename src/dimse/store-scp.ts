/**
 * What the C-STORE SCP asks of the one who keeps the instances. The types stand here, on the side that calls; compose
 * hands the handler in.
 */
import type { TlsFacts } from './dicom-tls.js';

/** An association as its peer asked for it. Both titles are trimmed, and may be anything that fits the wire. */
export interface AssociationInfo extends TlsFacts {
  /** Random, for logs. */
  readonly id: string;
  readonly callingAe: string;
  readonly calledAe: string;
  readonly remoteAddress: string;
  readonly openedAtMs: number;
  /** As the peer gave it (user identity); checked where the config says so. */
  readonly userName?: string;
}

/** What a C-STORE-RQ announces (PS3.7 §9.3.1); the UIDs are as the peer sent them, not yet checked. */
export interface IncomingInstance {
  readonly association: AssociationInfo;
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
  /** Of the presentation context. */
  readonly transferSyntaxUid: string;
}

/** One instance on its way in. After `write`s, exactly one of `commit` and `discard` is called. */
export interface StoreSession {
  /**
   * Takes the next bytes of the data set, which stay as they are until it returns, or what it returns has resolved. A
   * promise means: wait for it before the next bytes; the peer is made to wait meanwhile.
   */
  write(chunk: Buffer): void | Promise<void>;
  /** Durable when it resolves; only then is the peer answered 0x0000. A GatewayError decides the status. */
  commit(): Promise<void>;
  discard(): Promise<void>;
}

export interface StoreHandler {
  /** May throw: then the data set is read and dropped, and the peer gets the status of the error. */
  begin(instance: IncomingInstance): Promise<StoreSession>;
  associationOpened?(association: AssociationInfo): void;
  /** Called once for each association that was opened, however it ended. */
  associationClosed?(association: AssociationInfo): void;
}
