/**
 * One transfer: a command, the data over a connection of their own, and the server's word in the end. What the server
 * says counts for more than how the data connection broke: a full disk breaks it too.
 */
import type { TLSSocket } from 'node:tls';
import { GatewayError } from '../../errors/gateway-error.js';
import { classifyFtpError, classifyReply, type Reply, verbOf } from './classify.js';
import type { FtpsConnection } from './connection.js';
import { openDataConnection } from './data-connection.js';
import type { Receiver } from './receiver.js';

/** After a data connection has broken, the server may say why; it has this long. */
const LAST_WORD_MS = 3_000;

/** So many times as long may this side hold a transfer up, which is no stall of theirs but must end too. */
const OUR_STALLS = 10;

export interface Transfer {
  /** As `STOR <path>`. */
  readonly command: string;
  /** Bytes to be passed over; the server is asked (REST) when it is above 0. */
  readonly restartAt?: number;
  readonly direction: 'up' | 'down';
  /** Gets what the server sends, in place of a stream. */
  readonly receiver?: Receiver;
  /** Moves the data; the socket is encrypted and verified. Resolves when they all have left or come. */
  readonly move: (socket: TLSSocket) => Promise<void>;
}

/**
 * Resolves when the server has said that all is well.
 * @throws PEER_REFUSED with the fact `reply` when it will have nothing of it, then the connection can be used further;
 *   otherwise what `classifyReply` and `classifyFtpError` make of what happened, and what `move` throws
 */
export async function transfer(connection: FtpsConnection, options: Transfer): Promise<void> {
  const { command, restartAt = 0, direction, receiver, move } = options;
  const { socket, verified } = await openDataConnection(connection, receiver?.onread);
  let moving: Promise<void> | undefined;
  try {
    if (restartAt > 0) await connection.order(`REST ${restartAt}`);
    const { started, ended } = connection.begin(command);
    // A server whose TLS fails says so where it likes, so its reply is waited for too.
    await lastWord(Promise.all([started, verified]), ended, command);
    moving = watchStall(connection, socket, options, () => move(socket));
    await lastWord(Promise.race([moving, failed(ended, command)]), ended, command);
    const { replyMs, storedMs } = connection.timeouts;
    connection.expectReply(direction === 'up' ? storedMs : replyMs);
    const reply = await ended;
    if (reply.code >= 300) throw classifyReply(reply, verbOf(command));
  } finally {
    socket.destroy();
    await moving?.catch(() => undefined);
  }
}

/** Rejects when the transfer fails; does not resolve when it succeeds, for then its data decide. */
async function failed(ended: Promise<Reply>, command: string): Promise<never> {
  const reply = await ended;
  if (reply.code >= 300) throw classifyReply(reply, verbOf(command));
  return await new Promise<never>(() => undefined);
}

/** When `work` fails because the data connection broke, the server's reason is thrown, as far as it gives one. */
async function lastWord<T>(work: Promise<T>, ended: Promise<Reply>, command: string): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const broken = classifyFtpError(error, verbOf(command));
    if (broken.code !== 'PEER_UNREACHABLE' || broken.facts['reply'] !== undefined) throw broken;
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), LAST_WORD_MS);
    });
    const reply = await Promise.race([ended.catch(() => undefined), silence]);
    clearTimeout(timer);
    throw reply !== undefined && reply.code >= 300 ? classifyReply(reply, verbOf(command)) : broken;
  }
}

/** Only what the far side keeps us waiting for is a stall; a pace or a slow disk of ours is none. */
async function watchStall(
  { timeouts }: FtpsConnection,
  socket: TLSSocket,
  { direction, receiver }: Transfer,
  work: () => Promise<void>,
): Promise<void> {
  let patience = OUR_STALLS;
  let moved = 0;
  const idle = () => {
    const isHolding = receiver === undefined ? socket.isPaused() : receiver.isHolding();
    const waitsForThem = direction === 'up' ? socket.writableLength > 0 : !isHolding;
    const bytes = socket.bytesRead + socket.bytesWritten;
    patience = bytes === moved ? patience - 1 : OUR_STALLS;
    moved = bytes;
    if (!waitsForThem && patience > 0) {
      socket.setTimeout(timeouts.stallMs);
      return;
    }
    socket.destroy(new GatewayError('PEER_UNREACHABLE', `nothing moved for ${timeouts.stallMs} ms`));
  };
  socket.on('timeout', idle);
  socket.setTimeout(timeouts.stallMs);
  try {
    await work();
  } finally {
    socket.off('timeout', idle);
    socket.setTimeout(0);
  }
}
