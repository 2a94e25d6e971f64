/** Bytes of PDUs and command sets (PS3.8 §9.3, PS3.7 §6.3), each part of which a test may get wrong on purpose. */

export const CT = '1.2.840.10008.5.1.4.1.1.2';
export const VERIFICATION = '1.2.840.10008.1.1';
export const IMPLICIT = '1.2.840.10008.1.2';
export const EXPLICIT = '1.2.840.10008.1.2.1';
export const DEFLATED = '1.2.840.10008.1.2.1.99';
const APPLICATION_CONTEXT = '1.2.840.10008.3.1.1.1';

export function pdu(type: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const header = Buffer.from([type, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(body.length, 2);
  return Buffer.concat([header, body]);
}

/** @param length what it says, where that is not the truth */
export function item(type: number, body: Buffer, length = body.length): Buffer {
  const header = Buffer.from([type, 0, 0, 0]);
  header.writeUInt16BE(length, 2);
  return Buffer.concat([header, body]);
}

export interface ProposedContext {
  readonly id: number;
  readonly abstractSyntax?: string;
  readonly transferSyntaxes?: readonly string[];
}

export interface Associate {
  readonly protocolVersion?: number;
  /** Padded and cut to 16 bytes. */
  readonly callingAe?: string;
  readonly calledAe?: string;
  readonly applicationContext?: Buffer;
  readonly contexts?: readonly ProposedContext[];
  /** Sub-items of the user information. */
  readonly userItems?: readonly Buffer[];
  /** After everything else. */
  readonly more?: readonly Buffer[];
}

export const MAXIMUM_LENGTH = item(0x51, Buffer.from([0, 0, 0x40, 0]));
const STANDARD_CONTEXTS: readonly ProposedContext[] = [{ id: 1 }, { id: 3, abstractSyntax: VERIFICATION }];

export function associateRequest(wish: Associate = {}): Buffer {
  const { contexts = STANDARD_CONTEXTS, userItems = [MAXIMUM_LENGTH, item(0x52, Buffer.from('1.2.3'))] } =
    wish;
  return pdu(
    1,
    Buffer.from([0, wish.protocolVersion ?? 1, 0, 0]),
    aeTitle(wish.calledAe ?? 'DRAWBRIDGE'),
    aeTitle(wish.callingAe ?? 'CT1'),
    Buffer.alloc(32),
    wish.applicationContext ?? item(0x10, Buffer.from(APPLICATION_CONTEXT)),
    ...contexts.map(context),
    item(0x50, Buffer.concat(userItems)),
    ...(wish.more ?? []),
  );
}

function aeTitle(text: string): Buffer {
  return Buffer.from(text.padEnd(16).slice(0, 16), 'latin1');
}

function context({ id, abstractSyntax = CT, transferSyntaxes = [IMPLICIT] }: ProposedContext): Buffer {
  return item(
    0x20,
    Buffer.concat([
      Buffer.from([id, 0, 0, 0]),
      item(0x30, Buffer.from(abstractSyntax, 'latin1')),
      ...transferSyntaxes.map((uid) => item(0x40, Buffer.from(uid, 'latin1'))),
    ]),
  );
}

export interface Fragment {
  readonly contextId?: number;
  /** Message control header: bit 0 command, bit 1 last (PS3.8 §E.2). */
  readonly control: number;
  readonly bytes: Buffer;
  /** What its item length says, where that is not the truth. */
  readonly length?: number;
}

export const COMMAND = 1;
export const LAST = 2;

/** One P-DATA-TF of these fragments. */
export function dataPdu(...fragments: readonly Fragment[]): Buffer {
  return pdu(
    4,
    ...fragments.map(({ contextId = 1, control, bytes, length = bytes.length + 2 }) => {
      const header = Buffer.from([0, 0, 0, 0, contextId, control]);
      header.writeUInt32BE(length, 0);
      return Buffer.concat([header, bytes]);
    }),
  );
}

/** An element in Implicit VR Little Endian. @param length what it says, where that is not the truth */
export function element(group: number, number: number, value: Buffer | string, length?: number): Buffer {
  const bytes = typeof value === 'string' ? even(value) : value;
  const header = Buffer.alloc(8);
  header.writeUInt16LE(group, 0);
  header.writeUInt16LE(number, 2);
  header.writeUInt32LE(length ?? bytes.length, 4);
  return Buffer.concat([header, bytes]);
}

function even(text: string): Buffer {
  return Buffer.from(text.length % 2 === 0 ? text : `${text}\0`, 'latin1');
}

export function short(value: number): Buffer {
  return Buffer.from([value & 0xff, value >> 8]);
}

export interface StoreCommand {
  readonly field?: number;
  readonly messageId?: number;
  readonly sopClassUid?: string;
  /** Left out altogether when undefined. */
  readonly sopInstanceUid?: string | undefined;
  readonly dataSetType?: number;
}

/** C-STORE-RQ of what the data set of `ctDataSet` holds, but for what is wished otherwise. */
export function storeCommand(wish: StoreCommand = {}): Buffer {
  const sopInstanceUid = 'sopInstanceUid' in wish ? wish.sopInstanceUid : INSTANCE;
  return commandSet(
    element(0, 0x0002, wish.sopClassUid ?? CT),
    element(0, 0x0100, short(wish.field ?? 0x0001)),
    element(0, 0x0110, short(wish.messageId ?? 1)),
    element(0, 0x0700, short(0)),
    element(0, 0x0800, short(wish.dataSetType ?? 1)),
    ...(sopInstanceUid === undefined ? [] : [element(0, 0x1000, sopInstanceUid)]),
  );
}

export function commandSet(...elements: readonly Buffer[]): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(Buffer.concat(elements).length);
  return Buffer.concat([element(0, 0, length), ...elements]);
}

export const INSTANCE = '1.2.826.0.1.3680043.9.1';
export const STUDY = '1.2.826.0.1.3680043.9.2';

export interface DataSetWish {
  readonly sopClassUid?: string;
  readonly sopInstanceUid?: string;
  /** Left out altogether when undefined. */
  readonly studyInstanceUid?: string | undefined;
  /** Between the Study Instance UID and the series. */
  readonly more?: Buffer;
}

/** The least that an instance needs, in Implicit VR Little Endian. */
export function ctDataSet(wish: DataSetWish = {}): Buffer {
  const studyInstanceUid = 'studyInstanceUid' in wish ? wish.studyInstanceUid : STUDY;
  return Buffer.concat([
    element(0x0008, 0x0016, wish.sopClassUid ?? CT),
    element(0x0008, 0x0018, wish.sopInstanceUid ?? INSTANCE),
    element(0x0008, 0x0060, 'CT'),
    ...(studyInstanceUid === undefined ? [] : [element(0x0020, 0x000d, studyInstanceUid)]),
    element(0x0020, 0x000e, `${STUDY}.1`),
    ...(wish.more === undefined ? [] : [wish.more]),
  ]);
}
