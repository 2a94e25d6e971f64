/**
 * One data set into P-DATA-TF PDUs (PS3.8 §9.3.5 and Annex E), byte by byte as it lies on disk: it is neither parsed
 * nor rewritten. One fragment per PDU, one PDU after another as fast as the peer takes them; no more than a chunk of
 * the source and the socket's own buffer is in memory at any time.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { GatewayError } from '../errors/gateway-error.js';

/** Larger PDUs gain nothing, and some peers claim that they can take gigabytes. */
export const MAX_SENT_PDU_BYTES = 256 * 1024;
/** Item length, presentation context id, message control header: they count towards the peer's maximum. */
const PDV_HEADER_BYTES = 6;
const PDU_HEADER_BYTES = 6;
const DATA_TF = 0x04;
/** Message control header of a data set fragment; bit 1 marks the last (PS3.8 §E.2). */
const LAST_FRAGMENT = 0x02;

export interface OutgoingDataSet {
  /** Presentation context id, odd, 1 to 255. */
  readonly contextId: number;
  /** Data per PDU; see `fragmentSize`. */
  readonly fragmentBytes: number;
  readonly sizeBytes: number;
  /** The bytes. A chunk must not be overwritten after it was given. */
  readonly chunks: AsyncIterable<Buffer>;
  /** Aborted when the association is lost; ends the writing. */
  readonly signal: AbortSignal;
  /** Called whenever the peer has taken more. */
  readonly progressed: () => void;
}

/**
 * How much of a data set goes into one PDU. Fragments have even length but for an odd data set's last (PS3.7 Annex F).
 * @param peerMaxPduBytes the maximum that the peer announced; 0 = no limit (PS3.8 §D.1)
 * @throws PACS_REFUSED when it leaves no room for data
 */
export function fragmentSize(peerMaxPduBytes: number): number {
  const limit = peerMaxPduBytes === 0 ? MAX_SENT_PDU_BYTES : Math.min(peerMaxPduBytes, MAX_SENT_PDU_BYTES);
  const room = limit - PDV_HEADER_BYTES;
  if (room < 2) {
    throw new GatewayError('PACS_REFUSED', `PACS takes PDUs of at most ${limit} bytes: no room for data`);
  }
  return room - (room % 2);
}

/**
 * Sends a data set.
 * @returns SHA-256, lower hex, of what went out
 * @throws SPOOL_CORRUPT when the source has not `sizeBytes` bytes: the message is then incomplete, and the
 * association must be aborted; what the source throws; the signal's reason, or an AbortError
 */
export async function writeDataSet(socket: Socket, dataSet: OutgoingDataSet): Promise<string> {
  const { sizeBytes, fragmentBytes, signal } = dataSet;
  const hash = createHash('sha256');
  const writeFragment = (parts: readonly Buffer[], length: number, isLast: boolean) => {
    socket.write(fragmentHeader(dataSet.contextId, length, isLast));
    for (const part of parts) socket.write(part);
  };

  let parts: Buffer[] = [];
  let gathered = 0;
  let sent = 0;
  for await (const chunk of dataSet.chunks) {
    signal.throwIfAborted();
    if (sent + gathered + chunk.length > sizeBytes) throw wrongSize(sizeBytes, 'more');
    hash.update(chunk);
    // One system call for all the PDUs of a chunk.
    socket.cork();
    for (let at = 0; at < chunk.length; ) {
      const part = chunk.subarray(at, at + fragmentBytes - gathered);
      parts.push(part);
      at += part.length;
      gathered += part.length;
      if (gathered < fragmentBytes) continue;
      sent += gathered;
      writeFragment(parts, gathered, sent === sizeBytes);
      parts = [];
      gathered = 0;
    }
    socket.uncork();
    if (socket.writableNeedDrain) await once(socket, 'drain', { signal });
    dataSet.progressed();
  }
  signal.throwIfAborted();
  if (sent + gathered !== sizeBytes) throw wrongSize(sizeBytes, sent + gathered);
  if (gathered > 0 || sizeBytes === 0) writeFragment(parts, gathered, true);
  return hash.digest('hex');
}

function fragmentHeader(contextId: number, length: number, isLast: boolean): Buffer {
  const header = Buffer.alloc(PDU_HEADER_BYTES + PDV_HEADER_BYTES);
  header.writeUInt8(DATA_TF, 0);
  header.writeUInt32BE(PDV_HEADER_BYTES + length, 2);
  header.writeUInt32BE(2 + length, 6);
  header.writeUInt8(contextId, 10);
  header.writeUInt8(isLast ? LAST_FRAGMENT : 0, 11);
  return header;
}

function wrongSize(expected: number, found: number | 'more'): GatewayError {
  return new GatewayError('SPOOL_CORRUPT', `data set has ${found} bytes, expected ${expected}`);
}
