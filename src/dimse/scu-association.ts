/**
 * What is said on an association that we open: C-STORE, C-ECHO, requests of services, and the answers to what the PACS
 * asks. As many operations are outstanding as was agreed (PS3.7 §D.3.3.3); answers are matched by message id, in
 * whatever order they come. Messages are never interleaved on the line.
 */
import { VERIFICATION_SOP_CLASS } from '../dicom/sop-classes.js';
import { describeStatus } from '../dicom/store-status.js';
import { type GatewayError, isGatewayError } from '../errors/gateway-error.js';
import { classifyContext } from './classify.js';
import { type CommandElements, type CommandSet, RESPONSE_BIT } from './command-set.js';
import type { Reading } from './instance-reading.js';
import { type Frame, fragmentSize, MAX_SENT_PDU_BYTES, OutgoingMessage } from './pdata-writer.js';
import { ScuAnswers } from './scu-answers.js';
import { ScuConnection, type ScuConnectionOptions } from './scu-connection.js';
import { ScuContexts } from './scu-contexts.js';
import type { ProposedContext } from './scu-library.js';
import { ScuLine } from './scu-line.js';
import { createMessageReader, formatMessage, type Message } from './scu-message.js';
import { answerRequest, echoRequest, ownRequest, serviceFor, storeRequest } from './scu-requests.js';
import type { AssociationService, OwnRequest, ServicePeer } from './service.js';
import type { StoreDraft, StoreTicket } from './store-ticket.js';

export interface ScuAssociationOptions extends ScuConnectionOptions {
  /** Answer what the PACS asks. */
  readonly services?: readonly AssociationService[];
  /** Aborts the association. */
  readonly signal?: AbortSignal;
}

/** What `store` needs of an instance. */
export interface StoredInstance extends ProposedContext {
  readonly sopInstanceUid: string;
}

/** Of an answer; those to our requests have none. */
const MAX_ANSWER_DATA_SET_BYTES = 1024 * 1024;

/**
 * Connects and negotiates.
 * @throws PACS_UNREACHABLE, PACS_UNTRUSTED, PACS_BUSY (rejected for now), PACS_REFUSED (rejected for good), CANCELLED
 */
export async function openScuAssociation(options: ScuAssociationOptions): Promise<ScuAssociation> {
  const association = new ScuAssociation(options);
  await association.establish();
  return association;
}

export class ScuAssociation {
  readonly #options: ScuAssociationOptions;
  readonly #services: readonly AssociationService[];
  readonly #connection: ScuConnection;
  readonly #contexts: ScuContexts;
  readonly #answers = new ScuAnswers();
  readonly #line = new ScuLine(() => this.window);
  #fragmentBytes = 0;

  constructor(options: ScuAssociationOptions) {
    this.#options = options;
    this.#services = options.services ?? [];
    const reader = createMessageReader(({ commandField, sopClassUid }) =>
      (commandField & RESPONSE_BIT) === 0
        ? (serviceFor(this.#services, sopClassUid)?.maxDataSetBytes ?? 0)
        : MAX_ANSWER_DATA_SET_BYTES,
    );
    this.#connection = new ScuConnection(options, reader, (message) => this.#received(message));
    this.#contexts = new ScuContexts(options.contexts, this.#connection.library);
    this.#connection.obey(options.signal);
    this.#connection.ended.addEventListener('abort', () => this.#answers.fail(this.failure));
  }

  /** Connects and negotiates; see `openScuAssociation`. */
  async establish(): Promise<void> {
    const { library } = this.#connection;
    await this.#connection.establish();
    const own = this.#options.pacs.maxPduBytes ?? MAX_SENT_PDU_BYTES;
    await this.#write(async () => {
      this.#fragmentBytes = fragmentSize(library.peerMaxPduBytes(), own);
    });
    for (const service of this.#services) {
      if (service.sopClassUids.some((uid) => this.#contexts.accepted(uid).length > 0))
        service.opened?.(this.#peer);
    }
  }

  /** Why the association is over; undefined while it is not. */
  get failure(): GatewayError | undefined {
    return this.#connection.failure;
  }

  /** Aborted, with the failure, when the association is over. */
  get ended(): AbortSignal {
    return this.#connection.ended;
  }

  /** Operations that may be outstanding. */
  get window(): number {
    return this.#connection.library.window();
  }

  /** Answers that came so far. */
  get answers(): number {
    return this.#answers.count;
  }

  /** False when we gave a user name and the PACS did not confirm it: it takes no user identity. */
  get userConfirmed(): boolean {
    return this.#options.pacs.user === undefined || this.#connection.library.userConfirmed();
  }

  /** From now on this signal, and no other, aborts the association. */
  obey(signal: AbortSignal | undefined): void {
    this.#connection.obey(signal);
  }

  /** Whether this kind was proposed, accepted or not. */
  proposed(context: ProposedContext): boolean {
    return this.#contexts.idOf(context) !== 0;
  }

  /** Why instances of this kind cannot be sent here; undefined when they can. */
  refusal(context: ProposedContext): GatewayError | undefined {
    return this.#contexts.refusal(context);
  }

  /** The transfer syntaxes in which instances of this class can be sent here, in the order of the proposal. */
  acceptedSyntaxes(sopClassUid: string): readonly string[] {
    return this.#contexts.accepted(sopClassUid).map(({ transferSyntaxUid }) => transferSyntaxUid);
  }

  /** A C-STORE, put together as far as can be before its turn. Its context must have been accepted. */
  draft(instance: StoredInstance, reading: Reading, frame: Frame): StoreDraft {
    const messageId = this.#answers.nextMessageId();
    const contextId = this.#contexts.idOf(instance);
    const command = this.#format(contextId, storeRequest(messageId, instance));
    const fragmentBytes = this.#fragmentBytes;
    return { messageId, message: new OutgoingMessage(frame, { command, contextId, fragmentBytes, reading }) };
  }

  /**
   * C-STORE. It goes out as soon as fewer than `window` are outstanding: in the very moment in which an answer makes room.
   * @param begin called right before its first byte goes out; false withdraws it
   */
  store({ messageId, message }: StoreDraft, begin: () => boolean | Promise<boolean>): StoreTicket {
    const { socket, ended, watchdog } = this.#connection;
    const line = { socket, signal: ended, progressed: () => watchdog.progress() };
    const stored = this.#line.enter(async () => {
      let hasBegun = false;
      try {
        return await this.#speak(async () => {
          const mayGo = begin();
          if (mayGo !== true && !(await mayGo)) return undefined;
          ended.throwIfAborted();
          hasBegun = true;
          const answer = this.#awaitAnswer(messageId, 'a C-STORE', () => this.#line.leave());
          return { answer, sha256: await message.write(line) };
        });
      } catch (error) {
        if (hasBegun) throw error;
        return undefined;
      } finally {
        if (!hasBegun) this.#line.leave();
      }
    });
    const sent = stored.then((one) => one !== undefined);
    const answered = stored.then(async (one) => {
      if (one === undefined) return undefined;
      const { status = 0 } = await one.answer;
      return { status, sha256: one.sha256 };
    });
    for (const promise of [sent, answered]) promise.catch(() => undefined);
    return { sent, answered };
  }

  /** C-ECHO. @returns the status @throws the association's failure; CONTEXT_UNSUPPORTED */
  async echo(timeoutMs = this.#connection.responseTimeoutMs): Promise<number> {
    const context = this.#contexts.accepted(VERIFICATION_SOP_CLASS)[0];
    if (context === undefined) throw classifyContext(undefined, VERIFICATION_SOP_CLASS, '');
    const { status = 0 } = await this.#request(context.id, echoRequest, { what: 'a C-ECHO', timeoutMs });
    return status;
  }

  /**
   * A request of a service.
   * @throws CONTEXT_UNSUPPORTED without a fitting presentation context; PACS_UNREACHABLE when the association ends first
   */
  async invoke(request: OwnRequest): Promise<CommandSet> {
    const context = this.#contexts.accepted(request.sopClassUid)[0];
    if (context === undefined) throw classifyContext(undefined, request.sopClassUid, '');
    const dataSet = request.dataSet(context.transferSyntaxUid);
    return this.#request(context.id, (messageId) => ownRequest(messageId, request), {
      what: 'a request',
      timeoutMs: this.#connection.responseTimeoutMs,
      dataSet,
    });
  }

  /** Releases and closes; aborts instead when the association has failed. Never throws. */
  async release(): Promise<void> {
    await this.#connection.release();
  }

  /** What a service sees of us. */
  get #peer(): ServicePeer {
    return { signal: this.ended, invoke: (request) => this.invoke(request) };
  }

  #received(message: Message): void {
    const { command } = message;
    if ((command.commandField & RESPONSE_BIT) === 0) {
      void this.#serve(message);
      return;
    }
    const { messageIdBeingRespondedTo: id = 0, status } = command;
    if (status !== undefined && describeStatus(status).category === 'pending') return;
    if (status === undefined) throw this.#connection.lost('answers without a status');
    if (!this.#answers.take(id, command)) throw this.#connection.lost('answers what was not asked');
  }

  async #serve(message: Message): Promise<void> {
    const context = this.#contexts.byId(message.contextId);
    const service = serviceFor(this.#services, context?.sopClassUid);
    const answer = await answerRequest(message, context, service, this.#peer);
    // What fails here is the association's own failure.
    await this.#say(message.contextId, answer).catch(() => undefined);
  }

  async #request(
    contextId: number,
    command: (messageId: number) => CommandElements,
    {
      what,
      timeoutMs,
      dataSet,
    }: { readonly what: string; readonly timeoutMs: number; readonly dataSet?: Buffer },
  ): Promise<CommandSet> {
    const messageId = this.#answers.nextMessageId();
    const answer = this.#awaitAnswer(messageId, what, () => undefined, timeoutMs);
    await this.#say(contextId, command(messageId), dataSet);
    return answer;
  }

  #say(contextId: number, command: CommandElements, dataSet?: Buffer): Promise<void> {
    return this.#speak(async () => {
      this.#connection.socket.write(this.#format(contextId, command, dataSet));
    });
  }

  #format(contextId: number, command: CommandElements, dataSet?: Buffer): Buffer {
    return formatMessage(contextId, command, dataSet, this.#connection.library.peerMaxPduBytes());
  }

  /** Writes one message after the other; one that breaks off in the middle ends the association. */
  #speak<T>(write: () => Promise<T>): Promise<T> {
    return this.#line.speak(() => this.#write(write));
  }

  async #write<T>(write: () => Promise<T>): Promise<T> {
    try {
      if (this.failure !== undefined) throw this.failure;
      return await write();
    } catch (error) {
      const { failure } = this;
      this.#connection.fail(isGatewayError(error) ? error : this.#connection.lost('is given up', error));
      throw failure ?? this.failure ?? error;
    }
  }

  #awaitAnswer(
    messageId: number,
    what: string,
    answered: () => void,
    timeoutMs = this.#connection.responseTimeoutMs,
  ): Promise<CommandSet> {
    // Nobody would end the watch.
    if (this.failure !== undefined) throw this.failure;
    const { watchdog } = this.#connection;
    watchdog.begin(timeoutMs, `does not answer ${what}`);
    return this.#answers.awaitAnswer(messageId, () => {
      // What begins at once goes on under the same timer.
      answered();
      watchdog.end();
    });
  }
}
