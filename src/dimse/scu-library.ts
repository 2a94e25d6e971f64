/**
 * The library's part of an association that we open: it writes A-ASSOCIATE-RQ, commands, A-RELEASE-RQ and A-ABORT,
 * and reads the answers. It never sees a data set: its own way is to parse, rewrite and if need be transcode it, and
 * to pass over in silence what it cannot. A C-STORE is given to it with a data set of no bytes, so that it sends the
 * command alone, on the context that we chose; the data set follows from `pdata-writer`.
 *
 * dcmjs-dimse has no public class for an SCU's network; `Scp` is its only public subclass and can do both sides.
 */
import dcmjsDimse from 'dcmjs-dimse';
import { IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME } from '../dicom/part10.js';
import { describeStatus } from '../dicom/store-status.js';
import type { AeTitle } from '../domain/ae-title.js';
import type { Rejection } from './classify.js';
import type { LibrarySocket } from './library-socket.js';

type Association = InstanceType<typeof dcmjsDimse.association.Association>;
type Request = InstanceType<typeof dcmjsDimse.requests.Request>;
type Response = InstanceType<typeof dcmjsDimse.responses.Response>;

const { association, Dataset, log, requests, Scp } = dcmjsDimse;

// The library logs by itself, to the console; what matters is logged by us.
log.setLevel('silent');

/** Far longer than any association: our own timers decide. */
const NEVER_MS = 2 ** 31 - 1;
/** What we announce. Answers are small. */
const OWN_MAX_PDU_BYTES = 16_384;

/** What is proposed: one transfer syntax per context, so that acceptance is never ambiguous. */
export interface ProposedContext {
  readonly sopClassUid: string;
  readonly transferSyntaxUid: string;
}

export interface ScuCallbacks {
  accepted(): void;
  rejected(rejection: Rejection): void;
  /** The peer has confirmed our release. */
  released(): void;
  /** The peer wants to release, which an acceptor of C-STOREs has no business to. */
  releaseRequested(): void;
  aborted(abort: { source: number; reason: number }): void;
  /** The library could not read or write something. */
  failed(error: unknown): void;
}

/** A data set that looks right to the library, and is sent by us. */
class StreamedDataset extends Dataset {
  override getDenaturalizedDataset(): Buffer {
    return Buffer.alloc(0);
  }
}

export class ScuLibrary extends Scp {
  readonly #callbacks: ScuCallbacks;
  #association: Association | undefined;

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

  /** Sends A-ASSOCIATE-RQ. @param contexts 1 to 128; their ids are 1, 3, 5, … in this order */
  associate(callingAe: AeTitle, calledAe: AeTitle, contexts: readonly ProposedContext[]): void {
    const proposal = new association.Association(callingAe, calledAe);
    proposal.setImplementationClassUid(IMPLEMENTATION_CLASS_UID);
    proposal.setImplementationVersion(IMPLEMENTATION_VERSION_NAME);
    proposal.setMaxPduLength(OWN_MAX_PDU_BYTES);
    for (const { sopClassUid, transferSyntaxUid } of contexts) {
      const id = proposal.addPresentationContext(sopClassUid);
      proposal.addTransferSyntaxToPresentationContext(id, transferSyntaxUid);
    }
    this.#association = proposal;
    this.sendAssociationRequest(proposal);
  }

  /** The peer's maximum PDU length; 0 = no limit. Only after `accepted`. */
  peerMaxPduBytes(): number {
    return this.#association?.getMaxPduLength() ?? OWN_MAX_PDU_BYTES;
  }

  /** What the peer said to the context with this id. Only after `accepted`. */
  contextAnswer(id: number): { result: number; transferSyntaxUid: string | undefined } | undefined {
    const context = this.#association?.getPresentationContext(id);
    return (
      context && { result: context.getResult(), transferSyntaxUid: context.getAcceptedTransferSyntaxUid() }
    );
  }

  /** Sends C-STORE-RQ without its data set. The context must have been accepted. */
  requestStore(
    instance: ProposedContext & { readonly sopInstanceUid: string },
    answered: (status: number | undefined) => void,
  ): void {
    const identity = { SOPClassUID: instance.sopClassUid, SOPInstanceUID: instance.sopInstanceUid };
    const dataSet = new StreamedDataset(identity, instance.transferSyntaxUid);
    this.#send(new requests.CStoreRequest(dataSet), answered);
  }

  /** Sends C-ECHO-RQ. The Verification context must have been accepted. */
  requestEcho(answered: (status: number | undefined) => void): void {
    this.#send(new requests.CEchoRequest(), answered);
  }

  #send(request: Request, answered: (status: number | undefined) => void): void {
    request.on('response', (response: Response) => {
      const status: unknown = response.getStatus();
      if (typeof status === 'number' && describeStatus(status).category === 'pending') return;
      // The library drops neither of these. It would look up each answer among all requests ever sent, and decode it
      // together with all answers before it: quadratic time, and an answer without a status would inherit an old one.
      const kept = this as unknown as { pending: unknown[]; dimseStream: unknown };
      kept.pending.length = 0;
      kept.dimseStream = undefined;
      answered(typeof status === 'number' ? status : undefined);
    });
    this.sendRequests(request);
  }

  override associationReleaseRequested(): void {
    this.#callbacks.releaseRequested();
  }

  override abort(source?: number, reason?: number): void {
    this.#callbacks.aborted({ source: source ?? 0, reason: reason ?? 0 });
  }
}
