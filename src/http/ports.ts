/**
 * What the two HTTP faces of the bridge need from the rest of it; compose hands the functions in.
 *
 * `PeerApi` stands behind the listener for other bridges (TLS, client certificates); `Operations` behind the one
 * for people: dashboard, command line, scripts. A hub has `HubOperations` in its place.
 */
import type { Readable } from 'node:stream';
import type { Delivery, DeliveryState } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { BoxState, ParcelState } from '../domain/parcel.js';
import type { Reception, ReceptionState } from '../domain/reception.js';
import type { ErrorCode } from '../errors/codes.js';
import type { GatewayError } from '../errors/gateway-error.js';
import type { PeerView } from '../trust/peer-view.js';
import type { AssociationView, DicomListenerView, RefusalView } from './association-ports.js';
import type { CommitmentView } from './commitment-ports.js';
import type { PairingDoor } from './pairing-ports.js';
import type { StudyAdditions } from './study-ports.js';

export type ArchiveMediaType =
  | 'application/x-tar'
  | 'application/gzip'
  | 'application/zip'
  | 'application/pgp-encrypted';

/** The client certificate of a connection, as TLS reports it. */
export interface PeerCertificate {
  /** SHA-256, 64 lower hex digits, no colons. */
  readonly fingerprint: string;
  /** True when a configured CA vouches for it. */
  readonly authorized: boolean;
  /** DNS names of the subject alternative name, and the common name. */
  readonly names: readonly string[];
}

export interface PeerApi {
  /** The id of the peer that holds this certificate; undefined for a stranger. */
  identify(certificate: PeerCertificate): string | undefined;
  /** The id of the peer that holds this bearer token; absent where tokens are not taken. */
  identifyToken?(token: string): string | undefined;
  /** A GatewayError while nothing new is taken (stopping, disk nearly full). */
  admission(): GatewayError | undefined;
  /** Resolves when the envelope is durable; `created` is false for the same envelope again. */
  receive(request: {
    readonly peerId: string;
    readonly body: Readable;
    readonly mediaType: ArchiveMediaType;
    readonly signal: AbortSignal;
  }): Promise<{ readonly id: EnvelopeId; readonly created: boolean }>;
  /** What is held under an id that this peer sent. */
  probe(peerId: string, id: EnvelopeId): Promise<{ readonly manifestSha256: string } | undefined>;
  /** The receipt for an envelope that this peer sent, as soon as there is one. */
  receiptFor(peerId: string, id: EnvelopeId): Promise<Buffer | undefined>;
  /** A receipt that this peer brings for an envelope that we sent to it. */
  acceptReceipt(peerId: string, id: EnvelopeId, receipt: Buffer): Promise<void>;
  /** What waits here for those who ask; a hub has it. */
  readonly inbox?: InboxApi;
  /** Our public keys as a JWKS document (RFC 7517), for everyone. */
  keySet(): Promise<string>;
  /** Present where keys and addresses of sites can be looked up. */
  readonly directory?: DirectoryApi;
  /** Open, for strangers too, while an operator waits to be paired; a hub has none. */
  readonly pairing?: PairingDoor;
}

export interface DirectoryApi {
  /** A compact JWS of the directory's key; undefined for a site that it does not know. */
  attestationOf(siteId: string): Buffer | undefined;
}

/** An envelope that waits, as the inbox shows it. */
export interface WaitingView {
  readonly id: EnvelopeId;
  /** Size of the archive in bytes. */
  readonly sizeBytes: number;
}

/** Who asks at an inbox: a peer, and which of its bridges. */
export interface InboxCaller {
  readonly memberId: string;
  /** Tells the bridges of one peer apart; the empty string for those that do not say. */
  readonly bridgeId: string;
}

/** One inbox for each peer: nobody sees what waits for another. */
export interface InboxApi {
  /** What this bridge may take, oldest first; when nothing is there, answers after `waitMs` at the latest. */
  list(caller: InboxCaller, waitMs: number, signal: AbortSignal): Promise<readonly WaitingView[]>;
  /**
   * Claims an envelope for this bridge, and gives its archive from byte `offset` on.
   * @throws ENVELOPE_NOT_FOUND when nothing waits for this peer under this id, ENVELOPE_CLAIMED by another bridge of it
   */
  open(
    caller: InboxCaller,
    id: EnvelopeId,
    offset: number,
  ): Promise<{ readonly sizeBytes: number; readonly stream: Readable }>;
  /** The peer has it, or will never accept it. An envelope that does not wait is no error. */
  acknowledge(caller: InboxCaller, id: EnvelopeId, outcome: 'taken' | 'refused'): Promise<void>;
}

/** What the handlers of one request share: the peer that was recognised. */
export type PeerLocals = { peerId: string };

/** A study that still gathers, or that no route fits. */
export interface StudyView {
  readonly key: string;
  readonly state: 'arriving' | 'waiting' | 'held';
  /** Why it waits: `an association is open`, `quiet for 12 of 60 s`, `no route fits`. */
  readonly why: string;
  readonly modalities: readonly string[];
  readonly callingAes: readonly string[];
  readonly instanceCount: number;
  readonly attachmentCount: number;
  readonly dataSetBytes: number;
  /** Arrival of the first and the last instance or attachment. */
  readonly firstInstanceAtMs: number;
  readonly lastInstanceAtMs: number;
  /** Instances that came again with other bytes, kept aside. */
  readonly conflictCount: number;
}

export interface DeliveryView extends Delivery {
  readonly state: DeliveryState;
  readonly peerName: string;
  /** The exchange that it goes over, by its name; absent where the peer is called directly. */
  readonly via?: string;
  /** What an operator can do about it; empty when nothing is wrong. */
  readonly advice: string;
}

export interface ReceptionView extends Reception {
  readonly state: ReceptionState;
  readonly advice: string;
}

/** An inbox between sites, and how the last look into it went. */
export interface ExchangeView {
  readonly name: string;
  readonly type: 'ftps' | 'hub' | 'folder';
  /** Absent before the first look. */
  readonly lookedAtMs?: number;
  readonly waitingCount: number;
  readonly waitingBytes: number;
  /** Why the last look failed. */
  readonly error?: {
    readonly code: string;
    readonly message: string;
    readonly sinceMs: number;
    readonly advice: string;
  };
  /** Envelopes there that could not be fetched. */
  readonly troubles: readonly {
    readonly id: EnvelopeId;
    readonly code: string;
    readonly message: string;
    readonly atMs: number;
    readonly advice: string;
  }[];
}

export interface Overview {
  readonly site: { readonly id: string; readonly name: string };
  readonly version: string;
  readonly startedAtMs: number;
  readonly nowMs: number;
  readonly dimse: DicomListenerView;
  readonly redis: { readonly kind: string; readonly up: boolean; readonly note?: string };
  readonly disk: {
    readonly freeBytes: number;
    readonly totalBytes: number;
    readonly state: 'ok' | 'low' | 'refusing';
  };
  readonly counts: {
    readonly deliveries: Readonly<Record<DeliveryState, number>>;
    readonly receptions: Readonly<Record<ReceptionState, number>>;
    readonly conflicts: number;
  };
  readonly workers: { readonly up: boolean };
  /** What modalities asked us to commit to; absent where they may not ask. */
  readonly commitment?: CommitmentView;
  readonly exchanges: readonly ExchangeView[];
  /** Deliveries that the far side took long ago, and whose receipt has not come; oldest first, a few. */
  readonly overdue: readonly DeliveryView[];
  /** Deliveries of the last weeks whose audit trail came back altered; latest first, a few. */
  readonly custodyBroken: readonly DeliveryView[];
}

export interface Operations extends StudyAdditions {
  overview(): Promise<Overview>;
  studies(): readonly StudyView[];
  associations(): readonly AssociationView[];
  /** Whose keys are known, and what about them waits for somebody. */
  peers(): readonly PeerView[];
  refusals(): readonly RefusalView[];
  /** Newest first. */
  deliveries(filter: { readonly state?: DeliveryState; readonly limit: number }): readonly DeliveryView[];
  /** @throws ENVELOPE_NOT_FOUND */
  delivery(id: EnvelopeId): DeliveryView;
  receptions(filter: { readonly state?: ReceptionState; readonly limit: number }): readonly ReceptionView[];
  /** @throws ENVELOPE_NOT_FOUND */
  reception(id: EnvelopeId): ReceptionView;
  /** @throws STUDY_NOT_FOUND, ROUTE_MISSING */
  completeStudy(key: string): Promise<{ readonly deliveries: readonly EnvelopeId[] }>;
  /** @throws ENVELOPE_NOT_FOUND, STATE_INVALID; gives the id of the delivery that goes on (a new one after a refusal) */
  retryDelivery(id: EnvelopeId): Promise<{ readonly id: EnvelopeId }>;
  /** @throws ENVELOPE_NOT_FOUND, STATE_INVALID */
  retryReception(id: EnvelopeId): Promise<{ readonly id: EnvelopeId }>;
  /** What a PACS refused of it has been dealt with. @param by who says so @throws ENVELOPE_NOT_FOUND, STATE_INVALID */
  dismissReception(id: EnvelopeId, by: string): Promise<{ readonly id: EnvelopeId }>;
  /** Calls back, at most a few times a second, when anything above has changed. Returns the unsubscribe function. */
  subscribe(listener: () => void): () => void;
}

/** The inbox that a hub keeps for one receiver. */
export interface HubMemberView {
  readonly id: string;
  readonly name: string;
  /** `self`: envelopes for the hub itself, with another one within; `former`: the config has it no more. */
  readonly kind: 'member' | 'self' | 'former';
  readonly waitingCount: number;
  readonly waitingBytes: number;
  readonly parkedCount: number;
  /** What counts against the quota: all that lies here for it, waiting and parked. */
  readonly heldBytes: number;
  /** Absent for a former member, which gets nothing any more. */
  readonly quotaBytes?: number;
  readonly oldestWaitingAtMs?: number;
  /** When it last took an envelope, as far back as the hub remembers. */
  readonly takenAtMs?: number;
}

export interface HubOverview {
  readonly site: { readonly id: string; readonly name: string };
  readonly version: string;
  readonly startedAtMs: number;
  readonly nowMs: number;
  /** Where sites call. */
  readonly https: { readonly port: number };
  readonly disk: Overview['disk'];
  /** An envelope that has waited for so long is parked; one that was parked for so long is removed. */
  readonly expiryDays: number;
  readonly members: readonly HubMemberView[];
  /** One that is parked for some of its receivers and waits for others counts as both. */
  readonly counts: Readonly<Record<ParcelState, number>>;
}

/** An envelope at a hub: all that a hub may know of it. */
export interface HubParcelView {
  readonly id: EnvelopeId;
  readonly state: ParcelState;
  readonly senderId: string;
  readonly senderName: string;
  readonly receivers: readonly {
    readonly id: string;
    readonly name: string;
    readonly state: BoxState;
    /** Since when it is in this state. */
    readonly atMs: number;
  }[];
  readonly archiveBytes: number;
  readonly receivedAtMs: number;
  /** Present when it is not held any more. */
  readonly removedAtMs?: number;
  /** Present when it is held, and one receiver at least does not take it. */
  readonly parked?: {
    readonly code?: ErrorCode;
    readonly message: string;
    readonly advice: string;
    readonly sinceMs: number;
    /** When it is removed by itself; absent while somebody may still take it. */
    readonly expiresAtMs?: number;
  };
}

export interface HubOperations {
  overview(): HubOverview;
  /** Newest first. `parked` gives those too that are parked for some of their receivers and wait for others. */
  parcels(filter: { readonly state?: ParcelState; readonly limit: number }): readonly HubParcelView[];
  /** @throws ENVELOPE_NOT_FOUND, STATE_INVALID */
  retryParcel(id: EnvelopeId): Promise<void>;
  /** Removes it for good. @throws ENVELOPE_NOT_FOUND, STATE_INVALID */
  discardParcel(id: EnvelopeId): Promise<void>;
  /** Calls back, at most a few times a second, when anything above has changed. Returns the unsubscribe function. */
  subscribe(listener: () => void): () => void;
}
