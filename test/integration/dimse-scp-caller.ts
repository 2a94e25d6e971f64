/** A scripted modality on a real socket: raw PDUs towards an SCP under test, as wrong or as slow as a test wants. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { dataPdu } from '../hostile/support/raw-dicom.js';
import { until } from '../support/until.js';

export const CT = '1.2.840.10008.5.1.4.1.1.2';
export const VERIFICATION = '1.2.840.10008.1.1';
export const IMPLICIT = '1.2.840.10008.1.2';
/** The presentation contexts that `associate` asks for. */
export const STORE_CONTEXT = 1;
export const ECHO_CONTEXT = 3;

export const RELEASE_REQUEST = Buffer.from([5, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
export const ABORT_BY_USER = Buffer.from([7, 0, 0, 0, 0, 4, 0, 0, 0, 0]);

/** A P-DATA-TF PDU that holds one fragment. */
export function formatDataPdu(contextId: number, isCommand: boolean, isLast: boolean, bytes: Buffer): Buffer {
  return dataPdu({ contextId, control: (isCommand ? 1 : 0) | (isLast ? 2 : 0), bytes });
}

export interface Caller {
  readonly socket: Socket;
  send(...bytes: readonly Buffer[]): void;
  /** Everything received so far. */
  received(): Buffer;
  /** Statuses (0000,0900) of all responses so far. */
  statuses(): readonly number[];
  /** Resolves when the connection is closed, by whichever side. */
  readonly ended: Promise<unknown>;
}

export async function dial(port: number): Promise<Caller> {
  const socket = connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.setNoDelay(true);
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => undefined);
  const ended = new Promise((resolve) => socket.once('close', resolve));
  await once(socket, 'connect');
  const received = () => Buffer.concat(chunks);
  return {
    socket,
    ended,
    received,
    statuses: () => statusesIn(received()),
    send(...bytes) {
      for (const each of bytes) socket.write(each);
    },
  };
}

/** Dials, and asks for CT storage and verification. */
export async function associate(port: number): Promise<Caller> {
  const caller = await dial(port);
  caller.send(associateRequest());
  await until(() => caller.received()[0] === 2, { what: 'A-ASSOCIATE-AC' });
  return caller;
}

/** C-ECHO on an association of its own, released as it should be. */
export async function echo(port: number): Promise<void> {
  const caller = await associate(port);
  caller.send(echoRequest());
  await until(() => caller.statuses().length === 1, { what: 'C-ECHO is answered' });
  caller.send(RELEASE_REQUEST);
  await until(() => caller.received().at(-10) === 6, { what: 'A-RELEASE-RP' });
  caller.socket.end();
  await caller.ended;
  if (caller.statuses()[0] !== 0) throw new Error(`C-ECHO got the status ${caller.statuses()[0]}`);
}

export function associateRequest(
  contexts: readonly (readonly [id: number, abstractSyntax: string])[] = [
    [STORE_CONTEXT, CT],
    [ECHO_CONTEXT, VERIFICATION],
  ],
): Buffer {
  const proposals = contexts.map(([id, abstract]) =>
    item(
      0x20,
      Buffer.from([id, 0, 0, 0]),
      item(0x30, Buffer.from(abstract)),
      item(0x40, Buffer.from(IMPLICIT)),
    ),
  );
  const body = Buffer.concat([
    Buffer.from([0, 1, 0, 0]),
    Buffer.from('DRAWBRIDGE'.padEnd(16)),
    Buffer.from('CT1'.padEnd(16)),
    Buffer.alloc(32),
    item(0x10, Buffer.from('1.2.840.10008.3.1.1.1')),
    ...proposals,
    item(0x50, item(0x51, Buffer.from([0, 0, 0x40, 0])), item(0x52, Buffer.from('1.2.3'))),
  ]);
  const header = Buffer.from([1, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(body.length, 2);
  return Buffer.concat([header, body]);
}

export function echoRequest(messageId = 1): Buffer {
  const set = commandSet({ field: 0x0030, sopClass: VERIFICATION, hasDataSet: false, messageId });
  return formatDataPdu(ECHO_CONTEXT, true, true, set);
}

export function storeRequest(sopInstance = '1.2.3.4', messageId = 1): Buffer {
  const set = commandSet({ field: 0x0001, sopClass: CT, hasDataSet: true, messageId, sopInstance });
  return formatDataPdu(STORE_CONTEXT, true, true, set);
}

/** One fragment of a data set. */
export function data(bytes: Buffer, isLast: boolean): Buffer {
  return formatDataPdu(STORE_CONTEXT, false, isLast, bytes);
}

/** A command set in Implicit VR Little Endian (PS3.7 §6.3.1). */
export function commandSet(wish: {
  readonly field: number;
  readonly sopClass: string;
  readonly hasDataSet: boolean;
  readonly messageId?: number;
  readonly sopInstance?: string;
}): Buffer {
  const elements = Buffer.concat([
    element(0x0002, text(wish.sopClass)),
    element(0x0100, short(wish.field)),
    element(0x0110, short(wish.messageId ?? 1)),
    element(0x0700, short(0)),
    element(0x0800, short(wish.hasDataSet ? 1 : 0x0101)),
    ...(wish.sopInstance === undefined ? [] : [element(0x1000, text(wish.sopInstance))]),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(elements.length);
  return Buffer.concat([element(0x0000, length), elements]);
}

function statusesIn(received: Buffer): number[] {
  const found: number[] = [];
  const status = Buffer.from('0000000902000000', 'hex');
  for (let at = received.indexOf(status); at >= 0; at = received.indexOf(status, at + 1)) {
    if (at + 10 <= received.length) found.push(received.readUInt16LE(at + 8));
  }
  return found;
}

function item(type: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const header = Buffer.from([type, 0, 0, 0]);
  header.writeUInt16BE(body.length, 2);
  return Buffer.concat([header, body]);
}

function element(number: number, value: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt16LE(number, 2);
  header.writeUInt32LE(value.length, 4);
  return Buffer.concat([header, value]);
}

function short(value: number): Buffer {
  return Buffer.from([value & 0xff, value >> 8]);
}

function text(value: string): Buffer {
  return Buffer.from(value.length % 2 === 0 ? value : `${value}\0`);
}
