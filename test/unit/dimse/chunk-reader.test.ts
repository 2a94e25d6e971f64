/** What a socket brings, chunk by chunk: all of it, in order, unchanged while it is being taken, and no faster than that. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readChunks } from '../../../src/dimse/chunk-reader.js';
import { readIntoOwn } from '../../../src/dimse/own-buffers.js';
import { makeCertificate } from '../../../src/trust/certificate.js';

const SENT = randomBytes(8 * 1024 * 1024);
const hashOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

let server: Server;
let peer: Socket;

const KINDS = {
  TCP: {
    connection: 'connection',
    serve: () => Promise.resolve(createServer()),
    connect,
    gone: (peer: Socket) => void peer.resetAndDestroy(),
  },
  TLS: {
    connection: 'secureConnection',
    async serve() {
      const { certificate, privateKey } = await makeCertificate('test', ['127.0.0.1'], Date.now());
      return createTlsServer({ cert: certificate, key: privateKey });
    },
    connect: (port: number, host: string) => connectTls({ port, host, rejectUnauthorized: false }),
    gone: (peer: Socket) => void peer.destroy(),
  },
} as const;

describe.each(Object.entries(KINDS))('over %s', (_kind, { connection, serve, connect, gone }) => {
  beforeEach(async () => {
    server = (await serve()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    peer = connect((server.address() as AddressInfo).port, '127.0.0.1');
    peer.on('error', () => undefined);
  });
  afterEach(async () => {
    peer.destroy();
    server.close();
    await once(server, 'close');
  });

  /** Reads the connection from its first moment on, as the listener does. */
  const read = (take: Parameters<typeof readChunks>[1]) =>
    new Promise<void>((resolve, reject) => {
      server.once(connection, (socket: Socket) => {
        socket.on('error', () => undefined);
        readChunks(socket, take)
          .then(resolve, reject)
          .finally(() => socket.end());
      });
    });

  it.each([
    ['each at once', () => false],
    ['each later', () => true],
    ['some later', () => Math.random() < 0.3],
  ])('all of it comes in order, and stays as it is until it is taken: %s', async (_title, isLater) => {
    const taken: Buffer[] = [];
    let underWay = 0;
    const reading = read((chunk) => {
      expect(underWay).toBe(0);
      if (!isLater()) {
        taken.push(Buffer.from(chunk));
        return undefined;
      }
      underWay += 1;
      return (async () => {
        // Time for more to come.
        for (let turns = 0; turns < 5; turns += 1) await turn();
        taken.push(Buffer.from(chunk));
        underWay -= 1;
      })();
    });
    peer.end(SENT);
    await reading;
    expect(hashOf(Buffer.concat(taken))).toBe(hashOf(SENT));
  });

  it('a peer is read no further than it is followed', async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let bytes = 0;
    let accepted: Socket | undefined;
    server.once(connection, (socket: Socket) => {
      accepted = socket;
    });
    const reading = read((chunk) => {
      bytes += chunk.length;
      return bytes === chunk.length ? held : undefined;
    });
    peer.end(SENT);
    await once(server, connection);
    const stoppedAt = async () => {
      const count = accepted?.bytesRead;
      for (let turns = 0; turns < 50; turns += 1) await turn();
      return accepted?.bytesRead === count ? count : undefined;
    };
    let stopped = await stoppedAt();
    while (stopped === undefined || stopped === 0) stopped = await stoppedAt();
    expect(stopped).toBeLessThan(1024 * 1024);
    release();
    await reading;
    expect(bytes).toBe(SENT.length);
  });

  it('after it has failed, what comes is dropped, and the peer can end', async () => {
    const reading = read(() => {
      throw new Error('refused');
    });
    peer.end(SENT);
    await expect(reading).rejects.toThrow('refused');
    await once(peer.resume(), 'close');
  });

  it('a peer that is gone ends it', async () => {
    const reading = read(() => undefined);
    peer.write('some', () => gone(peer));
    await reading;
  });

  it('this Node lets an accepted connection be read into memory of ours', async () => {
    const memory = Buffer.alloc(1024);
    const isOwn = new Promise((resolve, reject) => {
      server.once(connection, (socket: Socket) => {
        const known = readIntoOwn(
          socket,
          () => memory,
          (bytes) => resolve({ known, isSame: bytes.buffer === memory.buffer, text: bytes.toString() }),
        );
        if (!known) reject(new Error('not known'));
        socket.on('end', () => socket.end());
      });
    });
    peer.end('bytes');
    expect(await isOwn).toEqual({ known: true, isSame: true, text: 'bytes' });
  });
});
