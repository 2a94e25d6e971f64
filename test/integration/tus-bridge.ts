/**
 * A listener that takes uploads in pieces, with real TLS, real files and real unpacking; only who calls is told by a
 * header. Between it and a sender, a line that breaks after as many bytes as a test says.
 */
import { mkdir, rename, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import express from 'express';
import type { GatewayError } from '../../src/errors/gateway-error.js';
import type { PeerApi, PeerLocals } from '../../src/http/ports.js';
import { problemHandler } from '../../src/http/problem.js';
import { listenTls } from '../../src/http/server.js';
import { createUploads, type Uploads } from '../../src/http/tus/uploads.js';
import { sha256Hex } from '../../src/jmix/digest.js';
import { unpackEnvelopeArchive } from '../../src/jmix/envelope-archive.js';
import { openEnvelopeFolder } from '../../src/jmix/envelope-folder.js';
import { readManifest } from '../../src/jmix/manifest.js';
import type { Log } from '../../src/observe/log.js';
import type { TlsIdentity } from '../../src/trust/certificate.js';

export const MAX_BYTES = 64 * 1024 * 1024;
export const LIFETIME_MS = 7 * 24 * 3_600_000;

export interface TusBridge {
  readonly port: number;
  readonly uploads: Uploads;
  /** Holds `uploads/` and, of what was received, `held/<envelope id>/`. */
  readonly folder: string;
  /** Envelope id → who brought it, and the hash of its manifest. */
  readonly held: Map<string, { readonly peerId: string; readonly manifestSha256: string }>;
  /** How often an archive was received. */
  received(): number;
  /** Why nothing new is taken. */
  refusal: GatewayError | undefined;
  /** What comes before an archive is received. */
  beforeReceive: () => Promise<void>;
  readonly logged: Record<string, unknown>[];
  close(): Promise<void>;
}

export async function startTusBridge(folder: string, identity: TlsIdentity): Promise<TusBridge> {
  await mkdir(join(folder, 'held'), { recursive: true });
  await mkdir(join(folder, 'uploads'), { recursive: true });
  let received = 0;
  const logged: Record<string, unknown>[] = [];
  const write = (fields: Record<string, unknown>) => void logged.push(fields);
  const log: Log = { debug: write, info: write, warn: write, error: write, child: () => log };
  const held: TusBridge['held'] = new Map();

  const receive: PeerApi['receive'] = async ({ peerId, body, mediaType, signal }) => {
    received += 1;
    await bridge.beforeReceive();
    const scratch = join(folder, `scratch-${received}`);
    await mkdir(scratch);
    try {
      const limits = { maxBytes: MAX_BYTES, maxEntries: 100 };
      await unpackEnvelopeArchive(body, mediaType, scratch, limits, {
        signal,
        scratchFile: `${scratch}.zip`,
      });
      const { manifest } = await openEnvelopeFolder(scratch);
      const { id } = readManifest(manifest);
      if (held.has(id)) return { id, created: false };
      await rename(scratch, join(folder, 'held', id));
      held.set(id, { peerId, manifestSha256: sha256Hex(manifest) });
      return { id, created: true };
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  };

  const uploads = createUploads({
    folder: join(folder, 'uploads'),
    maxBytes: MAX_BYTES,
    expiryMs: LIFETIME_MS,
    log,
    receive,
    admission: () => bridge.refusal,
    probe: async (peerId, id) => {
      const found = held.get(id);
      return found?.peerId === peerId ? found : undefined;
    },
  });
  const app = express();
  app.use((request, response: express.Response<unknown, PeerLocals>, next) => {
    response.locals.peerId = request.get('x-peer') ?? 'nobody';
    next();
  });
  app.use('/api/jmix/uploads', uploads.router);
  app.use(problemHandler(log));
  const listener = await listenTls({ host: '127.0.0.1', port: 0, ...identity, authorities: [], app });
  const bridge: TusBridge = {
    port: listener.port,
    uploads,
    folder,
    held,
    received: () => received,
    refusal: undefined,
    beforeReceive: async () => undefined,
    logged,
    close: () => listener.close(0),
  };
  return bridge;
}

export interface BrokenLine {
  readonly port: number;
  /** Connections that were cut. */
  cuts(): number;
  close(): void;
}

/**
 * A line to `port` on loopback; each connection is cut after the next of `afterBytes` on their way there, and those that
 * come after the last are left alone.
 * @param silently leaves the far side believing that the connection is there
 */
export async function startBrokenLine(
  port: number,
  afterBytes: readonly number[],
  silently = false,
): Promise<BrokenLine> {
  const limits = [...afterBytes];
  const sockets = new Set<Socket>();
  let cuts = 0;
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    let left = limits.shift() ?? Number.POSITIVE_INFINITY;
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
    }
    const cut = () => {
      cuts += 1;
      near.destroy();
      if (!silently) far.end();
    };
    near.on('data', (bytes) => {
      if (left <= 0) return;
      const passing = bytes.subarray(0, left);
      left -= passing.length;
      if (!far.write(passing)) {
        near.pause();
        far.once('drain', () => near.resume());
      }
      if (left <= 0) cut();
    });
    far.on('data', (bytes) => near.write(bytes));
    far.on('close', () => near.destroy());
    near.on('close', () => {
      if (left > 0) far.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    cuts: () => cuts,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
