/**
 * The library's part of an association on our side: it reads and writes association PDUs. It sees neither commands nor
 * data sets: those are `message-exchange`'s.
 */
import dcmjsDimse from 'dcmjs-dimse';
import { IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME } from '../dicom/part10.js';
import type { LibrarySocket } from './library-socket.js';

export type LibraryAssociation = InstanceType<typeof dcmjsDimse.association.Association>;

const { Implementation, Scp, log } = dcmjsDimse;

// The library logs by itself, to the console; what matters is logged by us.
log.setLevel('silent');
Implementation.setImplementationClassUid(IMPLEMENTATION_CLASS_UID);
Implementation.setImplementationVersion(IMPLEMENTATION_VERSION_NAME);
// The upper bound of what any association announces; each one sets its own below it.
Implementation.setMaxPduLength(1024 * 1024);

/** Far longer than any association: our own timers decide. */
const NEVER_MS = 2 ** 31 - 1;

export interface ScpCallbacks {
  requested(association: LibraryAssociation): void;
  released(): void;
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

  override associationRequested(association: LibraryAssociation): void {
    this.#callbacks.requested(association);
  }

  override associationReleaseRequested(): void {
    this.#callbacks.released();
  }

  override abort(): void {
    // The real socket tells us by its end.
  }
}
