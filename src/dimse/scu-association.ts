/**
 * One association that we open, from connect to release: socket, timers and the one failure that ends it. The
 * library speaks the protocol (`scu-library`), our own writer sends data sets (`pdata-writer`); both share the
 * socket, and whoever waits is woken by `failed`. One operation is outstanding at a time, as negotiated.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type AeAddress, type AeTitle, formatAeAddress } from '../domain/ae-title.js';
import { GatewayError } from '../errors/gateway-error.js';
import { classifyAbort, classifyContext, classifyRejection, classifySocketError } from './classify.js';
import { LibrarySocket } from './library-socket.js';
import { fragmentSize, writeDataSet } from './pdata-writer.js';
import { type ProposedContext, ScuLibrary } from './scu-library.js';
import { createReplyGuard, type ReplyGuard } from './scu-reply-guard.js';

export interface ScuTimeouts {
  /** TCP connect. Default 10 000. */
  readonly connectTimeoutMs?: number;
  /** Answer to A-ASSOCIATE-RQ. Default 30 000. */
  readonly associationTimeoutMs?: number;
  /** Answer to a request, and the longest time in which the peer takes no bytes. Default 120 000. */
  readonly responseTimeoutMs?: number;
}

export interface ScuAssociationOptions extends ScuTimeouts {
  readonly pacs: AeAddress;
  readonly callingAe: AeTitle;
  /** 1 to 128. */
  readonly contexts: readonly ProposedContext[];
  readonly signal?: AbortSignal;
}

/** What `store` needs of an instance. */
export interface StoredInstance extends ProposedContext {
  readonly sopInstanceUid: string;
  readonly sizeBytes: number;
}

const ACCEPTED = 0;
/** A peer that does not confirm a release is not waited for: everything has been answered by then. */
const RELEASE_TIMEOUT_MS = 5_000;
/** How long an A-ABORT may take to leave. */
const ABORT_LINGER_MS = 1_000;

/**
 * Connects and negotiates.
 * @throws PACS_UNREACHABLE, PACS_BUSY (rejected for now), PACS_REFUSED (rejected for good), CANCELLED
 */
export async function openScuAssociation(options: ScuAssociationOptions): Promise<ScuAssociation> {
  const association = new ScuAssociation(options);
  await association.establish();
  return association;
}

export class ScuAssociation {
  readonly #options: ScuAssociationOptions;
  readonly #pacs: string;
  readonly #socket: Socket;
  readonly #librarySocket: LibrarySocket;
  readonly #library: ScuLibrary;
  readonly #guard: ReplyGuard;
  readonly #failed = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #fragmentBytes = 0;
  #accepted: () => void = () => undefined;
  #released: () => void = () => undefined;
  #closed = false;

  constructor(options: ScuAssociationOptions) {
    const { host, port } = options.pacs;
    this.#options = options;
    this.#pacs = formatAeAddress(options.pacs);
    this.#guard = createReplyGuard(this.#pacs);
    this.#socket = connect({ host, port, noDelay: true });
    this.#librarySocket = new LibrarySocket(this.#socket);
    this.#library = new ScuLibrary(this.#librarySocket, {
      accepted: () => this.#accepted(),
      rejected: (rejection) => this.#fail(classifyRejection(rejection, this.#pacs)),
      released: () => this.#released(),
      releaseRequested: () => this.#fail(this.#lost('releases the association in the middle')),
      aborted: (abort) => this.#fail(classifyAbort(abort, this.#pacs)),
      failed: (cause) => this.#fail(this.#lost('sends what cannot be read', cause)),
    });
    this.#socket.on('data', (chunk) => this.#receive(chunk));
    this.#socket.on('error', (error) => this.#fail(classifySocketError(error, this.#pacs)));
    this.#socket.on('end', () => this.#fail(this.#lost('closes the connection in the middle')));
    this.#socket.on('close', () => {
      this.#fail(this.#lost('closes the connection in the middle'));
      // Ends the library's own timer.
      this.#librarySocket.emit('close');
    });
  }

  /** Why the association is over; undefined while it is not. */
  get failure(): GatewayError | undefined {
    const { aborted, reason } = this.#failed.signal;
    return aborted && reason instanceof GatewayError ? reason : undefined;
  }

  /** Connects and negotiates; see `openScuAssociation`. */
  async establish(): Promise<void> {
    const { signal, connectTimeoutMs, associationTimeoutMs, callingAe, pacs, contexts } = this.#options;
    signal?.addEventListener('abort', this.#cancel);
    if (signal?.aborted) this.#cancel();
    await this.#within(connectTimeoutMs ?? 10_000, 'does not answer the connection', async () => {
      if (this.#socket.connecting) await once(this.#socket, 'connect', { signal: this.#failed.signal });
    });
    await this.#within(associationTimeoutMs ?? 30_000, 'does not answer A-ASSOCIATE-RQ', async () => {
      const accepted = this.#answer<void>((resolve) => {
        this.#accepted = resolve;
      });
      this.#library.associate(callingAe, pacs.aeTitle, contexts);
      await accepted;
      this.#fragmentBytes = fragmentSize(this.#library.peerMaxPduBytes());
    });
  }

  /** Why instances of this kind cannot be sent here; undefined when they can. */
  refusal(context: ProposedContext): GatewayError | undefined {
    const { sopClassUid, transferSyntaxUid } = context;
    const answer = this.#library.contextAnswer(this.#contextId(context));
    if (answer?.result === ACCEPTED && answer.transferSyntaxUid === transferSyntaxUid) return undefined;
    return classifyContext(answer?.result || undefined, sopClassUid, transferSyntaxUid);
  }

  /**
   * C-STORE. Its context must have been accepted.
   * @returns the final status, and the SHA-256 of the data set as it went out
   * @throws the association's failure; SPOOL_CORRUPT or the source's error, after which the association is aborted
   */
  async store(
    instance: StoredInstance,
    chunks: AsyncIterable<Buffer>,
  ): Promise<{ status: number; sha256: string }> {
    return this.#within(this.#responseTimeoutMs, 'does not answer a C-STORE', async () => {
      this.#guard.expectAnswer();
      const answer = this.#status((answered) => this.#library.requestStore(instance, answered));
      const sha256 = await writeDataSet(this.#socket, {
        contextId: this.#contextId(instance),
        fragmentBytes: this.#fragmentBytes,
        sizeBytes: instance.sizeBytes,
        chunks,
        signal: this.#failed.signal,
        progressed: () => this.#timer?.refresh(),
      });
      return { sha256, status: await answer };
    });
  }

  /** C-ECHO. @returns the status @throws the association's failure */
  async echo(): Promise<number> {
    return this.#within(this.#responseTimeoutMs, 'does not answer a C-ECHO', () =>
      this.#status((answered) => this.#library.requestEcho(answered)),
    );
  }

  /** Releases and closes; aborts instead when the association has failed. Never throws. */
  async release(): Promise<void> {
    if (this.failure === undefined) {
      await this.#within(RELEASE_TIMEOUT_MS, 'does not confirm the release', async () => {
        const released = this.#answer<void>((resolve) => {
          this.#released = resolve;
        });
        this.#library.sendAssociationReleaseRequest();
        await released;
      }).catch(() => undefined);
    }
    this.#close();
  }

  get #responseTimeoutMs(): number {
    return this.#options.responseTimeoutMs ?? 120_000;
  }

  #contextId({ sopClassUid, transferSyntaxUid }: ProposedContext): number {
    const at = this.#options.contexts.findIndex(
      (context) => context.sopClassUid === sopClassUid && context.transferSyntaxUid === transferSyntaxUid,
    );
    if (at === -1) throw new GatewayError('FAULT', 'this presentation context was never proposed');
    return 2 * at + 1;
  }

  #receive(chunk: Buffer): void {
    try {
      for (const pdu of this.#guard.feed(chunk)) {
        this.#timer?.refresh();
        this.#librarySocket.deliver(pdu);
      }
    } catch (error) {
      this.#fail(error instanceof GatewayError ? error : this.#lost('sends what cannot be read', error));
    }
  }

  #status(request: (answered: (status: number | undefined) => void) => void): Promise<number> {
    return this.#answer<number>((resolve) => {
      request((status) => {
        if (status === undefined) this.#fail(this.#lost('answers without a status'));
        else resolve(status);
      });
    });
  }

  /** A promise that the peer resolves, or the failure of the association rejects. */
  #answer<T>(start: (resolve: (value: T) => void) => void): Promise<T> {
    const answer = new Promise<T>((resolve, reject) => {
      const { signal } = this.#failed;
      const lost = () => reject(signal.reason);
      signal.addEventListener('abort', lost, { once: true });
      if (signal.aborted) lost();
      start((value) => {
        signal.removeEventListener('abort', lost);
        resolve(value);
      });
    });
    // Whoever started it may be busy writing when it fails, and looks at it later.
    answer.catch(() => undefined);
    return answer;
  }

  /** Runs one step under the watchdog. Whatever fails in it ends the association. */
  async #within<T>(timeoutMs: number, missing: string, step: () => Promise<T>): Promise<T> {
    this.#timer = setTimeout(() => {
      this.#fail(this.#lost(`${missing} within ${timeoutMs} ms`));
    }, timeoutMs);
    try {
      if (this.failure !== undefined) throw this.failure;
      return await step();
    } catch (error) {
      // After a failure every wait ends in an AbortError; the failure is what happened.
      const { failure } = this;
      this.#fail(error instanceof GatewayError ? error : this.#lost('is given up', error));
      throw failure ?? error;
    } finally {
      clearTimeout(this.#timer);
      this.#timer = undefined;
    }
  }

  #lost(what: string, cause?: unknown): GatewayError {
    return new GatewayError('PACS_UNREACHABLE', `${this.#pacs} ${what}`, { cause });
  }

  readonly #cancel = (): void => this.#fail(new GatewayError('CANCELLED', 'sending was stopped'));

  /** The first failure counts. The peer is told by A-ABORT, where there is still somebody to tell. */
  #fail(error: GatewayError): void {
    if (this.#closed || this.#failed.signal.aborted) return;
    this.#failed.abort(error);
    if (!this.#socket.connecting && this.#socket.writable) this.#library.sendAbort();
    this.#close();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.signal?.removeEventListener('abort', this.#cancel);
    if (this.#socket.connecting) this.#socket.destroy();
    else this.#socket.destroySoon();
    // A peer that reads nothing would keep the last bytes, and with them the socket, for ever.
    setTimeout(() => this.#socket.destroy(), ABORT_LINGER_MS).unref();
  }
}
