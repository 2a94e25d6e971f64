/**
 * One association with a peer that calls us. Bytes come from the socket one chunk at a time: commands and association
 * PDUs go to the library, data sets take the store lane. Reading waits for the lane, and so, by TCP, does the peer.
 */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type dcmjsDimse from 'dcmjs-dimse';
import { storeStatus } from '../dicom/store-status.js';
import { GatewayError, toGatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import { type AssociationPolicy, judgeContext, plainAddress, type Rejection } from './association-policy.js';
import { COMMAND_FIELDS, type CommandSet, parseCommandSet } from './command-set.js';
import { LibrarySocket } from './library-socket.js';
import { createPduFramer, type Frame, formatAbort, formatDataPdu, PDU_TYPES } from './pdu-framer.js';
import { ScpLibrary, type StoreAnswer } from './scp-library.js';
import { openStoreLane, type StoreLane } from './store-lane.js';
import type { AssociationInfo, StoreHandler } from './store-scp.js';

type Association = InstanceType<typeof dcmjsDimse.association.Association>;
type Fragment = Extract<Frame, { kind: 'fragment' }>;

/** A command set is a few hundred bytes. */
const MAX_COMMAND_BYTES = 64 * 1024;
/** PS3.8 Table 9-26, reasons of the service provider. */
const ABORT_UNEXPECTED_PDU = 2;
const ABORT_NOT_SPECIFIED = 0;
const ABORT_PATIENCE_MS = 2_000;
/** A peer that has been released, or rejected, closes the connection; here is how long we wait for it. */
const CLOSE_PATIENCE_MS = 5_000;

export interface ScpAssociationOptions {
  readonly socket: Socket;
  readonly policy: AssociationPolicy;
  readonly handler: StoreHandler;
  readonly log: Log;
  readonly maxPduBytes: number;
  readonly maxInstanceBytes: number;
  readonly idleTimeoutMs: number;
  readonly acceptTimeoutMs: number;
  /** The rejection that the caller gets, or undefined. */
  readonly judge: (caller: Omit<AssociationInfo, 'id' | 'openedAtMs'>) => Promise<Rejection | undefined>;
}

export interface ScpAssociation {
  /** Present once the association is accepted. */
  info(): AssociationInfo | undefined;
  readonly remoteAddress: string;
  instanceCount(): number;
  bytes(): number;
  /** Ends it at once with A-ABORT. */
  abort(): void;
  /** Resolves when the connection is over and nothing of it is running. Never rejects. */
  readonly ended: Promise<void>;
}

export function runScpAssociation(options: ScpAssociationOptions): ScpAssociation {
  const { socket, handler, log } = options;
  const remoteAddress = plainAddress(socket.remoteAddress ?? '');
  const framer = createPduFramer(options.maxPduBytes);
  const librarySocket = new LibrarySocket(socket);
  /** Transfer syntax by accepted presentation context. */
  const contexts = new Map<number, string>();
  const answers = new Map<number, Promise<StoreAnswer>>();
  let info: AssociationInfo | undefined;
  let command: { contextId: number; pieces: Buffer[]; bytes: number } | undefined;
  let storing: { contextId: number; messageId: number; lane: StoreLane } | undefined;
  let instanceCount = 0;
  let byteCount = 0;
  let artim: NodeJS.Timeout | undefined;

  /** Whatever the peer still sends: a timer that every byte sets back could be held off for ever. */
  const destroyAfter = (ms: number): NodeJS.Timeout => {
    const timer = setTimeout(() => socket.destroy(), ms);
    socket.once('close', () => clearTimeout(timer));
    return timer;
  };

  /** Resolves when the peer has the A-ABORT, or will not have it. */
  const abort = async (reason: number): Promise<void> => {
    if (socket.destroyed) return;
    if (socket.writableEnded) {
      socket.destroy();
      return;
    }
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.end(formatAbort(2, reason), () => socket.destroy());
    // A peer that does not even read the A-ABORT.
    destroyAfter(ABORT_PATIENCE_MS);
    await closed;
  };

  const finish = () => {
    socket.end();
    destroyAfter(CLOSE_PATIENCE_MS);
  };

  const library = new ScpLibrary(librarySocket, {
    requested: (association) => {
      decide(association).catch((error: unknown) => {
        log.error({ event: 'association.failed', reason: toGatewayError(error).message });
        void abort(ABORT_NOT_SPECIFIED);
      });
    },
    released: () => {
      library.sendAssociationReleaseResponse();
      finish();
    },
    stored: (messageId) => {
      const answer = answers.get(messageId);
      answers.delete(messageId);
      return answer ?? Promise.resolve({ status: storeStatus('FAULT') });
    },
    failed: (error) => {
      log.warn({ event: 'association.failed', association: info?.id, reason: toGatewayError(error).message });
      void abort(ABORT_NOT_SPECIFIED);
    },
  });

  const decide = async (association: Association) => {
    const caller = {
      callingAe: association.getCallingAeTitle().trim(),
      calledAe: association.getCalledAeTitle().trim(),
      remoteAddress,
    };
    const rejection = await options.judge(caller);
    if (rejection !== undefined) {
      library.sendAssociationReject(rejection.result, rejection.source, rejection.reason);
      finish();
      return;
    }
    settleContexts(association, options.policy, contexts);
    clearTimeout(artim);
    info = { id: randomBytes(4).toString('hex'), ...caller, openedAtMs: Date.now() };
    handler.associationOpened?.(info);
    socket.setTimeout(options.idleTimeoutMs);
    library.accept(association, options.maxPduBytes);
    log.info({
      event: 'association.opened',
      association: info.id,
      callingAe: info.callingAe,
      calledAe: info.calledAe,
      remoteAddress,
    });
  };

  const startCommand = (set: CommandSet, contextId: number) => {
    const transferSyntaxUid = contexts.get(contextId);
    if (info === undefined || transferSyntaxUid === undefined || storing !== undefined)
      throw unexpected('a command');
    if (set.commandField === COMMAND_FIELDS.cStoreRequest && set.hasDataSet) {
      const { sopClassUid, sopInstanceUid, messageId } = set;
      const incoming = { association: info, sopClassUid, sopInstanceUid, transferSyntaxUid };
      storing = { contextId, messageId, lane: openStoreLane(handler, incoming, options.maxInstanceBytes) };
    } else if (
      set.commandField !== COMMAND_FIELDS.cEchoRequest &&
      set.commandField !== COMMAND_FIELDS.cCancelRequest
    ) {
      throw unexpected(`the command 0x${set.commandField.toString(16)}`);
    }
  };

  const takeCommand = (fragment: Fragment) => {
    command ??= { contextId: fragment.contextId, pieces: [], bytes: 0 };
    command.pieces.push(fragment.bytes);
    command.bytes += fragment.bytes.length;
    if (command.contextId !== fragment.contextId || command.bytes > MAX_COMMAND_BYTES)
      throw unexpected('a command');
    if (!fragment.isLast || !fragment.ends) return;
    const bytes = Buffer.concat(command.pieces);
    command = undefined;
    startCommand(parseCommandSet(bytes), fragment.contextId);
    library.forgetCommand();
    librarySocket.deliver(formatDataPdu(fragment.contextId, true, true, bytes));
  };

  const takeData = (fragment: Fragment): Promise<void> | undefined => {
    if (storing?.contextId !== fragment.contextId) throw unexpected('a data set');
    const { lane, messageId } = storing;
    byteCount += fragment.bytes.length;
    const wait = fragment.bytes.length === 0 ? undefined : lane.write(fragment.bytes);
    if (!fragment.isLast || !fragment.ends) return wait;
    storing = undefined;
    const answer = (wait ?? Promise.resolve()).then(() => answerOf(lane));
    answers.set(messageId, answer);
    librarySocket.deliver(formatDataPdu(fragment.contextId, false, true, Buffer.alloc(0)));
    // A peer that sends the next instance without waiting would have any number of them committed at once.
    return answer.then(() => undefined);
  };

  const answerOf = async (lane: StoreLane): Promise<StoreAnswer> => {
    const failure = await lane.end();
    if (failure === undefined) {
      instanceCount += 1;
      return { status: 0x0000 };
    }
    const status = storeStatus(failure.code);
    log.warn(
      { event: 'instance.refused', association: info?.id, code: failure.code, status },
      failure.message,
    );
    return { status, comment: failure.message };
  };

  const take = (frame: Frame): Promise<void> | undefined => {
    if (frame.kind === 'fragment') {
      if (info === undefined) throw unexpected('data before an association');
      if (!frame.isCommand) return takeData(frame);
      takeCommand(frame);
    } else {
      if (frame.type === PDU_TYPES.associateRequest) framer.associated();
      // Not every peer closes the connection after its A-ABORT.
      if (frame.type === PDU_TYPES.abort) socket.destroy();
      else librarySocket.deliver(frame.bytes);
    }
    return undefined;
  };

  const run = async () => {
    socket.setNoDelay(true);
    artim = destroyAfter(options.acceptTimeoutMs);
    socket.on('timeout', () => {
      log.info({ event: 'association.timed_out', association: info?.id, remoteAddress });
      void abort(ABORT_NOT_SPECIFIED);
    });
    socket.on('error', () => undefined);
    try {
      // Not destroyed when we leave the loop: the peer is still to be told why.
      for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        for (const frame of framer.feed(chunk)) {
          const wait = take(frame);
          if (wait !== undefined) await wait;
          // Who does not read our answers is not read either.
          if (socket.writableNeedDrain) await drained(socket);
        }
      }
    } catch (error) {
      if (!socket.destroyed) {
        const { code, message } = toGatewayError(error);
        log.warn({ event: 'association.aborted', association: info?.id, remoteAddress, code }, message);
        await abort(ABORT_UNEXPECTED_PDU);
      }
    }
    await storing?.lane.discard();
    librarySocket.emit('close');
    socket.destroy();
    if (info !== undefined) {
      handler.associationClosed?.(info);
      log.info({
        event: 'association.closed',
        association: info.id,
        instances: instanceCount,
        bytes: byteCount,
      });
    }
  };

  return {
    info: () => info,
    remoteAddress,
    instanceCount: () => instanceCount,
    bytes: () => byteCount,
    abort: () => void abort(ABORT_NOT_SPECIFIED),
    ended: run(),
  };
}

/** Gives every proposed context its result, and notes the accepted ones. */
function settleContexts(
  association: Association,
  policy: AssociationPolicy,
  accepted: Map<number, string>,
): void {
  for (const { id } of association.getPresentationContexts()) {
    const context = association.getPresentationContext(id);
    const judged = judgeContext(policy, context.getAbstractSyntaxUid(), context.getTransferSyntaxUids());
    if (judged.result === 0) {
      accepted.set(id, judged.transferSyntaxUid);
      context.setResult(judged.result, judged.transferSyntaxUid);
    } else {
      context.setResult(judged.result);
    }
  }
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.on('drain', done).on('close', done);
  });
}

function unexpected(what: string): GatewayError {
  return new GatewayError('PDU_TOO_LARGE', `${what} comes where it has no place`);
}
