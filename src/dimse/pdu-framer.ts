/**
 * Cuts the byte stream of an association into PDUs (PS3.8 §9.3), and P-DATA-TF PDUs into fragments, without joining
 * what need not be joined: the bytes of a data set pass through as slices of what the socket gave. Everything that is
 * gathered has a bound, checked against the announced length before a byte of it is kept.
 */
import { GatewayError } from '../errors/gateway-error.js';

export const PDU_TYPES = {
  associateRequest: 0x01,
  associateAccept: 0x02,
  associateReject: 0x03,
  data: 0x04,
  releaseRequest: 0x05,
  releaseResponse: 0x06,
  abort: 0x07,
} as const;

/** Type, reserved byte, 4-byte length. */
const HEADER_BYTES = 6;
/** Item length, presentation context id, message control header (PS3.8 §9.3.5.1, Annex E.2). */
const PDV_HEADER_BYTES = 6; // as long as a PDU header, which `feed` makes use of
/** Everything but P-DATA-TF and A-ASSOCIATE is a handful of bytes. */
const MAX_SMALL_PDU_BYTES = 1024;
/** 128 presentation contexts with dozens of transfer syntaxes each fit well. */
const MAX_ASSOCIATE_BYTES = 1024 * 1024;

export type Frame =
  /** A whole PDU other than P-DATA-TF, header included. */
  { readonly kind: 'pdu'; readonly type: number; readonly bytes: Buffer } | Fragment;

/** Some bytes of one fragment; `ends` with the fragment's last byte. */
export interface Fragment {
  readonly kind: 'fragment';
  readonly contextId: number;
  readonly isCommand: boolean;
  readonly isLast: boolean;
  readonly bytes: Buffer;
  readonly ends: boolean;
}

export interface PduFramer {
  /** Takes bytes as they come. @throws PDU_TOO_LARGE on anything that is not the protocol */
  feed(chunk: Buffer): Generator<Frame, void, void>;
  /** The first PDU has been seen: from now on P-DATA-TF is legal. */
  associated(): void;
}

/** @param maxPduBytes what we announced as our maximum length (PS3.8 Annex D.1) */
export function createPduFramer(maxPduBytes: number): PduFramer {
  /** What is gathered before the next decision; allocated once, so that a peer of one byte a packet costs no more. */
  let gathering: Buffer = Buffer.alloc(HEADER_BYTES);
  let gathered = 0;
  let pduType = 0;
  /** Bytes left in the current P-DATA-TF. */
  let dataLeft = 0;
  let fragment: { contextId: number; isCommand: boolean; isLast: boolean; left: number } | undefined;
  let isAssociated = false;

  const gather = (bytes: number) => {
    gathering = Buffer.allocUnsafe(bytes);
    gathered = 0;
  };

  const startPdu = (header: Buffer) => {
    pduType = header.readUInt8(0);
    const length = header.readUInt32BE(2);
    const limit = limitOf(pduType, isAssociated, maxPduBytes);
    if (length > limit) {
      throw new GatewayError(
        'PDU_TOO_LARGE',
        `a PDU of type ${pduType} announces ${length} bytes, expected at most ${limit}`,
      );
    }
    if (pduType === PDU_TYPES.data) dataLeft = length;
    return length;
  };

  return {
    associated() {
      isAssociated = true;
    },
    *feed(chunk) {
      let at = 0;
      while (at < chunk.length || (fragment !== undefined && fragment.left === 0)) {
        if (fragment !== undefined) {
          const bytes = chunk.subarray(at, at + fragment.left);
          at += bytes.length;
          fragment.left -= bytes.length;
          const ends = fragment.left === 0;
          const { contextId, isCommand, isLast } = fragment;
          if (ends) fragment = undefined;
          yield { kind: 'fragment', contextId, isCommand, isLast, bytes, ends };
          continue;
        }
        const taken = chunk.copy(gathering, gathered, at);
        at += taken;
        gathered += taken;
        if (gathered < gathering.length) return;
        const whole = gathering;
        gather(HEADER_BYTES);
        if (dataLeft > 0) {
          fragment = readPdvHeader(whole, dataLeft);
          dataLeft -= PDV_HEADER_BYTES + fragment.left;
        } else if (whole.length > HEADER_BYTES) {
          yield { kind: 'pdu', type: pduType, bytes: whole };
        } else {
          const length = startPdu(whole);
          if (pduType === PDU_TYPES.data) continue;
          if (length === 0) {
            yield { kind: 'pdu', type: pduType, bytes: whole };
          } else {
            gather(HEADER_BYTES + length);
            gathered = whole.copy(gathering);
          }
        }
      }
    },
  };
}

function limitOf(type: number, isAssociated: boolean, maxPduBytes: number): number {
  if (!isAssociated) {
    if (type === PDU_TYPES.associateRequest) return MAX_ASSOCIATE_BYTES;
    throw new GatewayError('PDU_TOO_LARGE', `expected A-ASSOCIATE-RQ first, the peer sends type ${type}`);
  }
  if (type === PDU_TYPES.data) return maxPduBytes;
  if (type === PDU_TYPES.releaseRequest || type === PDU_TYPES.releaseResponse || type === PDU_TYPES.abort) {
    return MAX_SMALL_PDU_BYTES;
  }
  throw new GatewayError('PDU_TOO_LARGE', `a PDU of type ${type} has no place in an association`);
}

function readPdvHeader(header: Buffer, dataLeft: number) {
  const length = header.readUInt32BE(0);
  // The item length counts the context id and the control header, but not itself.
  if (length < 2 || length + 4 > dataLeft) {
    throw new GatewayError('PDU_TOO_LARGE', `a fragment of ${length} bytes does not fit in its PDU`);
  }
  const control = header.readUInt8(5);
  return {
    contextId: header.readUInt8(4),
    isCommand: (control & 0x01) !== 0,
    isLast: (control & 0x02) !== 0,
    left: length - 2,
  };
}

/** A-ABORT (PS3.8 §9.3.8): source 2 is the service provider. */
export function formatAbort(source: 0 | 2, reason: number): Buffer {
  return Buffer.from([PDU_TYPES.abort, 0, 0, 0, 0, 4, 0, 0, source, reason]);
}
