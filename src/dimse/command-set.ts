/**
 * The few elements of a DIMSE command set that decide where its data set goes (PS3.7 §6.3.1: always Implicit VR Little
 * Endian, group 0000). The command itself is the library's to interpret.
 */
import { withoutPadding } from '../domain/uid.js';
import { GatewayError } from '../errors/gateway-error.js';

export const COMMAND_FIELDS = {
  cStoreRequest: 0x0001,
  cEchoRequest: 0x0030,
  cCancelRequest: 0x0fff,
} as const;

/** Command Data Set Type that says: no data set follows (PS3.7 §E.1). */
const NO_DATA_SET = 0x0101;
const ELEMENT_HEADER_BYTES = 8;

export interface CommandSet {
  readonly commandField: number;
  readonly messageId: number;
  readonly hasDataSet: boolean;
  /** Affected SOP Class UID, padding removed. */
  readonly sopClassUid: string;
  /** Affected SOP Instance UID, padding removed. */
  readonly sopInstanceUid: string;
}

/** @throws DATASET_UNREADABLE when it is no command set */
export function parseCommandSet(bytes: Buffer): CommandSet {
  const elements = new Map<number, Buffer>();
  for (let at = 0; at < bytes.length; ) {
    if (at + ELEMENT_HEADER_BYTES > bytes.length) throw broken();
    const group = bytes.readUInt16LE(at);
    const element = bytes.readUInt16LE(at + 2);
    const length = bytes.readUInt32LE(at + 4);
    at += ELEMENT_HEADER_BYTES;
    if (group !== 0 || at + length > bytes.length) throw broken();
    elements.set(element, bytes.subarray(at, at + length));
    at += length;
  }
  const short = (element: number) => {
    const value = elements.get(element);
    return value !== undefined && value.length >= 2 ? value.readUInt16LE(0) : undefined;
  };
  const text = (element: number) => withoutPadding(elements.get(element)?.toString('latin1') ?? '');
  const commandField = short(0x0100);
  if (commandField === undefined) throw broken();
  return {
    commandField,
    messageId: short(0x0110) ?? 0,
    hasDataSet: (short(0x0800) ?? NO_DATA_SET) !== NO_DATA_SET,
    sopClassUid: text(0x0002),
    sopInstanceUid: text(0x1000),
  };
}

function broken(): GatewayError {
  return new GatewayError('DATASET_UNREADABLE', 'the command set cannot be read');
}
