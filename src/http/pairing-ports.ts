/**
 * What pairing needs from the rest of the bridge, behind both HTTP faces: a door for a site that is not known yet, and a
 * desk for the operator who opens it.
 */
import type { DeliveryState } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { ErrorCode } from '../errors/codes.js';

/** What a site that is not known yet may say: pairing messages, compact JWS, and nothing else. */
export interface PairingDoor {
  /** Closed, there is nothing at its addresses. */
  isOpen(): boolean;
  /**
   * A request to be paired; gives our answer.
   * @param certificate fingerprint of the certificate that the caller shows
   * @throws PAIRING_FAILED, ENVELOPE_NOT_FOUND
   */
  request(jws: Buffer, certificate: string | undefined): Promise<Buffer>;
  /** How far the other side is; gives how far we are. @throws PAIRING_FAILED, ENVELOPE_NOT_FOUND */
  standing(jws: Buffer): Promise<Buffer>;
}

/** The site on the other side of a pairing. */
export interface PairingPeer {
  readonly id: string;
  readonly name: string;
  readonly contact: string;
  readonly url?: string;
}

/** The test envelopes that go both ways when two sites have been paired. */
export interface PairingTests {
  /** Ours; absent before it starts, and where nothing leads to the peer. */
  readonly sent?: {
    readonly id: EnvelopeId;
    readonly state: DeliveryState;
    /** Why it does not go on. */
    readonly trouble?: string;
  };
  /** Why none of ours is sent: what is missing in the config. */
  readonly unsent?: string;
  /** Theirs has been opened and verified here. */
  readonly received: boolean;
}

/** How far the pairing that was begun last has come. */
export type PairingView =
  | { readonly state: 'idle' }
  /** Nobody has come yet. */
  | {
      readonly state: 'waiting';
      readonly id: string;
      readonly endsAtMs: number;
      /** Where the other side calls, as far as this one knows its own address. */
      readonly url?: string;
    }
  | {
      readonly state: 'comparing';
      readonly id: string;
      readonly endsAtMs: number;
      /** Six, with blanks between them. */
      readonly words: string;
      readonly peer: PairingPeer;
      /** Our operator has said yes. */
      readonly agreed: boolean;
      /** Theirs has. */
      readonly peerAgreed: boolean;
    }
  | {
      readonly state: 'paired';
      readonly id: string;
      readonly words: string;
      readonly peer: PairingPeer;
      /** They have said that they have pinned us too. */
      readonly confirmed: boolean;
      /** When nothing more is heard of them, confirmed or not. */
      readonly ended: boolean;
      readonly tests: PairingTests;
    }
  | { readonly state: 'failed'; readonly id: string; readonly code: ErrorCode; readonly message: string };

/** Pairing with another site, as its operator drives it. One at a time. */
export interface PairingDesk {
  view(): PairingView;
  /**
   * Opens the window in which another site may come. One that waits or is being compared is given up for it.
   * @param host under which partners reach us
   */
  open(host: string): PairingView;
  /** Goes to another site, where the window is open. @throws PAIRING_FAILED, PEER_UNREACHABLE, REQUEST_INVALID */
  call(url: string, host: string): Promise<PairingView>;
  /** The words are the ones on the other screen. @throws STATE_INVALID, PAIRING_FAILED when they are not ours */
  agree(id: string, words: string): Promise<PairingView>;
  /** Ends it. @throws STATE_INVALID after a yes */
  refuse(id: string): PairingView;
  /** Sends a test envelope to a peer. @throws REQUEST_INVALID for an unknown one, STATE_INVALID when nothing leads to it */
  test(peerId: string): Promise<{ readonly id: EnvelopeId }>;
}
