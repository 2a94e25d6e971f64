/** What the listener for uploads in pieces says to requests one by one, and to a tus client that we did not write. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { GatewayError } from '../../src/errors/gateway-error.js';
import { formatUploadName } from '../../src/transport/https/resumable-name.js';
import type { OutgoingEnvelope } from '../../src/transport/transport.js';
import { makeCertificate, type TlsIdentity } from '../../src/trust/certificate.js';
import { archiveOf, makeSealedEnvelope } from '../conformance/sealed-envelopes.js';
import { type Answered, type Asked, ask, json } from '../support/http-client.js';
import { MAX_BYTES, startTusBridge, type TusBridge } from './tus-bridge.js';

const UPLOADS = '/api/jmix/uploads';

let folder: string;
let identity: TlsIdentity;
let envelope: OutgoingEnvelope;
let archive: Buffer;
let bridge: TusBridge;
let address: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-tus-'));
  identity = await makeCertificate('them', ['127.0.0.1'], Date.now());
  envelope = await makeSealedEnvelope(join(folder, 'sealed'), { bytes: 100_000 });
  archive = await archiveOf(envelope);
  address = `${UPLOADS}/${formatUploadName(envelope.id, envelope.manifestSha256)}`;
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(async () => {
  bridge = await startTusBridge(await mkdtemp(join(folder, 'bridge-')), identity);
});
afterEach(() => bridge.close());

type Headers = Readonly<Record<string, string>>;

const call = (method: string, path: string, headers: Headers = {}, more: Partial<Asked> = {}) =>
  ask({
    port: bridge.port,
    tls: true,
    method,
    path,
    headers: { 'x-peer': 'site-a', 'tus-resumable': '1.0.0', ...headers },
    ...more,
  });
const metadata = (fields: Headers) =>
  Object.entries(fields)
    .map(([key, value]) => `${key} ${Buffer.from(value).toString('base64')}`)
    .join(',');
const create = (headers: Headers = {}) =>
  call('POST', UPLOADS, {
    'upload-length': String(archive.length),
    'upload-metadata': metadata({ envelope_id: envelope.id, manifest_sha256: envelope.manifestSha256 }),
    ...headers,
  });
const patch = (offset: number, bytes: Buffer, headers: Headers = {}) =>
  call(
    'PATCH',
    address,
    {
      'content-type': 'application/offset+octet-stream',
      'upload-offset': String(offset),
      'content-length': String(bytes.length),
      ...headers,
    },
    { body: [bytes] },
  );

function expectProblem(answer: Answered, status: number, code: string): void {
  expect(answer.status).toBe(status);
  expect(answer.headers).toMatchObject({
    'content-type': expect.stringContaining('application/problem+json'),
  });
  expect(json(answer)['code']).toBe(code);
}

it('metadata that names no envelope begins nothing', async () => {
  for (const fields of [
    { envelope_id: '../../etc', manifest_sha256: envelope.manifestSha256 },
    { envelope_id: envelope.id, manifest_sha256: '../x' },
    { envelope_id: envelope.id.toUpperCase(), manifest_sha256: envelope.manifestSha256 },
    { manifest_sha256: envelope.manifestSha256 },
  ]) {
    expectProblem(await create({ 'upload-metadata': metadata(fields) }), 400, 'REQUEST_INVALID');
  }
  expectProblem(await create({ 'upload-metadata': 'not, metadata!' }), 400, 'REQUEST_INVALID');
  expect((await readdir(join(bridge.folder, 'uploads'), { recursive: true })).length).toBeLessThanOrEqual(1);
});

it('an upload whose length is not told, or is above the limit, is not begun', async () => {
  const untold = await call('POST', UPLOADS, {
    'upload-defer-length': '1',
    'upload-metadata': metadata({ envelope_id: envelope.id, manifest_sha256: envelope.manifestSha256 }),
  });
  expectProblem(untold, 501, 'REQUEST_INVALID');
  expectProblem(await create({ 'upload-length': String(MAX_BYTES + 1) }), 413, 'ENVELOPE_TOO_LARGE');
  expectProblem(await create({ 'upload-length': '-1' }), 400, 'REQUEST_INVALID');
  expect((await call('HEAD', address)).status).toBe(404);
});

it('a request without the version of the protocol answers 412', async () => {
  const answer = await create({ 'tus-resumable': '0.2.2' });
  expect(answer.status).toBe(400);
  expect((await ask({ port: bridge.port, tls: true, method: 'POST', path: UPLOADS })).status).toBe(412);
  expect(answer.headers['tus-resumable']).toBe('1.0.0');
});

it('the address of a new upload is a path, whatever proxies say', async () => {
  const answer = await create({
    host: 'elsewhere.example',
    'x-forwarded-host': 'elsewhere.example',
    'x-forwarded-proto': 'http',
    forwarded: 'host=elsewhere.example',
    origin: 'https://elsewhere.example',
  });
  expect(answer.status).toBe(201);
  expect(answer.headers.location).toBe(address);
  expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
});

it('of what a sender tells, the id and the hash alone are written down', async () => {
  const fields = {
    envelope_id: envelope.id,
    manifest_sha256: envelope.manifestSha256,
    filename: 'DOE^JANE.zip',
  };
  expect((await create({ 'upload-metadata': metadata(fields) })).status).toBe(201);
  const head = await call('HEAD', address);
  expect(head.headers['upload-metadata']).not.toContain('filename');
  const [owner = ''] = await readdir(join(bridge.folder, 'uploads'));
  for (const name of await readdir(join(bridge.folder, 'uploads', owner))) {
    expect(await readFile(join(bridge.folder, 'uploads', owner, name), 'utf8')).not.toContain('DOE');
  }
});

it('an offset that is not the upload’s answers 409 before the body, and changes nothing', async () => {
  await create();
  await patch(0, archive.subarray(0, 1_000));
  const answer = await patch(0, archive, { expect: '100-continue' });
  expectProblem(answer, 409, 'STATE_INVALID');
  expect(answer).toMatchObject({ continued: false, sentBytes: 0 });
  expect((await call('HEAD', address)).headers['upload-offset']).toBe('1000');
});

it('more bytes than were announced are not taken', async () => {
  await create();
  expectProblem(await patch(0, Buffer.concat([archive, archive])), 413, 'ENVELOPE_TOO_LARGE');
  const unannounced = { 'transfer-encoding': 'chunked' };
  const endless = await call(
    'PATCH',
    address,
    { 'content-type': 'application/offset+octet-stream', 'upload-offset': '0', ...unannounced },
    { body: [archive, archive] },
  );
  expectProblem(endless, 413, 'ENVELOPE_TOO_LARGE');
  expect(bridge.received()).toBe(0);
});

it('creating the same upload again keeps its bytes, and another length begins anew', async () => {
  await create();
  await patch(0, archive.subarray(0, 1_000));
  expect((await create()).status).toBe(201);
  expect((await call('HEAD', address)).headers['upload-offset']).toBe('1000');
  expect((await create({ 'upload-length': '5000' })).status).toBe(201);
  expect((await call('HEAD', address)).headers).toMatchObject({
    'upload-offset': '0',
    'upload-length': '5000',
  });
});

it('another peer is told 404, with the same words as for what never was', async () => {
  await create();
  const never = `${UPLOADS}/${formatUploadName(envelope.id, '0'.repeat(64))}`;
  for (const path of [address, never, `${UPLOADS}/..%2f..%2fkeys`, `${UPLOADS}/x.json`, `${address}.json`]) {
    for (const method of ['HEAD', 'DELETE', 'PATCH']) {
      const answer = await call(method, path, {
        'x-peer': 'site-x',
        'upload-offset': '0',
        'content-type': 'application/offset+octet-stream',
      });
      expect(answer.status, `${method} ${path}`).toBe(404);
    }
  }
  expect((await call('GET', address)).status).toBe(404);
  expect((await call('HEAD', address)).status).toBe(200);
});

it('a refusal of the envelope is the one that POST gives, and ends the upload', async () => {
  await create();
  bridge.beforeReceive = async () => {
    throw new GatewayError('RECIPIENT_MISMATCH', 'the envelope is not addressed to site-b');
  };
  const answer = await patch(0, archive);
  expectProblem(answer, 400, 'RECIPIENT_MISMATCH');
  expect(json(answer)['detail']).toBe('the envelope is not addressed to site-b');
  expect((await call('HEAD', address)).status).toBe(404);
});

it('a transient refusal keeps the upload, and an empty PATCH at its end finishes it', async () => {
  await create();
  bridge.refusal = undefined;
  bridge.beforeReceive = async () => {
    throw new GatewayError('SPOOL_WRITE_FAILED', 'the data disk refused a write');
  };
  expectProblem(await patch(0, archive), 503, 'SPOOL_WRITE_FAILED');
  expect((await call('HEAD', address)).status).toBe(503);
  bridge.beforeReceive = async () => undefined;
  expect((await patch(archive.length, Buffer.alloc(0))).status).toBe(204);
  expect((await patch(archive.length, Buffer.alloc(0))).status).toBe(204);
  expect(bridge.held.has(envelope.id)).toBe(true);
  expect(bridge.received()).toBe(3);
});

it('all who ask while an upload is taken over wait for one and the same', async () => {
  await create();
  let goOn: () => void = () => undefined;
  const halt = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const begun = new Promise<void>((resolve) => {
    bridge.beforeReceive = () => {
      resolve();
      return halt;
    };
  });
  const first = patch(0, archive);
  await begun;
  const others = [call('HEAD', address), patch(archive.length, Buffer.alloc(0))];
  goOn();
  expect((await first).status).toBe(204);
  expect((await Promise.all(others)).map(({ status }) => status)).toEqual([200, 204]);
  expect(bridge.received()).toBe(1);
});

it('DELETE forgets an upload, and OPTIONS says what is offered', async () => {
  await create();
  expect((await call('DELETE', address)).status).toBe(204);
  expect((await call('HEAD', address)).status).toBe(404);
  const offered = await call('OPTIONS', UPLOADS);
  expect(offered.headers).toMatchObject({
    'tus-version': '1.0.0',
    'tus-extension': 'creation,termination',
    'tus-max-size': String(MAX_BYTES),
  });
});

it('tus-js-client uploads in chunks, and goes on with what it finds', async () => {
  const { DefaultHttpStack, Upload } = await import('tus-js-client');
  await create();
  await patch(0, archive.subarray(0, 40_000));
  const agent = new Agent({ ca: identity.certificate });
  try {
    await new Promise<void>((resolve, reject) => {
      new Upload(archive, {
        endpoint: `https://127.0.0.1:${bridge.port}${UPLOADS}`,
        uploadUrl: `https://127.0.0.1:${bridge.port}${address}`,
        chunkSize: 30_000,
        headers: { 'x-peer': 'site-a' },
        httpStack: new DefaultHttpStack({ agent }),
        retryDelays: null,
        onSuccess: () => resolve(),
        onError: reject,
      }).start();
    });
  } finally {
    agent.destroy();
  }
  expect(bridge.held.get(envelope.id)).toEqual({ peerId: 'site-a', manifestSha256: envelope.manifestSha256 });
});
