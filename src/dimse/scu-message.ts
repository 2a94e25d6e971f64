/**
 * DIMSE messages on an association that we opened (PS3.8 §9.3.5, Annex E): whole ones into P-DATA-TF PDUs, and what the
 * peer sends out of them. Answers and requests to us are small, and bounded; data sets of C-STOREs have a writer of
 * their own (`pdata-writer`).
 */
import { GatewayError } from '../errors/gateway-error.js';
import { type CommandElements, type CommandSet, formatCommandSet, parseCommandSet } from './command-set.js';

const PDU_HEADER_BYTES = 6;
/** Item length, presentation context id, message control header: they count towards the maximum length. */
export const PDV_HEADER_BYTES = 6;
const DATA_TF = 0x04;
/** Bits of the message control header (PS3.8 §E.2). */
const COMMAND = 0x01;
const LAST = 0x02;
const MAX_COMMAND_BYTES = 64 * 1024;

export interface Message {
  readonly contextId: number;
  readonly command: CommandSet;
  readonly dataSet?: Buffer;
  /** Its data set is above the bound; none of it was kept. */
  readonly tooLarge?: true;
}

export interface MessageReader {
  /** Takes a whole P-DATA-TF PDU. @throws GatewayError on what is no DIMSE message */
  feed(pdu: Buffer): Generator<Message, void, void>;
}

/** @param maxDataSetBytes the bound for a data set of this command, in bytes */
export function createMessageReader(maxDataSetBytes: (command: CommandSet) => number): MessageReader {
  let parts: Buffer[] = [];
  let gathered = 0;
  let limit = MAX_COMMAND_BYTES;
  let started: { readonly contextId: number; readonly command: CommandSet } | undefined;

  const take = (bytes: Buffer) => {
    gathered += bytes.length;
    if (gathered <= limit) parts.push(bytes);
    else parts = [];
  };
  const whole = (): Buffer => {
    const [first] = parts;
    const bytes = parts.length === 1 && first !== undefined ? first : Buffer.concat(parts);
    parts = [];
    gathered = 0;
    return bytes;
  };

  return {
    *feed(pdu) {
      for (let at = PDU_HEADER_BYTES; at < pdu.length; ) {
        if (at + PDV_HEADER_BYTES > pdu.length) throw broken('a fragment without a header');
        const end = at + 4 + pdu.readUInt32BE(at);
        const contextId = pdu.readUInt8(at + 4);
        const control = pdu.readUInt8(at + 5);
        if (end < at + PDV_HEADER_BYTES || end > pdu.length) throw broken('a fragment longer than its PDU');
        const isCommand = (control & COMMAND) !== 0;
        if (isCommand !== (started === undefined)) throw broken('a data set without a command');
        if (started !== undefined && started.contextId !== contextId) throw broken('fragments out of order');
        take(pdu.subarray(at + PDV_HEADER_BYTES, end));
        at = end;
        if (isCommand && gathered > limit) throw broken('a command without an end');
        if ((control & LAST) === 0) continue;
        if (started === undefined) {
          const command = parseCommandSet(whole());
          if (!command.hasDataSet) {
            yield { contextId, command };
            continue;
          }
          started = { contextId, command };
          limit = maxDataSetBytes(command);
          continue;
        }
        const tooLarge = gathered > limit;
        const dataSet = whole();
        const message = started;
        started = undefined;
        limit = MAX_COMMAND_BYTES;
        yield { ...message, ...(tooLarge ? { tooLarge } : { dataSet }) };
      }
    },
  };
}

/** A whole message as PDUs. @param maxPduBytes of the peer; 0 = no limit */
export function formatMessage(
  contextId: number,
  command: CommandElements,
  dataSet: Buffer | undefined,
  maxPduBytes: number,
): Buffer {
  const room = maxPduBytes === 0 ? 2 ** 31 : maxPduBytes - PDV_HEADER_BYTES;
  return Buffer.concat([
    ...fragments(contextId, COMMAND, formatCommandSet(command), room),
    ...(dataSet === undefined ? [] : fragments(contextId, 0, dataSet, room)),
  ]);
}

function* fragments(contextId: number, kind: number, bytes: Buffer, room: number): Generator<Buffer> {
  for (let at = 0; at === 0 || at < bytes.length; at += room) {
    const part = bytes.subarray(at, at + room);
    yield fragmentHeader(contextId, kind | (at + room >= bytes.length ? LAST : 0), part.length);
    yield part;
  }
}

/** The header of a P-DATA-TF PDU that holds one fragment of a data set. */
export function dataHeader(contextId: number, length: number, isLast: boolean): Buffer {
  return fragmentHeader(contextId, isLast ? LAST : 0, length);
}

function fragmentHeader(contextId: number, control: number, length: number): Buffer {
  const header = Buffer.allocUnsafe(PDU_HEADER_BYTES + PDV_HEADER_BYTES);
  header.writeUInt16BE(DATA_TF << 8, 0);
  header.writeUInt32BE(PDV_HEADER_BYTES + length, 2);
  header.writeUInt32BE(2 + length, 6);
  header.writeUInt8(contextId, 10);
  header.writeUInt8(control, 11);
  return header;
}

function broken(what: string): GatewayError {
  return new GatewayError('PACS_REFUSED', `the PACS sends ${what}`);
}
