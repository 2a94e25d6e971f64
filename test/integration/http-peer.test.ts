/** The API for other bridges, over real TLS sockets with certificates made by openssl. */
import type { ClientRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { GatewayError } from '../../src/errors/gateway-error.js';
import { createPeerApp } from '../../src/http/peer-app.js';
import { type HttpListener, listenTls } from '../../src/http/server.js';
import type { Log } from '../../src/observe/log.js';
import { makeCertificate, type TestCertificate } from '../support/certificates.js';
import { createFakePeerApi, ENVELOPE_ID, type FakePeerApi } from '../support/fake-operations.js';
import { type Asked, ask, json } from '../support/http-client.js';
import { describeWith } from '../support/tools.js';
import { until } from '../support/until.js';

const MAX_BYTES = 8 * 1024 * 1024;
const CHUNK = Buffer.alloc(64 * 1024, 7);
/** Far more than sockets hold by themselves. */
const ENDLESS = 10_000;

function* chunks(count: number): Iterable<Buffer> {
  for (let at = 0; at < count; at += 1) yield CHUNK;
}

describeWith('openssl', 'the API for other bridges', () => {
  let ours: TestCertificate;
  let partner: TestCertificate;
  let stranger: TestCertificate;
  let listener: HttpListener;
  let app: ReturnType<typeof createPeerApp>;
  let api: FakePeerApi;
  let logged: Record<string, unknown>[];

  beforeAll(async () => {
    [ours, partner, stranger] = await Promise.all([
      makeCertificate('ours'),
      makeCertificate('partner'),
      makeCertificate('stranger'),
    ]);
    listener = await listenTls({
      host: '127.0.0.1',
      port: 0,
      certificate: ours.certificate,
      privateKey: ours.privateKey,
      authorities: [],
      // Each test has an application of its own.
      app: (request, response) => app(request, response),
    });
  });
  beforeEach(() => {
    logged = [];
    const write = (fields: Record<string, unknown>) => void logged.push(fields);
    const log: Log = { debug: write, info: write, warn: write, error: write, child: () => log };
    api = createFakePeerApi();
    api.pinned.set(partner.fingerprint, 'site-b');
    app = createPeerApp(api, { log, maxEnvelopeBytes: MAX_BYTES });
  });
  afterAll(() => listener.close(0));

  const events = () => logged.map(({ event }) => event);
  const call = (asked: Partial<Asked>) =>
    ask({ port: listener.port, tls: true, identity: partner, path: '/api/jmix', ...asked });
  const post = (asked: Partial<Asked> = {}) =>
    call({
      method: 'POST',
      body: ['archive'],
      ...asked,
      headers: { 'content-type': 'application/x-tar', ...asked.headers },
    });
  const withoutCertificate = (asked: Partial<Asked> = {}) =>
    ask({ port: listener.port, tls: true, method: 'POST', path: '/api/jmix', ...asked });

  it('a caller without a certificate is refused, and logged once a minute', async () => {
    const answer = await withoutCertificate();
    await withoutCertificate();
    expect(answer.status).toBe(403);
    expect(answer.headers['content-type']).toContain('application/problem+json');
    expect(json(answer)).toMatchObject({
      type: 'urn:drawbridge:error:NOT_AUTHORISED',
      status: 403,
      code: 'NOT_AUTHORISED',
      detail: 'a client certificate is required',
    });
    expect(events()).toEqual(['peer.anonymous']);
  });

  it('a certificate that is not pinned is refused, and its fingerprint logged once a minute', async () => {
    for (const path of ['/api/jmix', `/api/jmix/${ENVELOPE_ID}/receipt`]) {
      expect((await post({ identity: stranger, path })).status).toBe(403);
    }
    expect((await call({ identity: stranger, path: `/api/jmix/${ENVELOPE_ID}/status` })).status).toBe(403);
    expect(api.seen.uploads).toBe(0);
    expect(logged).toEqual([
      { event: 'peer.unknown', fingerprint: stranger.fingerprint, remoteAddress: '127.0.0.1' },
    ]);
  });

  it('a stranger who goes on sending is cut off, and its body never taken', async () => {
    const socket = await connectAs(stranger);
    let answer = '';
    let sentBytes = 0;
    socket.on('data', (part) => {
      answer += part.toString('latin1');
    });
    socket.write(head('POST', '/api/jmix', { 'content-length': String(ENDLESS * CHUNK.length) }));
    const ended = new Promise<void>((resolve) => {
      socket.on('error', () => resolve());
      socket.on('close', () => resolve());
    });
    const timer = setInterval(() => {
      sentBytes += CHUNK.length;
      if (!socket.destroyed) socket.write(CHUNK);
    }, 20);
    await ended;
    clearInterval(timer);
    expect(answer).toMatch(/^HTTP\/1\.1 403 /);
    expect(sentBytes).toBeLessThan(ENDLESS * CHUNK.length);
    expect(api.seen).toEqual({ uploads: 0, bytes: 0 });
  });

  it('a refusal comes before the body where the caller waits for 100 (Continue)', async () => {
    const expecting = { headers: { expect: '100-continue' }, body: chunks(4) };
    const tooLarge = { expect: '100-continue', 'content-length': String(MAX_BYTES + 1) };
    api.refusal = new GatewayError('SPOOL_ABOVE_WATERMARK', 'the disk is nearly full');
    const busy = await post(expecting);
    expect(busy).toMatchObject({ status: 503, sentBytes: 0, continued: false });
    expect(busy.headers).toMatchObject({ 'retry-after': '30', connection: 'close' });
    expect(await post({ ...expecting, headers: tooLarge })).toMatchObject({ status: 413, sentBytes: 0 });
    expect(await post({ ...expecting, identity: stranger })).toMatchObject({ status: 403, sentBytes: 0 });
    expect(api.seen.uploads).toBe(0);
  });

  it('another media type answers 415 and names those that are taken', async () => {
    for (const type of ['application/json', 'toString', '']) {
      const answer = await post({ headers: { 'content-type': type } });
      expect(answer.status).toBe(415);
      expect(json(answer)['code']).toBe('MEDIA_TYPE_UNSUPPORTED');
      expect(answer.headers['accept']).toContain('application/x-tar, application/gzip');
    }
  });

  it('an archive above the limit answers 413, whether or not its length was told', async () => {
    const told = await post({ headers: { 'content-length': String(MAX_BYTES + 1) }, body: [] });
    const untold = await post({ body: chunks(ENDLESS) });
    for (const answer of [told, untold]) {
      expect(answer.status).toBe(413);
      expect(json(answer)['detail']).toBe(`the archive is larger than the limit of ${MAX_BYTES} bytes`);
    }
    expect(api.seen.uploads).toBe(1);
    expect(api.seen.bytes).toBeLessThanOrEqual(MAX_BYTES);
  });

  it('an archive refused in the middle answers with the reason, not with a broken connection', async () => {
    api.take = async (body) => {
      for await (const _chunk of body) break;
      throw new GatewayError('MANIFEST_INVALID', 'manifest.json has no id', { facts: { entry: 1 } });
    };
    const answer = await post({ body: chunks(ENDLESS) });
    expect(json(answer)).toEqual({
      type: 'urn:drawbridge:error:MANIFEST_INVALID',
      title: 'manifest.json is not valid against the JMIX schema',
      status: 400,
      code: 'MANIFEST_INVALID',
      detail: 'manifest.json has no id',
      facts: { entry: 1 },
    });
  });

  it('a sender that goes away in the middle fires the signal and leaves the listener well', async () => {
    const request = begin();
    request.on('error', () => undefined);
    request.write(CHUNK);
    await until(() => api.seen.bytes > 0);
    request.destroy();
    await until(() => api.seen.aborted !== undefined);
    expect(api.seen.aborted).toMatchObject({ code: 'CANCELLED' });
    await until(() => logged.length > 0);
    expect(logged).toEqual([{ event: 'request.abandoned', code: 'CANCELLED' }]);
    expect((await post()).status).toBe(201);
  });

  it('a fault answers 500 with a correlation id that the log has too, and nothing else', async () => {
    api.take = async () => {
      throw new TypeError('secret of the inside');
    };
    const answer = await post();
    const problem = json(answer);
    expect(answer.status).toBe(500);
    expect(answer.body.toString()).not.toContain('secret');
    expect(logged).toMatchObject([{ event: 'request.failed', correlationId: problem['correlation_id'] }]);
  });

  it('a fault in the middle of the body is a fault too, not a sender that went away', async () => {
    api.take = async (body) => {
      for await (const _chunk of body) throw new TypeError('secret of the inside');
      throw new Error('no chunk came');
    };
    expect(json(await post({ body: chunks(ENDLESS) }))).toMatchObject({ status: 500, code: 'FAULT' });
    expect(events()).toEqual(['request.failed']);
  });

  it('a new envelope answers 201, the same one again 200, both with its address', async () => {
    const created = await post({ headers: { expect: '100-continue' }, body: chunks(40) });
    expect(created).toMatchObject({ status: 201, continued: true, sentBytes: 40 * CHUNK.length });
    expect(json(created)).toEqual({ id: ENVELOPE_ID, status: 'created' });
    expect(created.headers.location).toBe(`/api/jmix/${ENVELOPE_ID}/status`);
    expect(api.seen).toEqual({
      uploads: 1,
      bytes: 40 * CHUNK.length,
      mediaType: 'application/x-tar',
      peerId: 'site-b',
    });
    api.take = async () => ({ id: ENVELOPE_ID, created: false });
    const again = await post({ headers: { 'content-type': 'application/x-gzip; q=1' } });
    expect(again.status).toBe(200);
    expect(json(again)).toEqual({ id: ENVELOPE_ID, status: 'exists' });
    expect(api.seen.mediaType).toBe('application/gzip');
  });

  it('the status of an envelope says which one is here', async () => {
    const path = `/api/jmix/${ENVELOPE_ID}/status`;
    expect(json(await call({ path }))).toEqual({ id: ENVELOPE_ID, manifest_sha256: 'cd'.repeat(32) });
    expect(await call({ path, method: 'HEAD' })).toMatchObject({ status: 200, body: Buffer.alloc(0) });
    expect(
      (await call({ path: `/api/jmix/${'0'.repeat(8)}-0000-0000-0000-000000000000/status` })).status,
    ).toBe(404);
    expect((await call({ path: '/api/jmix/..%2f..%2fetc/status' })).status).toBe(400);
    expect((await call({ path: '/api/jmix/%ff/status' })).status).toBe(400);
  });

  it('without an inbox there is nothing at its addresses', async () => {
    for (const path of ['/api/jmix/inbox', `/api/jmix/${ENVELOPE_ID}`]) {
      expect(json(await call({ path }))).toMatchObject({ status: 404, code: 'ENVELOPE_NOT_FOUND' });
    }
    const acknowledged = await post({
      path: `/api/jmix/${ENVELOPE_ID}/acknowledge`,
      body: ['{"outcome":"taken"}'],
    });
    expect(acknowledged.status).toBe(404);
  });

  it('a token means nothing where none is taken', async () => {
    const headers = { authorization: 'Bearer anything' };
    expect((await call({ path: `/api/jmix/${ENVELOPE_ID}/status`, headers })).status).toBe(200);
    expect(await withoutCertificate({ headers })).toMatchObject({ status: 403 });
    expect(events()).toEqual(['peer.anonymous']);
  });

  it('a receipt that is not there yet answers 404 with the time to come back', async () => {
    const path = `/api/jmix/${ENVELOPE_ID}/receipt`;
    const early = await call({ path });
    expect(early.status).toBe(404);
    expect(Number(early.headers['retry-after'])).toBeGreaterThan(0);
    api.receipts.set(ENVELOPE_ID, Buffer.from('a.b.c'));
    const answer = await call({ path });
    expect(answer.headers['content-type']).toBe('application/jose');
    expect(answer.body.toString()).toBe('a.b.c');
  });

  it('a receipt is taken as it is, and under its own media type alone', async () => {
    const path = `/api/jmix/${ENVELOPE_ID}/receipt`;
    const other = await post({ path, headers: { expect: '100-continue' } });
    expect(other).toMatchObject({ status: 415, continued: false });
    expect(api.accepted).toEqual([]);
    const headers = { 'content-type': 'application/jose', expect: '100-continue' };
    expect(await post({ path, headers, body: ['a.b.c'] })).toMatchObject({ status: 204, continued: true });
    expect(api.accepted).toEqual([{ peerId: 'site-b', id: ENVELOPE_ID, receipt: Buffer.from('a.b.c') }]);
  });

  function begin(): ClientRequest {
    return httpsRequest({
      host: '127.0.0.1',
      port: listener.port,
      agent: false,
      rejectUnauthorized: false,
      method: 'POST',
      path: '/api/jmix',
      cert: partner.certificate,
      key: partner.privateKey,
      headers: { 'content-type': 'application/x-tar' },
    });
  }

  function connectAs(identity: TestCertificate): Promise<TLSSocket> {
    return new Promise((resolve, reject) => {
      const socket = connect({
        port: listener.port,
        host: '127.0.0.1',
        rejectUnauthorized: false,
        cert: identity.certificate,
        key: identity.privateKey,
      });
      socket.once('secureConnect', () => resolve(socket));
      socket.once('error', reject);
    });
  }
});

function head(method: string, path: string, headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries({ host: 'bridge', ...headers }).map(([name, value]) => `${name}: ${value}`);
  return [`${method} ${path} HTTP/1.1`, ...lines, '', ''].join('\r\n');
}
