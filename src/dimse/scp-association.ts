/**
 * One association with a peer that calls us, from the connection to its end: who is let in, what was agreed upon, the
 * release, and everything that may go wrong between. Association PDUs go to the library; commands and data sets to
 * `message-exchange`. Nothing is read that cannot be taken, and so, by TCP, the peer waits.
 */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { GatewayError, toGatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import type { Acceptance, AssociationJudge } from './association-judge.js';
import { plainAddress } from './association-policy.js';
import { type AssociationRequest, readAssociationRequest } from './association-request.js';
import { readChunks } from './chunk-reader.js';
import { certificateOf, tlsFactsOf } from './dicom-tls.js';
import { LibrarySocket } from './library-socket.js';
import { type AcceptedContext, createMessageExchange, type MessageExchange } from './message-exchange.js';
import { createPduFramer, type Frame, formatAbort, PDU_TYPES } from './pdu-framer.js';
import { type LibraryAssociation, ScpLibrary } from './scp-library.js';
import type { AssociationService } from './service.js';
import type { AssociationInfo, StoreHandler } from './store-scp.js';
import { addUserItems, type UserItems } from './user-items.js';

/** PS3.8 Table 9-26, reasons of the service provider. */
const ABORT_UNEXPECTED_PDU = 2;
const ABORT_NOT_SPECIFIED = 0;
const ABORT_PATIENCE_MS = 2_000;
/** A peer that has been released, or rejected, closes the connection; here is how long we wait for it. */
const CLOSE_PATIENCE_MS = 5_000;

export interface ScpAssociationOptions {
  readonly socket: Socket;
  readonly judge: AssociationJudge;
  readonly handler: StoreHandler;
  readonly services: readonly AssociationService[];
  readonly log: Log;
  /** Announced to the peer. */
  readonly maxPduBytes: number;
  readonly maxInstanceBytes: number;
  readonly idleTimeoutMs: number;
  readonly acceptTimeoutMs: number;
  /** After so long it is aborted, when what is under way is answered; absent: never. */
  readonly maxAssociationMs?: number;
  /** Counts bytes that came from an address. A promise means: read no more before; it may reject on abort. */
  readonly pace?: (address: string, bytes: number, signal: AbortSignal) => Promise<void> | undefined;
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
  const { socket, judge, handler, log } = options;
  const remoteAddress = plainAddress(socket.remoteAddress ?? '');
  const framer = createPduFramer(options.maxPduBytes);
  const closing = new AbortController();
  let request: AssociationRequest | undefined;
  /** Of the A-ASSOCIATE-AC, besides what the library writes. */
  let items: Partial<UserItems> | undefined;
  let info: AssociationInfo | undefined;
  let exchange: MessageExchange | undefined;
  let artim: NodeJS.Timeout | undefined;

  /** Whatever the peer still sends: a timer that every byte sets back could be held off for ever. */
  const destroyAfter = (ms: number) => onceAfter(ms, () => socket.destroy());
  const onceAfter = (ms: number, act: () => void): NodeJS.Timeout => {
    const timer = setTimeout(act, ms);
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

  const fail = (error: unknown) => {
    const { code, message } = toGatewayError(error);
    log.warn({ event: 'association.failed', association: info?.id, remoteAddress, code }, message);
    void abort(ABORT_NOT_SPECIFIED);
  };

  const send = (bytes: Buffer) => {
    if (!socket.destroyed && !socket.writableEnded) socket.write(bytes);
  };

  const librarySocket = new LibrarySocket(socket, (pdu) =>
    pdu[0] === PDU_TYPES.associateAccept && items !== undefined ? addUserItems(pdu, items) : pdu,
  );
  const library = new ScpLibrary(librarySocket, {
    requested: (association) => {
      decide(association).catch(fail);
    },
    released: () => {
      release().catch(fail);
    },
    failed: fail,
  });

  const decide = async (association: LibraryAssociation) => {
    if (request === undefined || info !== undefined) return;
    const verdict = await judge({ ...request, remoteAddress, certificate: certificateOf(socket) });
    if ('rejection' in verdict) {
      const { result, source, reason } = verdict.rejection;
      library.sendAssociationReject(result, source, reason);
      finish();
      return;
    }
    // It may have gone while it was judged.
    if (!socket.destroyed) accept(association, request, verdict.acceptance);
  };

  const accept = (association: LibraryAssociation, asked: AssociationRequest, acceptance: Acceptance) => {
    clearTimeout(artim);
    const { callingAe, calledAe } = asked;
    const { userName, asyncOperations } = acceptance;
    info = {
      id: randomBytes(4).toString('hex'),
      callingAe,
      calledAe,
      remoteAddress,
      openedAtMs: Date.now(),
      ...tlsFactsOf(socket),
      ...(userName === undefined ? {} : { userName }),
    };
    handler.associationOpened?.(info);
    socket.setTimeout(options.idleTimeoutMs);
    settleContexts(association, acceptance);
    items = { ...acceptance.items, maxPduBytes: options.maxPduBytes };
    library.sendAssociationAccept();
    const contexts = acceptedContexts(asked, acceptance);
    exchange = createMessageExchange({
      ...options,
      association: info,
      contexts,
      asyncOperations,
      peerMaxPduBytes: asked.items.maxPduBytes ?? 0,
      send,
    });
    if (options.maxAssociationMs !== undefined) onceAfter(options.maxAssociationMs, () => void expire());
    const { id, openedAtMs: _, ...facts } = info;
    log.info({ event: 'association.opened', association: id, ...facts });
  };

  const release = async () => {
    await exchange?.stop();
    library.sendAssociationReleaseResponse();
    finish();
  };

  const expire = async () => {
    // Nor may an instance that drips in hold it open for ever.
    onceAfter(options.idleTimeoutMs, () => socket.destroy());
    await exchange?.drain();
    log.warn({ event: 'association.expired', association: info?.id, remoteAddress });
    await abort(ABORT_NOT_SPECIFIED);
  };

  const takeChunk = (chunk: Buffer): Promise<void> | undefined => {
    const wait = takeFrames(framer.feed(chunk));
    const pause = options.pace?.(remoteAddress, chunk.length, closing.signal);
    if (pause === undefined) return wait;
    // It is not the peer that is silent meanwhile.
    socket.setTimeout(0);
    return Promise.all([wait, pause]).then(() => {
      socket.setTimeout(options.idleTimeoutMs);
    });
  };

  const takeFrames = (frames: Generator<Frame, void, void>): Promise<void> | undefined => {
    for (let next = frames.next(); !next.done; next = frames.next()) {
      // Who does not read our answers is not read either.
      const wait = takeFrame(next.value) ?? (socket.writableNeedDrain ? drained(socket) : undefined);
      if (wait !== undefined) return wait.then(() => takeFrames(frames));
    }
    return undefined;
  };

  const takeFrame = (frame: Frame): Promise<void> | undefined => {
    if (frame.kind === 'fragment') {
      if (exchange === undefined) throw new GatewayError('PDU_TOO_LARGE', 'data comes before an association');
      return exchange.take(frame);
    }
    if (frame.type === PDU_TYPES.associateRequest) {
      framer.associated();
      request = readAssociationRequest(frame.bytes);
    }
    // Not every peer closes the connection after its A-ABORT.
    if (frame.type === PDU_TYPES.abort) socket.destroy();
    else librarySocket.deliver(frame.bytes);
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
    socket.once('close', () => {
      closing.abort();
      void exchange?.stop();
    });
    try {
      await readChunks(socket, takeChunk);
    } catch (error) {
      if (!socket.destroyed) {
        const { code, message } = toGatewayError(error);
        log.warn({ event: 'association.aborted', association: info?.id, remoteAddress, code }, message);
        await abort(ABORT_UNEXPECTED_PDU);
      }
    }
    await exchange?.stop();
    librarySocket.emit('close');
    socket.destroy();
    if (info !== undefined) {
      handler.associationClosed?.(info);
      log.info({
        event: 'association.closed',
        association: info.id,
        instances: exchange?.instanceCount(),
        bytes: exchange?.bytes(),
      });
    }
  };

  return {
    info: () => info,
    remoteAddress,
    instanceCount: () => exchange?.instanceCount() ?? 0,
    bytes: () => exchange?.bytes() ?? 0,
    abort: () => void abort(ABORT_NOT_SPECIFIED),
    ended: run(),
  };
}

/** Tells the library the result of every proposed context. */
function settleContexts(association: LibraryAssociation, { contexts }: Acceptance): void {
  for (const { id } of association.getPresentationContexts()) {
    const judged = contexts.get(id);
    const context = association.getPresentationContext(id);
    if (judged?.result === 0) context.setResult(judged.result, judged.transferSyntaxUid);
    else context.setResult(judged?.result ?? 3);
  }
}

function acceptedContexts({ contexts }: AssociationRequest, acceptance: Acceptance): AcceptedContext[] {
  return contexts.flatMap(({ id, abstractSyntaxUid }) => {
    const judged = acceptance.contexts.get(id);
    return judged?.result === 0
      ? [{ id, abstractSyntaxUid, transferSyntaxUid: judged.transferSyntaxUid }]
      : [];
  });
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
