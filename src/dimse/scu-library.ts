/**
 * The library's part of an association that we open: A-ASSOCIATE-RQ and what it is answered with, release and abort.
 * It never sees P-DATA: commands are ours (`scu-message`), data sets go past it (`pdata-writer`).
 *
 * dcmjs-dimse has no public class for an SCU's network; `Scp` is its only public subclass and can do both sides.
 */
import dcmjsDimse from 'dcmjs-dimse';
import { IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME } from '../dicom/part10.js';
import type { AeTitle } from '../domain/ae-title.js';
import type { Rejection } from './classify.js';
import type { LibrarySocket } from './library-socket.js';

type Association = InstanceType<typeof dcmjsDimse.association.Association>;

const { association, constants, log, Scp } = dcmjsDimse;

// The library logs by itself, to the console; what matters is logged by us.
log.setLevel('silent');

/** Far longer than any association: our own timers decide. */
const NEVER_MS = 2 ** 31 - 1;
/** What we announce, and hold the peer to. Answers are small. */
const OWN_MAX_PDU_BYTES = 16_384;

/** What is proposed: one transfer syntax per context, so that acceptance is never ambiguous. */
export interface ProposedContext {
  readonly sopClassUid: string;
  readonly transferSyntaxUid: string;
}

/** What A-ASSOCIATE-RQ says. */
export interface Proposal {
  readonly callingAe: AeTitle;
  readonly calledAe: AeTitle;
  /** 1 to 128; their ids are 1, 3, 5, … in this order. */
  readonly contexts: readonly ProposedContext[];
  /** Operations that we would like to have outstanding, 1 or more (PS3.7 §D.3.3.3). */
  readonly asyncOperations: number;
  /** User identity (PS3.7 §D.3.3.7): type 1, or 2 with a password; a positive response is asked for. */
  readonly user?: { readonly name: string; readonly password?: string };
}

export interface ScuCallbacks {
  accepted(): void;
  rejected(rejection: Rejection): void;
  /** The peer has confirmed our release. */
  released(): void;
  /** The peer wants to release. */
  releaseRequested(): void;
  aborted(abort: { source: number; reason: number }): void;
  /** The library could not read or write something. */
  failed(error: unknown): void;
}

export class ScuLibrary extends Scp {
  readonly #callbacks: ScuCallbacks;
  #association: Association | undefined;
  #asyncOperations = 1;

  constructor(socket: LibrarySocket, callbacks: ScuCallbacks) {
    super(socket.asSocket(), {
      connectTimeout: NEVER_MS,
      associationTimeout: NEVER_MS,
      pduTimeout: NEVER_MS,
    });
    this.#callbacks = callbacks;
    this.on('associationAccepted', () => callbacks.accepted());
    this.on('associationRejected', (rejection: Rejection) => callbacks.rejected(rejection));
    this.on('associationReleaseResponse', () => callbacks.released());
    this.on('networkError', (error: unknown) => callbacks.failed(error));
  }

  /** Sends A-ASSOCIATE-RQ. */
  associate({ callingAe, calledAe, contexts, asyncOperations, user }: Proposal): void {
    const proposal = new association.Association(callingAe, calledAe);
    proposal.setImplementationClassUid(IMPLEMENTATION_CLASS_UID);
    proposal.setImplementationVersion(IMPLEMENTATION_VERSION_NAME);
    proposal.setMaxPduLength(OWN_MAX_PDU_BYTES);
    for (const { sopClassUid, transferSyntaxUid } of contexts) {
      const id = proposal.addPresentationContext(sopClassUid);
      proposal.addTransferSyntaxToPresentationContext(id, transferSyntaxUid);
    }
    proposal.setNegotiateAsyncOps(asyncOperations > 1);
    proposal.setMaxAsyncOpsInvoked(asyncOperations);
    if (user !== undefined) {
      const { Username, UsernameAndPasscode } = constants.UserIdentityType;
      proposal.setNegotiateUserIdentity(true);
      proposal.setUserIdentityType(user.password === undefined ? Username : UsernameAndPasscode);
      proposal.setUserIdentityPositiveResponseRequested(true);
      proposal.setUserIdentityPrimaryField(inBytes(user.name));
      proposal.setUserIdentitySecondaryField(inBytes(user.password ?? ''));
    }
    this.#association = proposal;
    this.#asyncOperations = asyncOperations;
    this.sendAssociationRequest(proposal);
    // The answer is read into the same object: what it does not name must not look agreed upon, nor be kept.
    proposal.setMaxAsyncOpsInvoked(1);
    proposal.setUserIdentitySecondaryField('');
  }

  /** The peer's maximum PDU length; 0 = no limit. Only after `accepted`. */
  peerMaxPduBytes(): number {
    return this.#association?.getMaxPduLength() ?? OWN_MAX_PDU_BYTES;
  }

  /** Operations that may be outstanding: what the peer agreed to, at most what we asked for. Only after `accepted`. */
  window(): number {
    const agreed = this.#association?.getMaxAsyncOpsInvoked() ?? 1;
    // 0 = no limit.
    return agreed === 0 ? this.#asyncOperations : Math.min(agreed, this.#asyncOperations);
  }

  /** The peer has confirmed the user identity. Only after `accepted`. */
  userConfirmed(): boolean {
    return this.#association?.getNegotiateUserIdentityServerResponse() ?? false;
  }

  /** What the peer said to the context with this id. Only after `accepted`. */
  contextAnswer(id: number): { result: number; transferSyntaxUid: string | undefined } | undefined {
    const context = this.#association?.getPresentationContext(id);
    return (
      context && { result: context.getResult(), transferSyntaxUid: context.getAcceptedTransferSyntaxUid() }
    );
  }

  override associationReleaseRequested(): void {
    this.#callbacks.releaseRequested();
  }

  override abort(source?: number, reason?: number): void {
    this.#callbacks.aborted({ source: source ?? 0, reason: reason ?? 0 });
  }
}

/** The fields are UTF-8; the library writes one byte for each character. */
function inBytes(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}
