/**
 * Command sets (PS3.7 §6.3.1, §9.3, §10.3, Annex E): always Implicit VR Little Endian, group 0000 alone. Reading takes
 * what stands there and judges nothing but the encoding; writing puts the elements in order, with the group length first.
 */
import { withoutPadding } from '../domain/uid.js';
import { GatewayError } from '../errors/gateway-error.js';

/** Command Field (0000,0100) by message (PS3.7 §E.1). */
export const COMMAND_FIELDS = {
  cStoreRequest: 0x0001,
  cStoreResponse: 0x8001,
  cEchoRequest: 0x0030,
  cEchoResponse: 0x8030,
  nEventReportRequest: 0x0100,
  nEventReportResponse: 0x8100,
  nActionRequest: 0x0130,
  nActionResponse: 0x8130,
  cCancelRequest: 0x0fff,
} as const;

/** The bit of a Command Field that makes a response of a request. */
export const RESPONSE_BIT = 0x8000;

/** Command Data Set Type that says: no data set follows; any other value says that one does (PS3.7 §E.1). */
const NO_DATA_SET = 0x0101;
const HAS_DATA_SET = 0x0001;
const ELEMENT_HEADER_BYTES = 8;
/** Of the element that says how long the others are. */
const GROUP_LENGTH_BYTES = ELEMENT_HEADER_BYTES + 4;
/** Error Comment (0000,0902) is of VR LO. */
const MAX_COMMENT_LENGTH = 64;

export interface CommandSet {
  readonly commandField: number;
  /** 0 in a response. */
  readonly messageId: number;
  /** Present in a response. */
  readonly messageIdBeingRespondedTo?: number;
  readonly hasDataSet: boolean;
  /** Affected or Requested SOP Class UID, padding removed; empty when there is none. */
  readonly sopClassUid: string;
  /** Affected or Requested SOP Instance UID, padding removed; empty when there is none. */
  readonly sopInstanceUid: string;
  /** Present in a response. */
  readonly status?: number;
  readonly errorComment?: string;
  /** Present in an N-EVENT-REPORT. */
  readonly eventTypeId?: number;
  /** Present in an N-ACTION. */
  readonly actionTypeId?: number;
}

/** What a command set may be made of; the names are the standard's keywords. */
export interface CommandElements {
  readonly commandField: number;
  readonly hasDataSet: boolean;
  readonly affectedSopClassUid?: string;
  readonly requestedSopClassUid?: string;
  readonly messageId?: number;
  readonly messageIdBeingRespondedTo?: number;
  readonly priority?: number;
  readonly status?: number;
  /** At most 64 characters are sent. */
  readonly errorComment?: string;
  readonly affectedSopInstanceUid?: string;
  readonly requestedSopInstanceUid?: string;
  readonly eventTypeId?: number;
  readonly actionTypeId?: number;
  readonly moveOriginatorAeTitle?: string;
  readonly moveOriginatorMessageId?: number;
}

type ElementName = Exclude<keyof CommandElements, 'hasDataSet'> | 'commandDataSetType';

/** Element numbers of group 0000, ascending as they are written. */
const ELEMENTS = {
  affectedSopClassUid: 0x0002,
  requestedSopClassUid: 0x0003,
  commandField: 0x0100,
  messageId: 0x0110,
  messageIdBeingRespondedTo: 0x0120,
  priority: 0x0700,
  commandDataSetType: 0x0800,
  status: 0x0900,
  errorComment: 0x0902,
  affectedSopInstanceUid: 0x1000,
  requestedSopInstanceUid: 0x1001,
  eventTypeId: 0x1002,
  actionTypeId: 0x1008,
  moveOriginatorAeTitle: 0x1030,
  moveOriginatorMessageId: 0x1031,
} as const satisfies Record<ElementName, number>;

const IN_ORDER = Object.entries(ELEMENTS) as readonly (readonly [ElementName, number])[];

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
  const short = (name: ElementName) => {
    const value = elements.get(ELEMENTS[name]);
    return value !== undefined && value.length >= 2 ? value.readUInt16LE(0) : undefined;
  };
  const text = (name: ElementName) => {
    const value = elements.get(ELEMENTS[name]);
    return value === undefined ? undefined : withoutPadding(value.toString('latin1'));
  };
  const commandField = short('commandField');
  if (commandField === undefined) throw broken();
  return {
    commandField,
    messageId: short('messageId') ?? 0,
    hasDataSet: (short('commandDataSetType') ?? NO_DATA_SET) !== NO_DATA_SET,
    sopClassUid: text('affectedSopClassUid') ?? text('requestedSopClassUid') ?? '',
    sopInstanceUid: text('affectedSopInstanceUid') ?? text('requestedSopInstanceUid') ?? '',
    ...present({
      messageIdBeingRespondedTo: short('messageIdBeingRespondedTo'),
      status: short('status'),
      errorComment: text('errorComment'),
      eventTypeId: short('eventTypeId'),
      actionTypeId: short('actionTypeId'),
    }),
  };
}

/** Encodes a command set, group length first. */
export function formatCommandSet(elements: CommandElements): Buffer {
  const values: [element: number, value: number | string][] = [];
  let length = GROUP_LENGTH_BYTES;
  for (const [name, element] of IN_ORDER) {
    const value = writtenValue(elements, name);
    if (value === undefined) continue;
    values.push([element, value]);
    length += ELEMENT_HEADER_BYTES + (typeof value === 'string' ? value.length : 2);
  }
  const bytes = Buffer.allocUnsafe(length);
  let at = writeHeader(bytes, 0, 0x0000, 4);
  at = bytes.writeUInt32LE(length - GROUP_LENGTH_BYTES, at);
  for (const [element, value] of values) {
    if (typeof value === 'string') {
      at = writeHeader(bytes, at, element, value.length);
      at += bytes.write(value, at, 'latin1');
    } else {
      at = bytes.writeUInt16LE(value, writeHeader(bytes, at, element, 2));
    }
  }
  return bytes;
}

/** Text as it is written: of even length (PS3.5 §6.2), and a comment cut. */
function writtenValue(elements: CommandElements, name: ElementName): number | string | undefined {
  if (name === 'commandDataSetType') return elements.hasDataSet ? HAS_DATA_SET : NO_DATA_SET;
  const value = elements[name];
  if (typeof value !== 'string') return value;
  const text = name === 'errorComment' ? value.slice(0, MAX_COMMENT_LENGTH) : value;
  return text.length % 2 === 0 ? text : `${text}${name.endsWith('Uid') ? '\0' : ' '}`;
}

/** @returns where the value begins */
function writeHeader(bytes: Buffer, at: number, element: number, length: number): number {
  bytes.writeUInt16LE(0x0000, at);
  bytes.writeUInt16LE(element, at + 2);
  return bytes.writeUInt32LE(length, at + 4);
}

/** Without the fields that have no value. */
function present<T extends object>(fields: T): { [Name in keyof T]?: Exclude<T[Name], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [Name in keyof T]?: Exclude<T[Name], undefined>;
  };
}

function broken(): GatewayError {
  return new GatewayError('DATASET_UNREADABLE', 'the command set cannot be read');
}
