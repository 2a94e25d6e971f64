/** A scripted PACS on a real socket: each connection runs a list of steps against raw PDUs. For tests. */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { parseAeTitle } from '../../src/domain/ae-title.js';

export interface Pdu {
  readonly type: number;
  readonly body: Buffer;
}

export interface PeerConnection {
  readonly socket: Socket;
  /** The next PDU; undefined when the other side has closed. */
  receive(): Promise<Pdu | undefined>;
  send(...bytes: Buffer[]): void;
}

export type Script = (connection: PeerConnection, number: number) => Promise<void>;

export interface ScriptedPeer {
  readonly pacs: { aeTitle: ReturnType<typeof parseAeTitle>; host: string; port: number };
  readonly connections: number;
  close(): Promise<void>;
}

export const PDU = { reject: 3, data: 4, releaseRequest: 5, releaseResponse: 6, abort: 7 } as const;

export async function startPeer(script: Script): Promise<ScriptedPeer> {
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    connections += 1;
    socket.on('error', () => undefined);
    script(connectionOf(socket), connections).catch((error) => socket.destroy(error));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    pacs: { aeTitle: parseAeTitle('PACS'), host: '127.0.0.1', port: address.port },
    get connections() {
      return connections;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function connectionOf(socket: Socket): PeerConnection {
  const chunks = socket[Symbol.asyncIterator]();
  let buffered = Buffer.alloc(0);
  const fill = async (bytes: number): Promise<boolean> => {
    const parts = [buffered];
    let length = buffered.length;
    while (length < bytes) {
      const next = await chunks.next().catch(() => ({ done: true as const, value: undefined }));
      if (next.done) return false;
      parts.push(next.value);
      length += next.value.length;
    }
    buffered = Buffer.concat(parts, length);
    return true;
  };
  return {
    socket,
    send: (...bytes) => {
      socket.write(Buffer.concat(bytes));
    },
    async receive() {
      if (!(await fill(6))) return undefined;
      const length = buffered.readUInt32BE(2);
      if (!(await fill(6 + length))) return undefined;
      const pdu = { type: buffered.readUInt8(0), body: buffered.subarray(6, 6 + length) };
      buffered = buffered.subarray(6 + length);
      return pdu;
    },
  };
}

export function pdu(type: number, body: Buffer): Buffer {
  const header = Buffer.alloc(6);
  header.writeUInt8(type, 0);
  header.writeUInt32BE(body.length, 2);
  return Buffer.concat([header, body]);
}

export interface Proposed {
  readonly id: number;
  readonly abstractSyntax: string;
  readonly transferSyntax: string;
}

/** The presentation contexts of an A-ASSOCIATE-RQ. */
export function proposedContexts(request: Buffer): Proposed[] {
  const contexts: Proposed[] = [];
  for (let at = 68; at < request.length; at += 4 + request.readUInt16BE(at + 2)) {
    if (request.readUInt8(at) !== 0x20) continue;
    const abstractLength = request.readUInt16BE(at + 10);
    const transferAt = at + 12 + abstractLength;
    contexts.push({
      id: request.readUInt8(at + 4),
      abstractSyntax: request.toString('latin1', at + 12, transferAt),
      transferSyntax: request.toString(
        'latin1',
        transferAt + 4,
        transferAt + 4 + request.readUInt16BE(transferAt + 2),
      ),
    });
  }
  return contexts;
}

const item = (type: number, body: Buffer) => {
  const header = Buffer.alloc(4);
  header.writeUInt8(type, 0);
  header.writeUInt16BE(body.length, 2);
  return Buffer.concat([header, body]);
};

export interface AcceptOptions {
  readonly maxPduBytes?: number;
  /** Result of a context; 0 (acceptance) by default. */
  readonly result?: (context: Proposed) => number;
  readonly transferSyntax?: (context: Proposed) => string;
  /** Operations that we let the other side have outstanding; the item is left out when absent. */
  readonly asyncOperations?: number;
  /** The user identity is confirmed. */
  readonly confirmsUser?: boolean;
}

/** A-ASSOCIATE-AC to a request. */
export function accept(request: Buffer, options: AcceptOptions = {}): Buffer {
  const contexts = proposedContexts(request).map((context) =>
    item(
      0x21,
      Buffer.concat([
        Buffer.from([context.id, 0, options.result?.(context) ?? 0, 0]),
        item(0x40, Buffer.from(options.transferSyntax?.(context) ?? context.transferSyntax)),
      ]),
    ),
  );
  const maxLength = Buffer.alloc(4);
  maxLength.writeUInt32BE(options.maxPduBytes ?? 16_384);
  return pdu(
    2,
    Buffer.concat([
      request.subarray(0, 68),
      item(0x10, Buffer.from('1.2.840.10008.3.1.1.1')),
      ...contexts,
      item(
        0x50,
        Buffer.concat([
          item(0x51, maxLength),
          item(0x52, Buffer.from('2.25.1')),
          ...(options.asyncOperations === undefined
            ? []
            : [item(0x53, Buffer.from([0, options.asyncOperations, 0, 1]))]),
          ...(options.confirmsUser === true ? [item(0x59, Buffer.from([0, 0]))] : []),
        ]),
      ),
    ]),
  );
}

const us = (element: number, value: number) => {
  const bytes = Buffer.alloc(10);
  bytes.writeUInt16LE(element, 2);
  bytes.writeUInt32LE(2, 4);
  bytes.writeUInt16LE(value, 8);
  return bytes;
};

/** The response to a command PDU: C-STORE-RSP or C-ECHO-RSP with this status, or with none. */
export function respond(command: Pdu, status: number | undefined): Buffer {
  const set = command.body.subarray(6);
  const shortOf = (element: number) =>
    set.readUInt16LE(set.indexOf(Buffer.from([0, 0, element & 0xff, element >> 8, 2, 0, 0, 0])) + 8);
  const elements = Buffer.concat([
    us(0x0100, shortOf(0x0100) | 0x8000),
    us(0x0120, shortOf(0x0110)),
    us(0x0800, 0x0101),
    ...(status === undefined ? [] : [us(0x0900, status)]),
  ]);
  const groupLength = Buffer.alloc(12);
  groupLength.writeUInt32LE(4, 4);
  groupLength.writeUInt32LE(elements.length, 8);
  const fragment = Buffer.concat([Buffer.from([command.body.readUInt8(4), 0x03]), groupLength, elements]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(fragment.length);
  return pdu(PDU.data, Buffer.concat([length, fragment]));
}

/** One C-STORE as it arrived. */
export interface Arrived {
  readonly command: Pdu;
  readonly contextId: number;
  readonly dataSet: Buffer;
  readonly fragments: readonly { readonly length: number; readonly isLast: boolean }[];
}

/** Receives a C-STORE-RQ with its data set; undefined when something else comes, which `other` gets. */
export async function receiveStore(
  connection: PeerConnection,
  other: (pdu: Pdu | undefined) => void = () => undefined,
): Promise<Arrived | undefined> {
  const command = await receiveCommand(connection, other);
  if (command === undefined) return undefined;
  const parts: Buffer[] = [];
  const fragments: { length: number; isLast: boolean }[] = [];
  for (;;) {
    const data = await connection.receive();
    if (data?.type !== PDU.data) {
      other(data);
      return undefined;
    }
    const isLast = (data.body.readUInt8(5) & 0x02) !== 0;
    parts.push(data.body.subarray(6));
    fragments.push({ length: data.body.length, isLast });
    if (isLast) {
      return { command, contextId: command.body.readUInt8(4), dataSet: Buffer.concat(parts), fragments };
    }
  }
}

/** A command, its fragments joined into one PDU; undefined when something else comes, which `other` gets. */
export async function receiveCommand(
  connection: PeerConnection,
  other: (pdu: Pdu | undefined) => void = () => undefined,
): Promise<Pdu | undefined> {
  const parts: Buffer[] = [];
  for (;;) {
    const fragment = await connection.receive();
    if (fragment?.type !== PDU.data) {
      other(fragment);
      return undefined;
    }
    parts.push(fragment.body.subarray(parts.length === 0 ? 0 : 6));
    if ((fragment.body.readUInt8(5) & 0x02) !== 0) return { type: PDU.data, body: Buffer.concat(parts) };
  }
}

/** The calling AE title of an A-ASSOCIATE-RQ. */
export function callingAeOf(request: Buffer): string {
  return request.toString('latin1', 20, 36).trim();
}

/** A PACS that answers each C-STORE by `status`, and releases politely. */
export function storingScript(
  status: (arrived: Arrived, number: number) => number | undefined,
  options: AcceptOptions & { readonly seen?: (contexts: readonly Proposed[]) => void } = {},
): Script {
  return async (connection) => {
    const request = await connection.receive();
    if (request === undefined) return;
    options.seen?.(proposedContexts(request.body));
    connection.send(accept(request.body, options));
    for (let number = 1; ; number += 1) {
      let last: Pdu | undefined;
      const arrived = await receiveStore(connection, (other) => {
        last = other;
      });
      if (arrived === undefined) {
        if (last?.type === PDU.releaseRequest) connection.send(pdu(PDU.releaseResponse, Buffer.alloc(4)));
        return;
      }
      connection.send(respond(arrived.command, status(arrived, number)));
    }
  };
}
