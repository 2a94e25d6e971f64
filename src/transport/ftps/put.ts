/**
 * Putting an envelope: to `<id>.JMIX.tar.part`, behind what is there already; when the server has every byte, under its
 * final name. Bytes are only ever appended, so that two who put one envelope at once never leave a file of the right
 * size with a hole in it: they get one that is too long, and begin again.
 */
import { Transform } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { GatewayError, isGatewayError } from '../../errors/gateway-error.js';
import { envelopeArchiveSize, envelopeMediaType, openEnvelopeArchive } from '../../jmix/envelope-archive.js';
import { archiveName, partName } from '../exchange-names.js';
import { pumpArchive } from '../pump.js';
import type { OutgoingEnvelope, PutOptions } from '../transport.js';
import { isBeginning } from './comparison.js';
import type { FtpsConnection } from './connection.js';
import { remove, rename, sizeOf } from './remote-files.js';
import { transfer } from './transfer.js';

/** How often a file that grows while we look is looked at again, and how long it must have stood still. */
const LOOKS = 5;
const LOOK_EVERY_MS = 300;

/** @param folder the outbox on the server, without a slash at its end */
export async function putEnvelope(
  connection: FtpsConnection,
  folder: string,
  envelope: OutgoingEnvelope,
  options: PutOptions,
): Promise<void> {
  const mediaType = await envelopeMediaType(envelope.folder);
  const final = `${folder}/${archiveName(envelope.id, mediaType)}`;
  const part = `${folder}/${partName(envelope.id, mediaType)}`;
  const sizeBytes = await envelopeArchiveSize(envelope.folder);
  const there = await sizeOf(connection, final);
  if (there !== undefined) {
    if (there === sizeBytes && (await isBeginning(connection, final, there, envelope.folder))) return;
    throw new GatewayError('ENVELOPE_EXISTS', 'another envelope lies on the server under this id', {
      facts: { sizeBytes: there, expectedBytes: sizeBytes },
    });
  }
  const offset = await offsetOf(connection, part, sizeBytes, envelope);
  if (offset > 0) options.onResume?.(offset);
  let sent = false;
  const onSent = async () => {
    sent = true;
    await options.onSent?.();
  };
  try {
    if (offset < sizeBytes) await send(connection, { part, offset, sizeBytes, envelope, options, onSent });
    else await onSent();
    const stored = await sizeOf(connection, part);
    if (stored !== undefined && stored !== sizeBytes) throw changed(stored, sizeBytes);
    const renamed = stored !== undefined && (await rename(connection, part, final));
    await checkFinal(connection, final, sizeBytes, renamed);
  } catch (error) {
    throw sent ? unconfirmed(error) : error;
  }
}

/** Somebody who put the same envelope may have renamed our file, or still have appended to it when we did. */
async function checkFinal(
  connection: FtpsConnection,
  final: string,
  sizeBytes: number,
  renamed: boolean,
): Promise<void> {
  const stored = await sizeOf(connection, final);
  // What we have renamed, the receiver may have claimed already.
  if (stored === sizeBytes || (stored === undefined && renamed)) return;
  if (stored !== undefined) await remove(connection, final);
  throw changed(stored, sizeBytes);
}

/** How many bytes of the archive are there already; a file that is no beginning of it is removed. */
async function offsetOf(
  connection: FtpsConnection,
  part: string,
  sizeBytes: number,
  envelope: OutgoingEnvelope,
): Promise<number> {
  const there = await restingSize(connection, part);
  if (there === 0) return 0;
  if (there <= sizeBytes && (await isBeginning(connection, part, there, envelope.folder))) {
    if ((await sizeOf(connection, part)) === there) return there;
    throw new GatewayError('PEER_BUSY', 'this envelope is being put by somebody else');
  }
  await remove(connection, part);
  return 0;
}

/** A server may still be writing what it was sent over a connection that is broken by now. */
async function restingSize(connection: FtpsConnection, part: string): Promise<number> {
  let size = await sizeOf(connection, part);
  for (let look = 0; size !== undefined && look < LOOKS; look += 1) {
    await pause(LOOK_EVERY_MS);
    const now = await sizeOf(connection, part);
    if (now === size) return size;
    size = now;
  }
  if (size === undefined) return 0;
  throw new GatewayError('PEER_BUSY', 'this envelope is being put by somebody else');
}

interface Sending {
  readonly part: string;
  readonly offset: number;
  readonly sizeBytes: number;
  readonly envelope: OutgoingEnvelope;
  readonly options: PutOptions;
  readonly onSent: () => Promise<void>;
}

/** APPE; where a server has no such thing, STOR, from where the last one broke or, at worst, from the beginning. */
async function send(connection: FtpsConnection, sending: Sending): Promise<void> {
  const { part, offset } = sending;
  if (await upload(connection, sending, `APPE ${part}`, offset, 0)) return;
  if (offset > 0) {
    if (await upload(connection, sending, `STOR ${part}`, offset, offset)) return;
    await remove(connection, part);
  }
  await upload(connection, sending, `STOR ${part}`, 0, 0, 'last');
}

/** False when the server would not even begin, so that another way can be tried. */
async function upload(
  connection: FtpsConnection,
  { envelope, options, onSent }: Sending,
  command: string,
  offset: number,
  restartAt: number,
  attempt?: 'last',
): Promise<boolean> {
  let begun = false;
  const move = async (socket: TLSSocket) => {
    begun = true;
    await sendArchive(socket, envelope.folder, offset, options);
    await onSent();
  };
  try {
    await transfer(connection, { command, restartAt, direction: 'up', move });
    return true;
  } catch (error) {
    if (begun || attempt === 'last' || !saysNo(error)) throw error;
    return false;
  }
}

/** By a reply that is about the command: ProFTPD's is 451 when files must not be appended to, others have 5yz. */
function saysNo(error: unknown): boolean {
  if (!isGatewayError(error) || typeof error.facts['reply'] !== 'number') return false;
  const { code, facts } = error;
  return code === 'PEER_REFUSED' || facts['reply'] === 450 || facts['reply'] === 451;
}

async function sendArchive(
  socket: TLSSocket,
  folder: string,
  offset: number,
  { onBytes, pace }: PutOptions,
): Promise<void> {
  if (pace === undefined) {
    await pumpArchive(folder, offset, socket, { onBytes });
    socket.end();
    await finished(socket, { readable: false });
    return;
  }
  const { stream } = await openEnvelopeArchive(folder, offset);
  await pipeline(stream, pace.limiter(), counting(onBytes), socket);
}

function counting(onBytes: PutOptions['onBytes']): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      onBytes?.(chunk.length);
      done(null, chunk);
    },
  });
}

function changed(stored: number | undefined, sizeBytes: number): GatewayError {
  const found = stored === undefined ? 'nothing' : `${stored} bytes`;
  return new GatewayError(
    'PEER_BUSY',
    `the server has ${found} of what was put, expected ${sizeBytes} bytes`,
    {
      facts: { storedBytes: stored, expectedBytes: sizeBytes },
    },
  );
}

/** All had left: whoever hears nothing then does not know whether it is there. */
function unconfirmed(error: unknown): unknown {
  if (!isGatewayError(error) || error.code !== 'PEER_UNREACHABLE' || error.facts['reply'] !== undefined)
    return error;
  return new GatewayError('SHIP_UNCONFIRMED', 'the connection broke after the last byte, before the answer', {
    cause: error,
  });
}
