/** Taking an envelope: claimed first, then its archive, behind the bytes that an earlier attempt has left. */
import { createWriteStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { finished, pipeline } from 'node:stream/promises';
import type { TLSSocket } from 'node:tls';
import { GatewayError, isGatewayError } from '../../errors/gateway-error.js';
import { claimName } from '../exchange-names.js';
import type { Pace } from '../pace.js';
import type { TakeOptions, WaitingEnvelope } from '../transport.js';
import type { FtpsConnection } from './connection.js';
import { claimEnvelope } from './inbox.js';
import { createReceiver, type Receiver } from './receiver.js';
import { transfer } from './transfer.js';

/** Sockets give pieces of 16 KiB; so many bytes are gathered while the disk is busy, and written at once. */
const FILE_BUFFER_BYTES = 1024 * 1024;

/** @param folder the inbox on the server, without a slash at its end */
export async function takeEnvelope(
  connection: FtpsConnection,
  folder: string,
  { id, sizeBytes }: WaitingEnvelope,
  file: string,
  options: TakeOptions,
): Promise<void> {
  const { claimer } = connection.options;
  const there = await claimEnvelope(connection, folder, id, claimer);
  if (there !== sizeBytes) throw incomplete(there, sizeBytes);
  const path = `${folder}/${claimName(id, claimer)}`;
  const have = await sizeOfFile(file);
  const start = have > sizeBytes ? 0 : have;
  if (start === sizeBytes && have === sizeBytes) return;
  const taking = { path, file, sizeBytes, options };
  try {
    await download(connection, taking, start);
  } catch (error) {
    // A server that cannot begin in the middle says so to REST, before anything has come.
    if (start === 0 || !isGatewayError(error) || error.facts['command'] !== 'REST') throw error;
    await download(connection, taking, 0);
  }
}

interface Taking {
  readonly path: string;
  readonly file: string;
  readonly sizeBytes: number;
  readonly options: TakeOptions;
}

async function download(connection: FtpsConnection, taking: Taking, start: number): Promise<void> {
  const { path, file, sizeBytes, options } = taking;
  const { pace } = options;
  const receiver = createReceiver();
  const receive = (socket: TLSSocket) =>
    pace === undefined
      ? receiveInto(receiver, socket, file, start, sizeBytes, options)
      : receiveAtPace(pace, socket, file, start, sizeBytes, options);
  await transfer(connection, {
    command: `RETR ${path}`,
    restartAt: start,
    direction: 'down',
    ...(pace === undefined ? { receiver } : {}),
    async move(socket) {
      const bytes = start + (await receive(socket));
      // Not left for the server to say: it may wait long for a line that has broken.
      if (bytes !== sizeBytes) throw incomplete(bytes, sizeBytes);
    },
  });
}

async function receiveInto(
  receiver: Receiver,
  socket: TLSSocket,
  path: string,
  start: number,
  sizeBytes: number,
  { onBytes }: TakeOptions,
): Promise<number> {
  const file = await open(path, start === 0 ? 'w' : 'r+').catch((cause: unknown) => {
    throw new GatewayError('SPOOL_WRITE_FAILED', 'the archive cannot be written here', { cause });
  });
  try {
    return await receiver.into({ file, position: start, maxBytes: sizeBytes - start, onBytes }, socket);
  } finally {
    await file.close();
  }
}

/** The same at a pace, which needs streams. */
async function receiveAtPace(
  pace: Pace,
  socket: TLSSocket,
  file: string,
  start: number,
  sizeBytes: number,
  { onBytes }: TakeOptions,
): Promise<number> {
  const sink = createWriteStream(file, {
    flags: start === 0 ? 'w' : 'r+',
    start,
    highWaterMark: FILE_BUFFER_BYTES,
  });
  // Each is destroyed with the error of the other, so the first to fail is the one that did.
  let culprit: 'file' | 'line' | undefined;
  sink.once('error', () => {
    culprit ??= 'file';
  });
  socket.once('error', () => {
    culprit ??= 'line';
  });
  const closed = finished(sink, { readable: false }).catch(() => undefined);
  let count = 0;
  const flowing = pipeline(socket, pace.limiter(), sink);
  // Counted here and not in a stream of its own, since there are 65,536 pieces in a gibibyte.
  socket.on('data', (piece: Buffer) => {
    count += piece.length;
    onBytes?.(piece.length);
    if (start + count > sizeBytes) socket.destroy(incomplete(start + count, sizeBytes));
  });
  try {
    await flowing;
  } catch (error) {
    sink.destroy();
    await closed;
    if (culprit === 'file') {
      throw new GatewayError('SPOOL_WRITE_FAILED', 'the archive cannot be written here', { cause: error });
    }
    throw error;
  }
  return count;
}

async function sizeOfFile(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch {
    return 0;
  }
}

function incomplete(found: number, sizeBytes: number): GatewayError {
  return new GatewayError('ENVELOPE_INCOMPLETE', `the archive has ${found} bytes, expected ${sizeBytes}`, {
    facts: { sizeBytes: found, expectedBytes: sizeBytes },
  });
}
