/**
 * One data set into P-DATA-TF PDUs (PS3.8 §9.3.5 and Annex E), byte by byte as it lies on disk: it is neither parsed
 * nor rewritten. The command and the first piece go out in one write, and so do all the PDUs of each further piece. No
 * fragment reaches from one piece into the next, so that whoever reads the file may use one buffer for all.
 */
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { GatewayError } from '../errors/gateway-error.js';
import type { Reading } from './instance-reading.js';
import { dataHeader, PDV_HEADER_BYTES } from './scu-message.js';

/** Larger PDUs gain nothing, and some peers claim that they can take gigabytes. */
export const MAX_SENT_PDU_BYTES = 256 * 1024;
const NOTHING = Buffer.alloc(0);

export interface OutgoingDataSet {
  /** The PDUs of the command. */
  readonly command: Buffer;
  /** Presentation context id, odd, 1 to 255. */
  readonly contextId: number;
  /** Data per PDU; see `fragmentSize`. */
  readonly fragmentBytes: number;
  readonly reading: Reading;
  /** Aborted when the association is lost; ends the writing. */
  readonly signal: AbortSignal;
  /** Called whenever the peer has taken more. */
  readonly progressed: () => void;
}

/**
 * How much of a data set goes into one PDU. Fragments have even length but for an odd data set's last (PS3.7 Annex F).
 * @param peerMaxPduBytes the maximum that the peer announced; 0 = no limit (PS3.8 §D.1)
 * @param ownMaxPduBytes the most that we send
 * @throws PACS_REFUSED when it leaves no room for data
 */
export function fragmentSize(peerMaxPduBytes: number, ownMaxPduBytes: number): number {
  const limit = peerMaxPduBytes === 0 ? ownMaxPduBytes : Math.min(peerMaxPduBytes, ownMaxPduBytes);
  const room = limit - PDV_HEADER_BYTES;
  if (room < 2) {
    throw new GatewayError('PACS_REFUSED', `PACS takes PDUs of at most ${limit} bytes: no room for data`);
  }
  return room - (room % 2);
}

/**
 * Where PDUs are put together: one piece of a data set with all its headers becomes one write. Copying it costs less
 * than handing its PDUs to the stream one by one, of which many peers want a hundred for a megabyte.
 */
export class Frame {
  #bytes = Buffer.alloc(0);
  #length = 0;

  /** Empties it, and makes room for so many bytes. What was in it must have been taken by the peer. */
  begin(bytes: number): void {
    if (this.#bytes.length < bytes) this.#bytes = Buffer.allocUnsafeSlow(bytes);
    this.#length = 0;
  }

  add(bytes: Buffer, start = 0, end = bytes.length): void {
    this.#length += bytes.copy(this.#bytes, this.#length, start, end);
  }

  get whole(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }
}

/**
 * Sends a message with its data set. The first piece is on its way when this returns.
 * @param frame not in use by anyone else until this is done
 * @returns SHA-256, lower hex, of the data set as it went out
 * @throws what the source throws: the message is then incomplete, and the association must be aborted; the signal's
 * reason
 */
export async function writeDataSet(socket: Socket, frame: Frame, dataSet: OutgoingDataSet): Promise<string> {
  const { command, contextId, fragmentBytes, reading, signal, progressed } = dataSet;
  const { sizeBytes } = reading;
  const hash = createHash('sha256');
  const fullHeader = dataHeader(contextId, fragmentBytes, false);
  let sent = 0;
  /** The last byte of a piece that left an odd number of them. */
  let odd = NOTHING;

  const addFragment = (piece: Buffer, start: number, end: number): void => {
    const length = odd.length + end - start;
    sent += length;
    const isLast = sent === sizeBytes;
    frame.add(!isLast && length === fragmentBytes ? fullHeader : dataHeader(contextId, length, isLast));
    if (odd.length > 0) frame.add(odd);
    odd = NOTHING;
    frame.add(piece, start, end);
  };
  const write = (piece: Buffer, before: Buffer): Promise<void> => {
    const total = odd.length + piece.length;
    const isEven = sent + total === sizeBytes || total % 2 === 0;
    const usable = isEven ? piece.length : piece.length - 1;
    frame.begin(before.length + total + (Math.ceil(total / fragmentBytes) + 1) * fullHeader.length);
    frame.add(before);
    if (sizeBytes === 0) addFragment(piece, 0, 0);
    for (let at = 0; at < usable; ) {
      const end = Math.min(usable, at + fragmentBytes - odd.length);
      addFragment(piece, at, end);
      at = end;
    }
    if (usable < piece.length) odd = Buffer.from(piece.subarray(usable));
    return writeWhole(socket, frame.whole, signal);
  };

  signal.throwIfAborted();
  let written = write(reading.first, command);
  // Whoever called us has the next file to open, which is better done before this one is hashed than after it.
  await Promise.resolve();
  hash.update(reading.first);
  for (;;) {
    await written;
    progressed();
    const piece = await reading.next();
    if (piece === undefined) return hash.digest('hex');
    signal.throwIfAborted();
    written = write(piece, NOTHING);
    hash.update(piece);
  }
}

/** Resolves when the bytes have been taken, and their memory is free. */
function writeWhole(socket: Socket, bytes: Buffer, signal: AbortSignal): Promise<void> {
  const written = new Promise<void>((resolve, reject) => {
    const lost = () => reject(signal.reason);
    signal.addEventListener('abort', lost, { once: true });
    socket.write(bytes, () => {
      signal.removeEventListener('abort', lost);
      if (signal.aborted) lost();
      else resolve();
    });
  });
  // Whoever awaits it may still be hashing.
  written.catch(() => undefined);
  return written;
}
