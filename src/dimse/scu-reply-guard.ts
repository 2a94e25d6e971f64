/**
 * Between the socket of an association that we opened and the library: cuts what the peer sends into whole PDUs
 * (PS3.8 §9.3.1), each within a bound. The library itself believes any length, and joins what it gathers over and
 * over. Whether a PDU fits the state of the association is not judged here.
 */
import { GatewayError } from '../errors/gateway-error.js';

const HEADER_BYTES = 6;
const DATA_TF = 0x04;
/** Type → longest legal content. A-ASSOCIATE-RQ (1) is none of an acceptor's PDUs. */
const LIMITS: ReadonlyMap<number, number> = new Map([
  [0x02, 1024 * 1024], // A-ASSOCIATE-AC: 128 contexts of less than 100 bytes, with much to spare
  [0x03, 1024],
  [DATA_TF, 128 * 1024], // answers are some hundred bytes
  [0x05, 1024],
  [0x06, 1024],
  [0x07, 1024],
]);
/** All fragments of one answer together. */
const MAX_ANSWER_BYTES = 1024 * 1024;

export interface ReplyGuard {
  /** Takes bytes as they come. @throws PACS_REFUSED on what is not the protocol, or above its bound */
  feed(chunk: Buffer): Generator<Buffer, void, void>;
  /** A new answer is expected: its bytes are counted from zero. */
  expectAnswer(): void;
}

/** @param pacs `AE@host:port`, for the message */
export function createReplyGuard(pacs: string): ReplyGuard {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  let needed = HEADER_BYTES;
  let answerBytes = 0;

  return {
    expectAnswer() {
      answerBytes = 0;
    },
    *feed(chunk) {
      for (let at = 0; at < chunk.length; ) {
        const part = chunk.subarray(at, at + needed - pendingBytes);
        at += part.length;
        pending.push(part);
        pendingBytes += part.length;
        if (pendingBytes < needed) return;
        const bytes = Buffer.concat(pending, pendingBytes);
        if (needed === HEADER_BYTES) {
          const type = bytes.readUInt8(0);
          const length = bytes.readUInt32BE(2);
          answerBytes += type === DATA_TF ? length : 0;
          if (length > (LIMITS.get(type) ?? -1) || answerBytes > MAX_ANSWER_BYTES) {
            throw new GatewayError(
              'PACS_REFUSED',
              `${pacs} speaks no DICOM: PDU type ${type}, ${length} bytes`,
            );
          }
          needed += length;
        }
        if (pendingBytes < needed) {
          pending = [bytes];
          continue;
        }
        pending = [];
        pendingBytes = 0;
        needed = HEADER_BYTES;
        yield bytes;
      }
    },
  };
}
