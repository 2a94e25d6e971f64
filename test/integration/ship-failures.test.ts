/** What the HTTPS transport makes of a peer that is down, slow, lies, or breaks off: not done, or perhaps done. */
import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseEnvelopeId } from '../../src/domain/envelope-id.js';
import type { Peer } from '../../src/domain/peer.js';
import { createHttpsTransport, type HttpsTransport } from '../../src/transport/https/client.js';
import { makeCertificate, type TlsIdentity } from '../../src/trust/certificate.js';

const ID = parseEnvelopeId('3f0c2b0e-8a53-4d0e-9f4e-0d3c5d9a7b11');
const PAYLOAD_BYTES = 3_000_000;
/** Of `{}`. */
const MANIFEST_SHA256 = '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a';

let folder: string;
let theirs: TlsIdentity;
let ours: TlsIdentity;
let server: Server;
let transport: HttpsTransport | undefined;
let sent = 0;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-ship-'));
  await writeFile(join(folder, 'manifest.json'), '{}');
  await writeFile(join(folder, 'payload.encrypted'), Buffer.alloc(PAYLOAD_BYTES));
  theirs = await makeCertificate('them', ['127.0.0.1'], Date.now());
  ours = await makeCertificate('us', ['127.0.0.1'], Date.now());
  sent = 0;
});
afterEach(async () => {
  transport?.close();
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true, force: true });
});

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const fingerprintOf = (identity: TlsIdentity) =>
  createHash('sha256').update(new X509Certificate(identity.certificate).raw).digest('hex');

/** @param expects answers `Expect: 100-continue`; by default it is granted */
async function serve(handler: Handler, expects?: Handler): Promise<string> {
  server = createServer({
    cert: theirs.certificate,
    key: theirs.privateKey,
    requestCert: true,
    rejectUnauthorized: false,
  });
  server.on('request', handler);
  server.on(
    'checkContinue',
    expects ??
      ((request, response) => {
        response.writeContinue();
        handler(request, response);
      }),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return `https://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
}

function put(url: string, more: Partial<Peer> = {}, signal = new AbortController().signal): Promise<void> {
  const peer: Peer = {
    id: 'b',
    name: 'B',
    contact: 'c',
    url,
    signingKeys: [],
    certificateFingerprints: [fingerprintOf(theirs)],
    deliverTo: [],
    allowUnsigned: false,
    limits: { places: 1, windows: [] },
    ...more,
  };
  transport = createHttpsTransport(peer, ours);
  return transport.put(
    { id: ID, folder, manifestSha256: MANIFEST_SHA256 },
    {
      signal,
      onSent: async () => {
        sent += 1;
      },
    },
  );
}

const drain = (request: IncomingMessage) => {
  request.resume();
  return once(request, 'end');
};

const answer = (status: number, headers: Record<string, string> = {}, body = '') => {
  return async (request: IncomingMessage, response: ServerResponse) => {
    await drain(request);
    response.writeHead(status, headers).end(body);
  };
};

it('201 is an acknowledgement, told after the last byte was', async () => {
  let bytes = 0;
  const url = await serve(async (request, response) => {
    for await (const chunk of request) bytes += (chunk as Buffer).length;
    expect(request.headers['content-type']).toBe('application/x-tar');
    expect(Number(request.headers['content-length'])).toBe(bytes);
    response.writeHead(201).end('{}');
  });
  await put(url);
  expect(bytes).toBeGreaterThan(PAYLOAD_BYTES);
  expect(sent).toBe(1);
});

it('a certificate that is not the pinned one gets not a byte of the request', async () => {
  let requests = 0;
  const url = await serve(() => {
    requests += 1;
  });
  await expect(put(url, { certificateFingerprints: ['0'.repeat(64)] })).rejects.toMatchObject({
    code: 'PEER_UNTRUSTED',
    kind: 'permanent',
  });
  expect(requests).toBe(0);
});

it('a CA that did not sign the certificate is not trusted', async () => {
  const url = await serve(() => undefined);
  await expect(
    put(url, { certificateFingerprints: [], certificateAuthority: ours.certificate }),
  ).rejects.toMatchObject({ code: 'PEER_UNTRUSTED' });
});

it('a CA that vouches for the certificate is enough', async () => {
  const url = await serve(answer(201));
  await put(url, { certificateFingerprints: [], certificateAuthority: theirs.certificate });
});

it('nobody at the port is PEER_UNREACHABLE', async () => {
  const url = await serve(() => undefined);
  server.close();
  await once(server, 'close');
  await expect(put(url)).rejects.toMatchObject({ code: 'PEER_UNREACHABLE', kind: 'transient' });
});

it('503 before the body is PEER_BUSY with the wait asked for, and no body is sent', async () => {
  const url = await serve(answer(201), (_request, response) => {
    response.writeHead(503, { 'retry-after': '7', connection: 'close' }).end();
  });
  await expect(put(url)).rejects.toMatchObject({
    code: 'PEER_BUSY',
    kind: 'transient',
    facts: { retryAfterMs: 7_000 },
  });
  expect(sent).toBe(0);
});

it.each([
  [409, 'ENVELOPE_EXISTS'],
  [413, 'ENVELOPE_TOO_LARGE'],
  [400, 'PEER_REFUSED'],
  [403, 'PEER_REFUSED'],
  [302, 'PEER_REFUSED'],
  [429, 'PEER_BUSY'],
  [500, 'PEER_BUSY'],
  [507, 'QUOTA_EXCEEDED'],
])('%i is %s', async (status, code) => {
  const url = await serve(answer(status, { location: 'https://127.0.0.1:1/' }));
  await expect(put(url)).rejects.toMatchObject({ code });
});

it('a problem document lends its detail to the message', async () => {
  const problem = JSON.stringify({ code: 'MANIFEST_INVALID', detail: 'receiver is missing' });
  const url = await serve(answer(400, { 'content-type': 'application/problem+json' }, problem));
  await expect(put(url)).rejects.toMatchObject({
    message: 'the peer answers 400: receiver is missing',
    facts: { peerCode: 'MANIFEST_INVALID' },
  });
});

it('a connection that breaks within the body was certainly not taken', async () => {
  const url = await serve((request) => {
    request.once('data', () => request.socket.destroy());
  });
  await expect(put(url)).rejects.toMatchObject({ code: 'PEER_UNREACHABLE', kind: 'transient' });
  expect(sent).toBe(0);
});

it('a connection that breaks after the last byte may have been taken', async () => {
  const url = await serve(async (request) => {
    await drain(request);
    request.socket.destroy();
  });
  await expect(put(url)).rejects.toMatchObject({ code: 'SHIP_UNCONFIRMED', kind: 'ambiguous' });
  expect(sent).toBe(1);
});

it('being told to stop is CANCELLED', async () => {
  const stop = new AbortController();
  const url = await serve((request) => {
    request.once('data', () => stop.abort());
  });
  await expect(put(url, {}, stop.signal)).rejects.toMatchObject({ code: 'CANCELLED' });
});

it('a server that never says 100 (Continue) gets the body all the same', async () => {
  const url = await serve(answer(201), answer(201));
  await put(url);
  expect(sent).toBe(1);
}, 15_000);

it('asks what is there, and fetches and brings receipts', async () => {
  const brought: string[] = [];
  const url = await serve(async (request, response) => {
    if (request.method === 'POST') {
      for await (const chunk of request) brought.push(String(chunk));
      response.writeHead(204).end();
    } else if (request.url === `/api/jmix/${ID}/status`) {
      response.writeHead(200).end(JSON.stringify({ manifest_sha256: MANIFEST_SHA256 }));
    } else {
      response.writeHead(404).end();
    }
  });
  await put(url).catch(() => undefined);
  const { signal } = new AbortController();
  const envelope = { id: ID, folder, manifestSha256: MANIFEST_SHA256 };
  expect(await transport?.probe(envelope, signal)).toBe('same');
  expect(await transport?.probe({ ...envelope, manifestSha256: '0'.repeat(64) }, signal)).toBe('other');
  expect(await transport?.fetchReceipt(ID, signal)).toBeUndefined();
  await transport?.sendReceipt(ID, Buffer.from('a.b.c'), signal);
  expect(brought.at(-1)).toBe('a.b.c');
});
