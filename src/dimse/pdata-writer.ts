/**
 * One data set into P-DATA-TF PDUs (PS3.8 §9.3.5 and Annex E), byte by byte as it lies on disk: it is neither parsed
 * nor rewritten. The command and the first piece go out in one write, and so do all the PDUs of each further piece. No
 * fragment reaches from one piece into the next, so that whoever reads the file may use one buffer for all.
 *
 * A PACS waits for the next message while it has nothing to do: so the first write of a message is put together, and
 * its bytes are hashed, before its turn comes.
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
}

/** Where a message goes. */
export interface Line {
  readonly socket: Socket;
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

/** A message with its data set, about to be sent: its first write is ready. */
export class OutgoingMessage {
  readonly #frame: Frame;
  readonly #dataSet: OutgoingDataSet;
  readonly #fullHeader: Buffer;
  readonly #hash = createHash('sha256');
  /** Bytes of the data set that have been put into PDUs. */
  #framed = 0;
  /** The last byte of a piece that left an odd number of them. */
  #odd = NOTHING;

  /** @param frame not in use by anyone else until the message is written */
  constructor(frame: Frame, dataSet: OutgoingDataSet) {
    this.#frame = frame;
    this.#dataSet = dataSet;
    this.#fullHeader = dataHeader(dataSet.contextId, dataSet.fragmentBytes, false);
    const { first } = dataSet.reading;
    this.#put(first, dataSet.command);
    this.#hash.update(first);
  }

  /**
   * Sends it. The first piece is on its way when this returns.
   * @returns SHA-256, lower hex, of the data set as it went out
   * @throws what the source throws: the message is then incomplete, and the association must be aborted; the signal's
   * reason
   */
  async write({ socket, signal, progressed }: Line): Promise<string> {
    for (;;) {
      signal.throwIfAborted();
      const written = writeWhole(socket, this.#frame.whole, signal);
      // While the peer takes the one piece, the next is read and hashed.
      const piece = await this.#dataSet.reading.next();
      if (piece !== undefined) this.#hash.update(piece);
      if (written !== undefined) await written;
      progressed();
      if (piece === undefined) return this.#hash.digest('hex');
      this.#put(piece, NOTHING);
    }
  }

  /** Puts a piece, after what goes before it, into the frame. */
  #put(piece: Buffer, before: Buffer): void {
    const { fragmentBytes, reading } = this.#dataSet;
    const total = this.#odd.length + piece.length;
    const isEven = this.#framed + total === reading.sizeBytes || total % 2 === 0;
    const usable = isEven ? piece.length : piece.length - 1;
    const headers = (Math.ceil(total / fragmentBytes) + 1) * this.#fullHeader.length;
    this.#frame.begin(before.length + total + headers);
    this.#frame.add(before);
    if (reading.sizeBytes === 0) this.#addFragment(piece, 0, 0);
    for (let at = 0; at < usable; ) {
      const end = Math.min(usable, at + fragmentBytes - this.#odd.length);
      this.#addFragment(piece, at, end);
      at = end;
    }
    if (usable < piece.length) this.#odd = Buffer.from(piece.subarray(usable));
  }

  #addFragment(piece: Buffer, start: number, end: number): void {
    const { contextId, fragmentBytes, reading } = this.#dataSet;
    const length = this.#odd.length + end - start;
    this.#framed += length;
    const isLast = this.#framed === reading.sizeBytes;
    const isFull = !isLast && length === fragmentBytes;
    this.#frame.add(isFull ? this.#fullHeader : dataHeader(contextId, length, isLast));
    this.#frame.add(this.#odd);
    this.#odd = NOTHING;
    this.#frame.add(piece, start, end);
  }
}

/** Resolves when the bytes have been taken, and their memory is free; undefined when that is so already. */
function writeWhole(socket: Socket, bytes: Buffer, signal: AbortSignal): Promise<void> | undefined {
  let taken: () => void = () => undefined;
  socket.write(bytes, () => taken());
  if (socket.writableLength === 0) return undefined;
  const written = new Promise<void>((resolve, reject) => {
    const lost = () => reject(signal.reason);
    signal.addEventListener('abort', lost, { once: true });
    taken = () => {
      signal.removeEventListener('abort', lost);
      if (signal.aborted) lost();
      else resolve();
    };
  });
  // Whoever awaits it may still be reading.
  written.catch(() => undefined);
  return written;
}
