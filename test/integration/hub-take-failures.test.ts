/** What the client makes of a hub that breaks off, changes its mind about an archive, or answers nonsense. */
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { parseEnvelopeId } from '../../src/domain/envelope-id.js';
import type { HubExchange } from '../../src/domain/exchange.js';
import { createHubTransport } from '../../src/transport/https/hub.js';
import type { Transport } from '../../src/transport/transport.js';
import { makeCertificate, type TlsIdentity } from '../../src/trust/certificate.js';
import { codeOf } from '../unit/jmix/support/sealing.js';
import { fingerprintOf } from './hub-under-test.js';

const ID = parseEnvelopeId('3f0c2b0e-8a53-4d0e-9f4e-0d3c5d9a7b11');
const ARCHIVE = Buffer.from(Array.from({ length: 300_000 }, (_, at) => at % 251));
const ENVELOPE = { id: ID, sizeBytes: ARCHIVE.length };
const { signal } = new AbortController();

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

let theirs: TlsIdentity;
let ours: TlsIdentity;
let server: Server;
let transport: Transport;
let folder: string;
let file: string;
let asked: IncomingHttpHeaders[];

beforeAll(async () => {
  theirs = await makeCertificate('hub', ['127.0.0.1'], Date.now());
  ours = await makeCertificate('us', ['127.0.0.1'], Date.now());
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-take-'));
  file = join(folder, 'archive');
  asked = [];
});
afterEach(async () => {
  transport.close();
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true, force: true });
});

async function serve(handler: Handler, more: Partial<HubExchange> = {}): Promise<void> {
  server = createServer({ cert: theirs.certificate, key: theirs.privateKey });
  server.on('request', (request, response) => {
    asked.push(request.headers);
    handler(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const hub: HubExchange = {
    type: 'hub',
    name: 'hub',
    pollMs: 1_000,
    afterTaking: 'delete',
    url: `https://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/`,
    trust: { certificateFingerprints: [fingerprintOf(theirs.certificate)] },
    ...more,
  };
  transport = createHubTransport(hub, ours, '0123456789abcdef');
}

const take = () => codeOf(transport.take(ENVELOPE, file, { signal }));
const give = (status: number, headers: Record<string, string | number> = {}, body: Buffer | string = '') => {
  return (_request: IncomingMessage, response: ServerResponse) => {
    response.writeHead(status, headers).end(body);
  };
};

it('a connection that breaks leaves what has come, and the next attempt asks for the rest of the same', async () => {
  await serve((request, response) => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const rest = ARCHIVE.subarray(from);
    if (from > 0) {
      const range = { 'content-range': `bytes ${from}-${ARCHIVE.length - 1}/${ARCHIVE.length}` };
      response.writeHead(206, { ...range, etag: '"one"', 'content-length': rest.length }).end(rest);
      return;
    }
    response.writeHead(200, { etag: '"one"', 'content-length': ARCHIVE.length });
    response.write(rest.subarray(0, 280_000), () => setImmediate(() => request.socket.destroy()));
  });
  expect(await take()).toBe('PEER_UNREACHABLE');
  const there = await readFile(file);
  expect(there.equals(ARCHIVE.subarray(0, there.length))).toBe(true);
  expect(there.length).toBeGreaterThan(0);
  let arrived = 0;
  await transport.take(ENVELOPE, file, { signal, onBytes: (count) => (arrived += count) });
  expect(arrived).toBe(ARCHIVE.length - there.length);
  expect((await readFile(file)).equals(ARCHIVE)).toBe(true);
  expect(asked[1]).toMatchObject({ range: `bytes=${there.length}-`, 'if-range': '"one"' });
});

it('a hub that ignores the range gets the file written anew', async () => {
  await serve(give(200, { 'content-length': ARCHIVE.length }, ARCHIVE));
  await writeFile(file, Buffer.alloc(200_000, 'x'));
  expect(await take()).toBeUndefined();
  expect((await readFile(file)).equals(ARCHIVE)).toBe(true);
});

it.each<[string, number, Record<string, string | number>, Buffer]>([
  ['a whole one of another size', 200, { 'content-length': 9 }, Buffer.alloc(9)],
  ['a part of a larger one', 206, { 'content-range': 'bytes 100-399999/400000' }, Buffer.alloc(9)],
  ['a part from another byte on', 206, { 'content-range': `bytes 50-299999/300000` }, Buffer.alloc(9)],
  ['a part of a part', 206, { 'content-range': `bytes 100-200/300000` }, Buffer.alloc(101)],
  ['a part of it does not say what', 206, {}, Buffer.alloc(9)],
  ['less than it says', 206, { 'content-range': 'bytes 100-299999/300000' }, Buffer.alloc(9)],
  ['more than it says', 206, { 'content-range': 'bytes 100-299999/300000' }, Buffer.alloc(299_999)],
  ['no such byte', 416, { 'content-range': 'bytes */400000' }, Buffer.alloc(0)],
])('%s is not believed, and the file keeps its beginning', async (_what, status, headers, body) => {
  await serve(give(status, headers, body));
  const beginning = ARCHIVE.subarray(0, 100);
  await writeFile(file, beginning);
  expect(await take()).toBe('ENVELOPE_INCOMPLETE');
  expect((await readFile(file)).subarray(0, 100).equals(beginning)).toBe(true);
});

it.each([
  [404, 'ENVELOPE_NOT_FOUND'],
  [403, 'PEER_REFUSED'],
  [503, 'PEER_BUSY'],
  [302, 'PEER_REFUSED'],
])('%i is %s', async (status, code) => {
  await serve(give(status, { location: 'https://127.0.0.1:1/' }));
  expect(await take()).toBe(code);
});

it.each([
  '',
  'hello',
  '[]',
  '{"envelopes":{}}',
  '{"envelopes":[null]}',
  '{"envelopes":[{"id":"../../etc/passwd","size_bytes":1}]}',
  `{"envelopes":[{"id":"${ID}","size_bytes":-1}]}`,
  `{"envelopes":[{"id":"${ID}","size_bytes":"1"}]}`,
  `{"envelopes":[{"id":"${ID}"}]}`,
])('a listing like %s is no listing', async (body) => {
  await serve(give(200, {}, body));
  expect(await codeOf(transport.list({ signal }))).toBe('PEER_REFUSED');
});

it('the token is read anew for each request, and goes with every one', async () => {
  let count = 0;
  const token = async () => {
    count += 1;
    return `token-${count}`;
  };
  await serve(
    (request, response) => {
      if (request.method === 'POST') response.writeHead(204).end();
      else response.writeHead(200).end('{"envelopes":[]}');
    },
    { token },
  );
  await transport.list({ signal });
  await transport.acknowledge(ID, 'taken', signal);
  await transport.probe({ id: ID, folder, manifestSha256: '0'.repeat(64) }, signal);
  expect(asked.map(({ authorization }) => authorization)).toEqual([
    'Bearer token-1',
    'Bearer token-2',
    'Bearer token-3',
  ]);
});

it('an acknowledgement that may have been heard is one to be said again', async () => {
  await serve((request) => {
    request.resume();
    request.on('end', () => request.socket.destroy());
  });
  await expect(transport.acknowledge(ID, 'taken', signal)).rejects.toMatchObject({
    code: 'PEER_UNREACHABLE',
    kind: 'transient',
  });
});
