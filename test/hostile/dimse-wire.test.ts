/** Peers that do not speak DICOM, or speak it badly: each is dropped, and the next one is served as if nothing was. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Scp, startScp } from '../../src/dimse/scp.js';
import { silentLog } from '../../src/observe/log.js';
import { formatDataPdu } from '../integration/dimse-scp-caller.js';
import { until } from '../support/until.js';

const CT = '1.2.840.10008.5.1.4.1.1.2';
const VERIFICATION = '1.2.840.10008.1.1';
const IMPLICIT = '1.2.840.10008.1.2';

let scp: Scp;
let opened = 0;
let closed = 0;
let discarded = 0;
let committed: Buffer[] = [];
const sockets: Socket[] = [];

beforeEach(async () => {
  opened = closed = discarded = 0;
  committed = [];
  scp = await startScp({
    host: '127.0.0.1',
    port: 0,
    policy: { calledAes: ['DRAWBRIDGE'], callers: [], anyCaller: true, privateSopClasses: [] },
    handler: {
      associationOpened: () => {
        opened += 1;
      },
      associationClosed: () => {
        closed += 1;
      },
      async begin() {
        const chunks: Buffer[] = [];
        return {
          write: (chunk) => {
            chunks.push(chunk);
          },
          commit: async () => {
            committed.push(Buffer.concat(chunks));
          },
          discard: async () => {
            discarded += 1;
          },
        };
      },
    },
    log: silentLog,
    idleTimeoutMs: 1_000,
    acceptTimeoutMs: 500,
    maxAssociations: 5,
    maxAssociationsPerCaller: 5,
    maxPduBytes: 16_384,
    maxInstanceBytes: 100_000,
  });
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await scp.close(0);
});

interface Peer {
  send(bytes: Buffer): void;
  /** Everything received so far. */
  received(): Buffer;
  readonly ended: Promise<unknown>;
  socket: Socket;
}

async function dial(): Promise<Peer> {
  const socket = connect(scp.port, '127.0.0.1');
  sockets.push(socket);
  let received = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
  });
  socket.on('error', () => undefined);
  const ended = once(socket, 'close');
  await once(socket, 'connect');
  return { socket, send: (bytes) => socket.write(bytes), received: () => received, ended };
}

function item(type: number, body: Buffer): Buffer {
  const header = Buffer.from([type, 0, 0, 0]);
  header.writeUInt16BE(body.length, 2);
  return Buffer.concat([header, body]);
}

function associateRequest(contexts: readonly (readonly [number, string])[]): Buffer {
  const proposals = contexts.map(([id, abstract]) =>
    item(
      0x20,
      Buffer.concat([
        Buffer.from([id, 0, 0, 0]),
        item(0x30, Buffer.from(abstract)),
        item(0x40, Buffer.from(IMPLICIT)),
      ]),
    ),
  );
  const body = Buffer.concat([
    Buffer.from([0, 1, 0, 0]),
    Buffer.from('DRAWBRIDGE'.padEnd(16)),
    Buffer.from('CT1'.padEnd(16)),
    Buffer.alloc(32),
    item(0x10, Buffer.from('1.2.840.10008.3.1.1.1')),
    ...proposals,
    item(0x50, Buffer.concat([item(0x51, Buffer.from([0, 0, 0x40, 0])), item(0x52, Buffer.from('1.2.3'))])),
  ]);
  const header = Buffer.from([1, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(body.length, 2);
  return Buffer.concat([header, body]);
}

function element(number: number, value: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt16LE(number, 2);
  header.writeUInt32LE(value.length, 4);
  return Buffer.concat([header, value]);
}

const short = (value: number) => Buffer.from([value & 0xff, value >> 8]);
const text = (value: string) => Buffer.from(value.length % 2 === 0 ? value : `${value}\0`);

function command(field: number, sopClass: string, hasDataSet: boolean, instance?: string): Buffer {
  const elements = Buffer.concat([
    element(0x0002, text(sopClass)),
    element(0x0100, short(field)),
    element(0x0110, short(1)),
    element(0x0700, short(0)),
    element(0x0800, short(hasDataSet ? 1 : 0x0101)),
    ...(instance === undefined ? [] : [element(0x1000, text(instance))]),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(elements.length);
  return Buffer.concat([element(0x0000, length), elements]);
}

const STORE = command(0x0001, CT, true, '1.2.3.4');
const ECHO = command(0x0030, VERIFICATION, false);

async function associated(): Promise<Peer> {
  const peer = await dial();
  peer.send(
    associateRequest([
      [1, CT],
      [3, VERIFICATION],
    ]),
  );
  await until(() => peer.received()[0] === 2, { what: 'A-ASSOCIATE-AC' });
  return peer;
}

/** The status of the last response, 0x0900 in its command set. */
function lastStatus(received: Buffer): number | undefined {
  const at = received.lastIndexOf(Buffer.from('0000000902000000', 'hex'));
  return at < 0 ? undefined : received.readUInt16LE(at + 8);
}

async function servesOthers(): Promise<void> {
  const peer = await associated();
  peer.send(formatDataPdu(3, true, true, ECHO));
  await until(() => lastStatus(peer.received()) === 0, { what: 'C-ECHO is answered' });
  // An echo before a store once spoilt the store's command in the library.
  peer.send(formatDataPdu(1, true, true, STORE));
  peer.send(formatDataPdu(1, false, true, Buffer.from('data')));
  await until(() => committed.some((bytes) => bytes.toString() === 'data'), { what: 'C-STORE is committed' });
  peer.socket.end(Buffer.from([5, 0, 0, 0, 0, 4, 0, 0, 0, 0]));
  await peer.ended;
}

describe('a peer', () => {
  it.each([
    ['that announces 4 GiB at once', Buffer.from([1, 0, 0xff, 0xff, 0xff, 0xff])],
    ['that speaks HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['that sends data before an association', formatDataPdu(1, true, true, ECHO)],
  ])('%s is dropped', async (_title, bytes) => {
    const peer = await dial();
    peer.send(bytes);
    await peer.ended;
    expect(opened).toBe(0);
    await servesOthers();
  });

  it.each([
    ['with a PDU above the negotiated length', Buffer.from([4, 0, 0, 1, 0, 0])],
    ['with an unknown PDU type', Buffer.from([9, 0, 0, 0, 0, 0])],
    ['with a second association request', associateRequest([[1, CT]])],
    ['with a fragment longer than its PDU', Buffer.from([4, 0, 0, 0, 0, 6, 0, 0, 0xff, 0xff, 1, 3])],
    ['with a fragment shorter than its header', Buffer.from([4, 0, 0, 0, 0, 6, 0, 0, 0, 1, 1, 3])],
    ['with a data set before a command', formatDataPdu(1, false, true, Buffer.from('x'))],
    ['with a command on a context that is not there', formatDataPdu(77, true, true, STORE)],
    ['with a command that is none', formatDataPdu(1, true, true, Buffer.from('nonsense'))],
    ['with a command that we did not offer', formatDataPdu(1, true, true, command(0x0020, CT, true))],
    [
      'with a data set on another context than its command',
      Buffer.concat([formatDataPdu(1, true, true, STORE), formatDataPdu(3, false, true, Buffer.from('x'))]),
    ],
  ])('%s gets an A-ABORT', async (_title, bytes) => {
    const peer = await associated();
    peer.send(bytes);
    await peer.ended;
    expect(peer.received().at(-10)).toBe(7);
    await until(() => closed === opened, { what: 'the association is closed' });
    expect(committed).toEqual([]);
    await servesOthers();
  });

  it('that goes away in the middle of a data set leaves nothing behind', async () => {
    const peer = await associated();
    peer.send(formatDataPdu(1, true, true, STORE));
    peer.send(formatDataPdu(1, false, false, Buffer.alloc(8_000)));
    await until(() => scp.associations()[0]?.bytes === 8_000, { what: 'half a data set' });
    peer.socket.destroy();
    await until(() => closed === 1, { what: 'the association is closed' });
    expect([discarded, committed.length]).toEqual([1, 0]);
    await servesOthers();
  });

  it('that sends more than the limit gets 0xA700, and may go on', async () => {
    const peer = await associated();
    peer.send(formatDataPdu(1, true, true, STORE));
    for (let sent = 0; sent < 200_000; sent += 10_000)
      peer.send(formatDataPdu(1, false, false, Buffer.alloc(10_000)));
    peer.send(formatDataPdu(1, false, true, Buffer.alloc(2)));
    await until(() => lastStatus(peer.received()) === 0xa700, { what: 'out of resources' });
    peer.send(formatDataPdu(3, true, true, ECHO));
    await until(() => lastStatus(peer.received()) === 0, { what: 'the echo is answered' });
    expect([discarded, committed.length]).toEqual([1, 0]);
  });

  it('that sends one byte at a time is served like any other', async () => {
    const peer = await dial();
    const bytes = Buffer.concat([associateRequest([[1, CT]])]);
    peer.socket.setNoDelay(true);
    for (const byte of bytes) peer.send(Buffer.from([byte]));
    await until(() => peer.received()[0] === 2, { what: 'A-ASSOCIATE-AC' });
  });

  it('that says nothing is dropped, and one that falls silent is aborted', async () => {
    const silent = await dial();
    const idle = await associated();
    await Promise.all([silent.ended, idle.ended]);
    expect(silent.received()).toHaveLength(0);
    expect(idle.received().at(-10)).toBe(7);
    await servesOthers();
  });

  it('that asks for 128 contexts, most of them unknown, gets an answer to each', async () => {
    const peer = await dial();
    const contexts = Array.from(
      { length: 128 },
      (_, at) => [2 * at + 1, at === 0 ? CT : `1.2.3.${at}`] as const,
    );
    peer.send(associateRequest(contexts));
    await until(() => peer.received()[0] === 2, { what: 'A-ASSOCIATE-AC' });
    expect(opened).toBe(1);
  });
});
