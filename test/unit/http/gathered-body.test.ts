import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { type GatheredBody, gatheredBody } from '../../../src/http/gathered-body.js';

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

const MAX_BYTES = 10_000_000;
const bytesOf = (count: number) =>
  Buffer.from(Uint8Array.from({ length: count }, (_, at) => (at * 31) % 251));

/** A request whose body the caller writes, and that body as it is gathered. */
const begin = async (maxBytes = MAX_BYTES) => {
  server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const outgoing = request({ port, host: '127.0.0.1', method: 'POST' });
  outgoing.on('error', () => undefined).flushHeaders();
  const [incoming] = (await once(server, 'request')) as [IncomingMessage];
  return { outgoing, incoming, body: gatheredBody(incoming, maxBytes, () => new Error('too large')) };
};
const readAll = async (body: GatheredBody, doneWith: (piece: Buffer) => void = () => undefined) => {
  const pieces: Buffer[] = [];
  for await (const piece of body as AsyncIterable<Buffer>) {
    pieces.push(Buffer.from(piece));
    doneWith(piece);
  }
  return pieces;
};

it.each([0, 1, 262_143, 262_144, 262_145, 3_000_001])('%i bytes pass as they came', async (count) => {
  const { outgoing, body } = await begin();
  outgoing.end(bytesOf(count));
  expect(Buffer.concat(await readAll(body)).equals(bytesOf(count))).toBe(true);
});

it('pieces whose memory is used again hold what came, as long as they are looked at', async () => {
  const { outgoing, body } = await begin();
  outgoing.end(bytesOf(5_000_000));
  const pieces = await readAll(body, (piece) => body.recycle(piece));
  expect(Buffer.concat(pieces).equals(bytesOf(5_000_000))).toBe(true);
});

it('memory that is not its own is not taken for it', async () => {
  const { outgoing, body } = await begin();
  const strange = bytesOf(300_000);
  body.recycle(strange);
  outgoing.end(Buffer.alloc(1_000_000));
  await readAll(body);
  expect(strange.equals(bytesOf(300_000))).toBe(true);
});

it('what a slow sender has sent is given on, and not kept until a piece is full', async () => {
  const { outgoing, body } = await begin();
  outgoing.write('first');
  const [piece] = (await once(body, 'data')) as [Buffer];
  expect(piece.toString()).toBe('first');
  outgoing.end();
});

it('nothing is read ahead of who reads it, but for a few pieces', async () => {
  const { outgoing, incoming, body } = await begin(1e9);
  outgoing.on('drain', () => outgoing.write(Buffer.alloc(65_536)));
  while (outgoing.write(Buffer.alloc(65_536)));
  await once(body, 'readable');
  for (let turn = 0; turn < 500; turn += 1) await new Promise(setImmediate);
  expect(body.readableLength).toBeLessThanOrEqual(3);
  expect(incoming.isPaused()).toBe(true);
});

it('a body above its limit fails, and the request can still be answered', async () => {
  const { outgoing, incoming, body } = await begin(1000);
  outgoing.end(bytesOf(100_000));
  await expect(readAll(body)).rejects.toThrow('too large');
  expect(incoming.destroyed).toBe(false);
});

it('a sender that goes away breaks it', async () => {
  const { outgoing, body } = await begin();
  outgoing.write(bytesOf(500_000));
  const reading = readAll(body);
  outgoing.destroy();
  await expect(reading).rejects.toMatchObject({ code: 'ECONNRESET' });
});
