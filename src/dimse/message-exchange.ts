/**
 * The DIMSE messages of one association that a peer has opened (PS3.7 §9, §10): commands are read, their data sets go
 * down the lane of whoever serves them, and every request is answered once, in whichever order the work ends. No more
 * requests are under way than the peer has negotiated (§D.3.3.3): the next one waits, and with it the peer.
 */
import { storeStatus } from '../dicom/store-status.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import { VERIFICATION } from './association-policy.js';
import {
  COMMAND_FIELDS,
  type CommandElements,
  type CommandSet,
  parseCommandSet,
  RESPONSE_BIT,
} from './command-set.js';
import { type Answer, answeringLane, type DataSetLane } from './data-set-lane.js';
import { GatheredBytes } from './gathered-bytes.js';
import { createOwnRequests } from './own-requests.js';
import type { Fragment } from './pdu-framer.js';
import { formatMessage } from './scu-message.js';
import type { AssociationService, ServicePeer } from './service.js';
import { openServiceLane } from './service-lane.js';
import { openStoreLane } from './store-lane.js';
import type { AssociationInfo, StoreHandler } from './store-scp.js';

/** A command set is a few hundred bytes. */
const MAX_COMMAND_BYTES = 64 * 1024;
/** A longer UID is none; of what stands there no more is sent back. */
const MAX_UID_LENGTH = 64;

const SUCCESS: Answer = { status: 0x0000 };
/** PS3.7 Annex C. */
const DUPLICATE_INVOCATION = 0x0210;

/** An accepted presentation context. */
export interface AcceptedContext {
  readonly id: number;
  readonly abstractSyntaxUid: string;
  readonly transferSyntaxUid: string;
}

export interface MessageExchangeOptions {
  readonly association: AssociationInfo;
  readonly contexts: readonly AcceptedContext[];
  readonly handler: StoreHandler;
  readonly services: readonly AssociationService[];
  readonly log: Log;
  readonly maxInstanceBytes: number;
  /** Requests of the peer that may be under way, 1 or more. */
  readonly asyncOperations: number;
  /** Of the PDUs that the peer takes; 0 = no limit. */
  readonly peerMaxPduBytes: number;
  readonly send: (bytes: Buffer) => void;
}

export interface MessageExchange {
  /** A promise means: wait before the next fragment. @throws GatewayError when the peer breaks the protocol */
  take(fragment: Fragment): Promise<void> | undefined;
  /** Instances that were answered with success. */
  instanceCount(): number;
  /** Of all data sets so far. */
  bytes(): number;
  /** No request is taken any more; resolves when all that are under way are answered. Never rejects. */
  drain(): Promise<void>;
  /** The same, but the request whose data set has not ended is dropped. */
  stop(): Promise<void>;
}

/** A request from its command until its answer. */
interface Operation {
  readonly command: CommandSet;
  readonly lane: DataSetLane;
  /** Resolves when it is answered, or dropped. */
  readonly over: Promise<void>;
  readonly end: () => void;
}

/** To be called when the peer has been told that its association is accepted. */
export function createMessageExchange(options: MessageExchangeOptions): MessageExchange {
  const { association, handler, log, send } = options;
  const contexts = new Map(options.contexts.map((context) => [context.id, context]));
  const serviceOf = (sopClassUid: string) =>
    options.services.find(({ sopClassUids }) => sopClassUids.includes(sopClassUid));
  const stopping = new AbortController();
  const ownRequests = createOwnRequests({
    contextOf: (sopClassUid) =>
      options.contexts.find(({ abstractSyntaxUid }) => abstractSyntaxUid === sopClassUid),
    maxPduBytes: options.peerMaxPduBytes,
    send,
  });
  const peer: ServicePeer = { association, signal: stopping.signal, invoke: ownRequests.invoke };
  const underWay = new Set<Operation>();
  /** The command that comes in fragments. */
  let starting: { readonly contextId: number; readonly gathered: GatheredBytes } | undefined;
  /** Whose data set comes; without an operation it is that of a response. */
  let incoming: { readonly contextId: number; readonly operation: Operation | undefined } | undefined;
  let isDraining = false;
  let instanceCount = 0;
  let byteCount = 0;

  const laneOf = (command: CommandSet, context: AcceptedContext): DataSetLane => {
    const { commandField, messageId, hasDataSet, sopClassUid, sopInstanceUid } = command;
    const { abstractSyntaxUid, transferSyntaxUid } = context;
    if ([...underWay].some((operation) => operation.command.messageId === messageId)) {
      return answeringLane({ status: DUPLICATE_INVOCATION, comment: 'the message id is in use' });
    }
    const isEcho = commandField === COMMAND_FIELDS.cEchoRequest && !hasDataSet;
    const service = serviceOf(abstractSyntaxUid);
    if (service !== undefined && !isEcho) {
      const { id: contextId } = context;
      const request = { contextId, sopClassUid: abstractSyntaxUid, transferSyntaxUid, command };
      return openServiceLane(service, request, peer, log);
    }
    const isStore =
      commandField === COMMAND_FIELDS.cStoreRequest && hasDataSet && abstractSyntaxUid !== VERIFICATION;
    if (!isEcho && !isStore) throw unexpected(`the command 0x${commandField.toString(16)}`);
    if (sopClassUid !== abstractSyntaxUid) {
      const status = storeStatus('SOP_CLASS_REFUSED');
      return answeringLane({ status, comment: 'not the SOP class of the presentation context' });
    }
    if (isEcho) return answeringLane(SUCCESS);
    const instance = { association, sopClassUid, sopInstanceUid, transferSyntaxUid };
    return openStoreLane(handler, instance, options.maxInstanceBytes, log);
  };

  const start = (command: CommandSet, contextId: number) => {
    const context = contexts.get(contextId);
    if (context === undefined) throw unexpected('a command');
    const lane = laneOf(command, context);
    let end: () => void = () => undefined;
    const over = new Promise<void>((resolve) => {
      end = resolve;
    });
    const operation = { command, lane, over, end };
    underWay.add(operation);
    if (command.hasDataSet) incoming = { contextId, operation };
    else void answer(operation, contextId);
  };

  const startWhenRoom = async (command: CommandSet, contextId: number): Promise<void> => {
    while (!hasRoom()) {
      if (isDraining) await aborted(stopping.signal);
      else await Promise.race([...underWay].map(({ over }) => over));
      if (stopping.signal.aborted) return;
    }
    start(command, contextId);
  };
  const hasRoom = () => !isDraining && underWay.size < options.asyncOperations;

  const answer = async (operation: Operation, contextId: number): Promise<void> => {
    const { command, lane } = operation;
    const responseOf = (outcome: Answer) =>
      formatMessage(contextId, responseTo(command, outcome), undefined, options.peerMaxPduBytes);
    const ending = lane.end();
    // It is as good as certain, and until the disk is ready there is nothing else to do.
    const success = responseOf(SUCCESS);
    const outcome = await ending;
    const isSuccess = outcome.status === SUCCESS.status;
    if (isSuccess && command.commandField === COMMAND_FIELDS.cStoreRequest) instanceCount += 1;
    send(isSuccess && outcome.comment === undefined ? success : responseOf(outcome));
    leave(operation);
  };
  const leave = (operation: Operation) => {
    underWay.delete(operation);
    operation.end();
  };

  const takeCommand = ({ contextId, bytes, isLast, ends }: Fragment): Promise<void> | undefined => {
    if (incoming !== undefined || !contexts.has(contextId)) throw unexpected('a command');
    starting ??= { contextId, gathered: new GatheredBytes(MAX_COMMAND_BYTES) };
    if (starting.contextId !== contextId || !starting.gathered.add(bytes)) throw unexpected('a command');
    if (!isLast || !ends) return undefined;
    const command = parseCommandSet(starting.gathered.whole());
    starting = undefined;
    if ((command.commandField & RESPONSE_BIT) !== 0) {
      if (!ownRequests.answered(command)) throw unexpected('a response');
      if (command.hasDataSet) incoming = { contextId, operation: undefined };
      return undefined;
    }
    // What it would cancel is none of ours: C-STORE has no C-CANCEL (PS3.7 §9.3.2.3).
    if (command.commandField === COMMAND_FIELDS.cCancelRequest && !command.hasDataSet) return undefined;
    if (!hasRoom()) return startWhenRoom(command, contextId);
    start(command, contextId);
    return undefined;
  };

  const takeData = ({ contextId, bytes, isLast, ends }: Fragment): Promise<void> | undefined => {
    if (incoming === undefined || incoming.contextId !== contextId) throw unexpected('a data set');
    const { operation } = incoming;
    byteCount += bytes.length;
    const wait = bytes.length === 0 ? undefined : operation?.lane.write(bytes);
    if (!isLast || !ends) return wait;
    incoming = undefined;
    if (operation === undefined) return undefined;
    if (wait === undefined) void answer(operation, contextId);
    else void wait.then(() => answer(operation, contextId));
    return wait;
  };

  const drain = async (): Promise<void> => {
    isDraining = true;
    await Promise.all([...underWay].map(({ over }) => over));
  };

  for (const service of options.services) {
    if (options.contexts.some(({ abstractSyntaxUid }) => service.sopClassUids.includes(abstractSyntaxUid)))
      service.opened?.(peer);
  }

  return {
    take: (fragment) => (fragment.isCommand ? takeCommand(fragment) : takeData(fragment)),
    instanceCount: () => instanceCount,
    bytes: () => byteCount,
    drain,
    async stop() {
      stopping.abort();
      ownRequests.close();
      const operation = incoming?.operation;
      incoming = undefined;
      if (operation !== undefined) {
        await operation.lane.discard();
        leave(operation);
      }
      await drain();
    },
  };
}

function responseTo(command: CommandSet, { status, comment }: Answer): CommandElements {
  const { commandField, messageId, sopClassUid, sopInstanceUid, eventTypeId, actionTypeId } = command;
  return {
    affectedSopClassUid: sopClassUid.slice(0, MAX_UID_LENGTH),
    commandField: commandField | RESPONSE_BIT,
    messageIdBeingRespondedTo: messageId,
    hasDataSet: false,
    status,
    ...(comment === undefined ? {} : { errorComment: comment }),
    ...(sopInstanceUid === '' ? {} : { affectedSopInstanceUid: sopInstanceUid.slice(0, MAX_UID_LENGTH) }),
    ...(eventTypeId === undefined ? {} : { eventTypeId }),
    ...(actionTypeId === undefined ? {} : { actionTypeId }),
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function unexpected(what: string): GatewayError {
  return new GatewayError('PDU_TOO_LARGE', `${what} comes where it has no place`);
}
