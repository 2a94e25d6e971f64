/**
 * The connection under an association that we open: the socket, its timers, negotiation and release through the
 * library (`scu-library`), and the one failure that ends it all. What comes in goes up as whole DIMSE messages; what
 * they mean is not known here.
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { type AeAddress, type AeTitle, formatAeAddress } from '../domain/ae-title.js';
import type { Pacs } from '../domain/peer.js';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import { classifyAbort, classifyRejection, classifySocketError } from './classify.js';
import { LibrarySocket } from './library-socket.js';
import { PDU_TYPES } from './pdu-framer.js';
import { type Proposal, type ProposedContext, ScuLibrary } from './scu-library.js';
import type { Message, MessageReader } from './scu-message.js';
import { createReplyGuard, type ReplyGuard } from './scu-reply-guard.js';
import { Watchdog } from './scu-watchdog.js';
import { addUserItems, type RoleSelection, readUserItems } from './user-items.js';

/** Whom to call, and what the config says of it; a plain address takes the defaults. */
export type CalledPacs = AeAddress & Partial<Omit<Pacs, keyof AeAddress>>;

/** Each goes before what the config says of the PACS. */
export interface ScuTimeouts {
  /** TCP connect, and the TLS handshake. Default 10 000. */
  readonly connectTimeoutMs?: number;
  /** Answer to A-ASSOCIATE-RQ. Default 30 000. */
  readonly associationTimeoutMs?: number;
  /** Answer to a request, and the longest time in which the peer takes no bytes. Default 120 000. */
  readonly responseTimeoutMs?: number;
}

export interface ScuConnectionOptions extends ScuTimeouts {
  readonly pacs: CalledPacs;
  readonly callingAe: AeTitle;
  /** 1 to 128. */
  readonly contexts: readonly ProposedContext[];
  /** Roles that we propose, where they are not those of an SCU (PS3.7 §D.3.3.4). */
  readonly roles?: readonly RoleSelection[];
  /** Makes the connection, where it is no plain TCP. A TLS socket is waited for until it is secure. */
  readonly connect?: (pacs: CalledPacs) => Socket;
}

/** A peer that does not confirm a release is not waited for: everything has been answered by then. */
const RELEASE_TIMEOUT_MS = 5_000;
/** How long an A-ABORT may take to leave. */
const ABORT_LINGER_MS = 1_000;
const READ_BYTES = 16 * 1024;
const RELEASE_RESPONSE = Buffer.from([PDU_TYPES.releaseResponse, 0, 0, 0, 0, 4, 0, 0, 0, 0]);

export class ScuConnection {
  readonly socket: Socket;
  readonly library: ScuLibrary;
  /** While something is awaited of the peer. */
  readonly watchdog = new Watchdog((missing) => this.fail(this.lost(missing)));
  readonly #options: ScuConnectionOptions;
  readonly #pacs: string;
  readonly #librarySocket: LibrarySocket;
  readonly #guard: ReplyGuard;
  readonly #messages: MessageReader;
  readonly #received: (message: Message) => void;
  readonly #failed = new AbortController();
  #signal: AbortSignal | undefined;
  #accepted: () => void = () => undefined;
  #released: () => void = () => undefined;
  #isEstablished = false;
  #isClosed = false;

  constructor(options: ScuConnectionOptions, messages: MessageReader, received: (message: Message) => void) {
    const { pacs } = options;
    this.#options = options;
    this.#messages = messages;
    this.#received = received;
    this.#pacs = formatAeAddress(pacs);
    this.#guard = createReplyGuard(this.#pacs);
    const take = (bytes: Buffer) => this.#receive(bytes);
    this.socket = options.connect?.(pacs) ?? connectPlainly(pacs, take);
    this.#librarySocket = new LibrarySocket(this.socket, (pdu) => withRoles(pdu, options.roles));
    this.library = new ScuLibrary(this.#librarySocket, {
      accepted: () => this.#accepted(),
      rejected: (rejection) => this.fail(classifyRejection(rejection, this.#pacs)),
      released: () => this.#released(),
      releaseRequested: () => this.#releaseRequested(),
      aborted: (abort) => this.fail(classifyAbort(abort, this.#pacs)),
      failed: (cause) => this.fail(this.lost('sends what cannot be read', cause)),
    });
    this.socket.on('data', take);
    this.socket.on('error', (error) =>
      this.fail(isGatewayError(error) ? error : classifySocketError(error, this.#pacs)),
    );
    this.socket.on('end', () => this.fail(this.lost(this.#closes())));
    this.socket.on('close', () => {
      this.fail(this.lost(this.#closes()));
      // Ends the library's own timer.
      this.#librarySocket.emit('close');
    });
  }

  /** Why the association is over; undefined while it is not. */
  get failure(): GatewayError | undefined {
    const { aborted, reason } = this.#failed.signal;
    return aborted && reason instanceof GatewayError ? reason : undefined;
  }

  /** Aborted, with the failure, when the association is over. */
  get ended(): AbortSignal {
    return this.#failed.signal;
  }

  /** From now on this signal, and no other, aborts the association. */
  obey(signal: AbortSignal | undefined): void {
    this.#signal?.removeEventListener('abort', this.#cancel);
    this.#signal = signal;
    signal?.addEventListener('abort', this.#cancel);
    if (signal?.aborted) this.#cancel();
  }

  /** @throws PACS_UNREACHABLE, PACS_UNTRUSTED, PACS_BUSY, PACS_REFUSED, CANCELLED; KEY_UNREADABLE for the password */
  async establish(): Promise<void> {
    const { pacs, connectTimeoutMs, associationTimeoutMs } = this.#options;
    const connectMs = connectTimeoutMs ?? pacs.timeouts?.connectTimeoutMs ?? 10_000;
    await this.within(connectMs, 'does not answer the connection', async () => {
      const isTls = this.socket instanceof TLSSocket;
      if (isTls || this.socket.connecting) {
        await once(this.socket, isTls ? 'secureConnect' : 'connect', { signal: this.ended });
      }
      // Commands and short data sets must not wait for an acknowledgement.
      this.socket.setNoDelay(true);
    });
    const associateMs = associationTimeoutMs ?? pacs.timeouts?.associationTimeoutMs ?? 30_000;
    await this.within(associateMs, 'does not answer A-ASSOCIATE-RQ', async () => {
      const proposal = await this.#proposal();
      const accepted = this.#answer((resolve) => {
        this.#accepted = resolve;
      });
      this.library.associate(proposal);
      await accepted;
      this.#isEstablished = true;
    });
  }

  get responseTimeoutMs(): number {
    const { responseTimeoutMs, pacs } = this.#options;
    return responseTimeoutMs ?? pacs.timeouts?.responseTimeoutMs ?? 120_000;
  }

  /** Releases and closes; aborts instead when the association has failed. Never throws. */
  async release(): Promise<void> {
    if (this.failure === undefined && !this.#isClosed) {
      await this.within(RELEASE_TIMEOUT_MS, 'does not confirm the release', async () => {
        const released = this.#answer((resolve) => {
          this.#released = resolve;
        });
        this.library.sendAssociationReleaseRequest();
        await released;
      }).catch(() => undefined);
    }
    this.#close();
  }

  /** Runs one step under the watchdog. Whatever fails in it ends the association. */
  async within<T>(timeoutMs: number, missing: string, step: () => Promise<T>): Promise<T> {
    this.watchdog.begin(timeoutMs, missing);
    try {
      if (this.failure !== undefined) throw this.failure;
      return await step();
    } catch (error) {
      // After a failure every wait ends in an AbortError; the failure is what happened.
      const { failure } = this;
      this.fail(isGatewayError(error) ? error : this.lost('is given up', error));
      throw failure ?? this.failure ?? error;
    } finally {
      this.watchdog.end();
    }
  }

  /** The first failure counts. The peer is told by A-ABORT, where there is still somebody to tell. */
  fail(error: GatewayError): void {
    if (this.#isClosed) return;
    const isReachable = !this.socket.connecting && this.socket.writable;
    if (isReachable && !this.#failed.signal.aborted) this.library.sendAbort();
    this.#end(error);
  }

  /** @param what continues the sentence that begins with the PACS */
  lost(what: string, cause?: unknown): GatewayError {
    return new GatewayError('PACS_UNREACHABLE', `${this.#pacs} ${what}`, { cause });
  }

  /** The password is read each time, so that it can be changed while we run. */
  async #proposal(): Promise<Proposal> {
    const { pacs, callingAe, contexts } = this.#options;
    const { user, asyncOperations = 1 } = pacs;
    const proposal = { callingAe, calledAe: pacs.aeTitle, contexts, asyncOperations };
    if (user === undefined) return proposal;
    const { name, passwordFile } = user;
    if (passwordFile === undefined) return { ...proposal, user: { name } };
    const password = await readFile(passwordFile, 'utf8').catch((cause: unknown) => {
      throw new GatewayError('KEY_UNREADABLE', 'the file with the password for the PACS cannot be read', {
        cause,
      });
    });
    return { ...proposal, user: { name, password: password.replace(/\r?\n$/, '') } };
  }

  #receive(chunk: Buffer): void {
    try {
      for (const pdu of this.#guard.feed(chunk)) {
        this.watchdog.progress();
        if (pdu.readUInt8(0) !== PDU_TYPES.data) {
          this.#librarySocket.deliver(pdu);
          continue;
        }
        if (!this.#isEstablished) throw this.lost('sends data before there is an association');
        for (const message of this.#messages.feed(pdu)) this.#received(message);
      }
    } catch (error) {
      this.fail(isGatewayError(error) ? error : this.lost('sends what cannot be read', error));
    }
  }

  /** A PACS that has had enough of an idle association is let go in peace; in the middle of a message it may not. */
  #releaseRequested(): void {
    const error = this.lost('releases the association in the middle');
    if (this.watchdog.isIdle) {
      this.socket.write(RELEASE_RESPONSE);
      this.#end(error);
    } else {
      this.fail(error);
    }
  }

  /** A promise that the peer resolves, or the failure of the association rejects. */
  #answer(start: (resolve: () => void) => void): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const lost = () => reject(this.ended.reason);
      this.ended.addEventListener('abort', lost, { once: true });
      if (this.ended.aborted) lost();
      start(() => {
        this.ended.removeEventListener('abort', lost);
        resolve();
      });
    });
  }

  /** After a handshake in TLS 1.3 many a peer says no to our certificate by nothing else than this. */
  #closes(): string {
    return this.socket instanceof TLSSocket && !this.#isEstablished
      ? 'closes the connection before it answers A-ASSOCIATE-RQ: it may not take our certificate'
      : 'closes the connection in the middle';
  }

  readonly #cancel = (): void => this.fail(new GatewayError('CANCELLED', 'sending was stopped'));

  #end(error: GatewayError): void {
    if (this.#isClosed) return;
    this.#failed.abort(error);
    this.#close();
  }

  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#signal?.removeEventListener('abort', this.#cancel);
    if (this.socket.connecting) this.socket.destroy();
    else this.socket.destroySoon();
    // A peer that reads nothing would keep the last bytes, and with them the socket, for ever.
    setTimeout(() => this.socket.destroy(), ABORT_LINGER_MS).unref();
  }
}

/** What comes in is read into one buffer: an answer is short, and to make a new one for each takes longer than to read it. */
function connectPlainly({ host, port }: CalledPacs, take: (bytes: Buffer) => void): Socket {
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  const callback = (length: number) => {
    take(Buffer.from(buffer.subarray(0, length)));
    return true;
  };
  return connect({ host, port, noDelay: true, onread: { buffer, callback } });
}

/** The library knows no role selection. */
function withRoles(pdu: Buffer, roles: readonly RoleSelection[] = []): Buffer {
  if (roles.length === 0 || pdu.readUInt8(0) !== PDU_TYPES.associateRequest) return pdu;
  return addUserItems(pdu, { ...readUserItems(pdu), roles });
}
