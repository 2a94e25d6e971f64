/**
 * What comes in on an association that we opened, cut into whole PDUs (PS3.8 §9.3.1), each within a bound. The library
 * itself believes any length, and joins what it gathers over and over. Whether a PDU fits the state of the association
 * is not judged here.
 */
import { GatewayError } from '../errors/gateway-error.js';

const HEADER_BYTES = 6;
/** Type → longest legal content. A-ASSOCIATE-RQ (1) is none of an acceptor's PDUs. */
const LIMITS: ReadonlyMap<number, number> = new Map([
  [0x02, 1024 * 1024], // A-ASSOCIATE-AC: 128 contexts of less than 100 bytes, with much to spare
  [0x03, 1024],
  [0x04, 128 * 1024], // some peers heed no maximum; answers are some hundred bytes
  [0x05, 1024],
  [0x06, 1024],
  [0x07, 1024],
]);

export interface ReplyGuard {
  /** Takes bytes as they come. @throws PACS_REFUSED on what is not the protocol, or above its bound */
  feed(chunk: Buffer): Generator<Buffer, void, void>;
}

/** @param pacs `AE@host:port`, for the message */
export function createReplyGuard(pacs: string): ReplyGuard {
  /** A PDU that has not come whole; allocated once when its length is known. */
  let gathering: Buffer | undefined;
  let gathered = 0;
  const header = Buffer.alloc(HEADER_BYTES);

  const lengthOf = (bytes: Buffer): number => {
    const type = bytes.readUInt8(0);
    const length = bytes.readUInt32BE(2);
    if (length > (LIMITS.get(type) ?? -1)) {
      throw new GatewayError('PACS_REFUSED', `${pacs} speaks no DICOM: PDU type ${type}, ${length} bytes`);
    }
    return HEADER_BYTES + length;
  };

  return {
    *feed(chunk) {
      for (let at = 0; at < chunk.length; ) {
        if (gathered === 0 && chunk.length - at >= HEADER_BYTES) {
          const end = at + lengthOf(chunk.subarray(at));
          if (end <= chunk.length) {
            const whole = chunk.subarray(at, end);
            at = end;
            yield whole;
            continue;
          }
        }
        const into: Buffer = gathering ?? header;
        const taken = chunk.copy(into, gathered, at);
        at += taken;
        gathered += taken;
        if (gathered < into.length) return;
        if (gathering === undefined) {
          const length = lengthOf(header);
          gathering = Buffer.alloc(length);
          header.copy(gathering);
          if (length > HEADER_BYTES) continue;
        }
        const whole = gathering;
        gathering = undefined;
        gathered = 0;
        yield whole;
      }
    },
  };
}
