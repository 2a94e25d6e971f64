/**
 * The library's part of an association on our side: it reads and writes association PDUs and commands. It never sees a
 * data set: of each one it gets an empty last fragment, so that it knows when to ask us for the answer.
 */
import { Writable } from 'node:stream';
import dcmjsDimse from 'dcmjs-dimse';
import { IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME } from '../dicom/part10.js';
import type { LibrarySocket } from './library-socket.js';

type Association = InstanceType<typeof dcmjsDimse.association.Association>;
type CStoreRequest = InstanceType<typeof dcmjsDimse.requests.CStoreRequest>;
type CStoreResponse = InstanceType<typeof dcmjsDimse.responses.CStoreResponse>;
type CEchoRequest = InstanceType<typeof dcmjsDimse.requests.CEchoRequest>;
type CEchoResponse = InstanceType<typeof dcmjsDimse.responses.CEchoResponse>;
type Dataset = InstanceType<typeof dcmjsDimse.Dataset>;

const { Implementation, Scp, log, responses } = dcmjsDimse;

// The library logs by itself, to the console; what matters is logged by us.
log.setLevel('silent');
Implementation.setImplementationClassUid(IMPLEMENTATION_CLASS_UID);
Implementation.setImplementationVersion(IMPLEMENTATION_VERSION_NAME);
// The upper bound of what any association announces; each one sets its own below it.
Implementation.setMaxPduLength(1024 * 1024);

/** Far longer than any association: our own timers decide. */
const NEVER_MS = 2 ** 31 - 1;
/** Error Comment (0000,0902) is of VR LO. */
const MAX_COMMENT_LENGTH = 64;

export interface StoreAnswer {
  readonly status: number;
  readonly comment?: string;
}

export interface ScpCallbacks {
  requested(association: Association): void;
  released(): void;
  /** The data set of this request has ended. */
  stored(messageId: number): Promise<StoreAnswer>;
  failed(error: unknown): void;
}

export class ScpLibrary extends Scp {
  readonly #callbacks: ScpCallbacks;

  constructor(socket: LibrarySocket, callbacks: ScpCallbacks) {
    super(socket.asSocket(), {
      connectTimeout: NEVER_MS,
      associationTimeout: NEVER_MS,
      pduTimeout: NEVER_MS,
    });
    this.#callbacks = callbacks;
    this.on('networkError', (error: unknown) => callbacks.failed(error));
  }

  /** A-ASSOCIATE-AC with our own maximum length; the peer's is kept for what we send. */
  accept(association: Association, maxPduBytes: number): void {
    const peerMaxPduBytes = association.getMaxPduLength();
    association.setMaxPduLength(maxPduBytes);
    this.sendAssociationAccept();
    association.setMaxPduLength(peerMaxPduBytes);
  }

  /**
   * To be called before each command: the library keeps the bytes of a command that has no data set (C-ECHO), and would
   * decode the next one together with them.
   */
  forgetCommand(): void {
    Reflect.set(this, 'dimseStream', undefined);
  }

  override associationRequested(association: Association): void {
    this.#callbacks.requested(association);
  }

  override associationReleaseRequested(): void {
    this.#callbacks.released();
  }

  override createStoreWritableStream(): Writable {
    return new Writable({ write: (_chunk, _encoding, done) => done() });
  }

  override createDatasetFromStoreWritableStream(
    _writable: Writable,
    _context: unknown,
    callback: (dataset: Dataset) => void,
  ): void {
    // No data set, in the library's own word for it: the request then simply has none.
    callback(undefined as unknown as Dataset);
  }

  override cStoreRequest(request: CStoreRequest, callback: (response: CStoreResponse) => void): void {
    this.#callbacks.stored(request.getMessageId()).then(({ status, comment }) => {
      const response = responses.CStoreResponse.fromRequest(request);
      response.setStatus(status);
      if (comment !== undefined) response.setErrorComment(comment.slice(0, MAX_COMMENT_LENGTH));
      callback(response);
    }, this.#callbacks.failed);
  }

  override cEchoRequest(request: CEchoRequest, callback: (response: CEchoResponse) => void): void {
    const response = responses.CEchoResponse.fromRequest(request);
    response.setStatus(0x0000);
    callback(response);
  }

  override abort(): void {
    // The real socket tells us by its end.
  }
}
