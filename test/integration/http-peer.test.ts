/** The API for other bridges, over real TLS sockets with certificates made by openssl. */
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:tls';
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

function* chunks(count: number): Iterable<Buffer> {
  for (let at = 0; at < count; at += 1) yield CHUNK;
}

describeWith('openssl', 'the API for other bridges', () => {
  let ours: TestCertificate;
  let partner: TestCertificate;
  let stranger: TestCertificate;
  let api: FakePeerApi;
  let listener: HttpListener;
  let logged: Record<string, unknown>[];

  const write = (fields: Record<string, unknown>) => void logged.push(fields);
  const log: Log = { debug: write, info: write, warn: write, error: write, child: () => log };

  beforeAll(async () => {
    [ours, partner, stranger] = await Promise.all(['ours', 'partner', 'stranger'].map(makeCertificate)) as [
      TestCertificate,
      TestCertificate,
      TestCertificate,
    ];
    listener = await listenTls({
      host: '127.0.0.1',
      port: 0,
      certificate: ours.certificate,
      privateKey: ours.privateKey,
      authorities: [],
      // The application of the test that runs; each has its own.
      app: (request, response) => app(request, response),
    });
  });
  let app: ReturnType<typeof createPeerApp>;
  beforeEach(() => {
    logged = [];
    api = createFakePeerApi();
    api.pinned.set(partner.fingerprint, 'site-b');
    app = createPeerApp(api, { log, maxEnvelopeBytes: MAX_BYTES });
  });
  afterAll(() => listener.close(0));

  const call = (asked: Partial<Asked>) =>
    ask({ port: listener.port, tls: true, identity: partner, path: '/api/jmix', ...asked });
  const post = (asked: Partial<Asked> = {}) =>
    call({ method: 'POST', body: ['x'], ...asked, headers: { 'content-type': 'application/x-tar', ...asked.headers } });

  it('an archive refused in the middle of the upload answers with the reason, not with a broken connection', async () => {
    api.take = async (body) => {
      for await (const _chunk of body) throw new GatewayError('MANIFEST_INVALID', 'manifest.json has no id');
      throw new Error('no chunk came');
    };
    const answer = await post({ body: chunks(1000) });
    expect(answer.status).toBe(400);
    expect(json(answer)).toMatchObject({ code: 'MANIFEST_INVALID', detail: 'manifest.json has no id' });
  });
  it('PROBE stranger endless body', async () => {
    const request = httpsRequest({ host: '127.0.0.1', port: listener.port, agent: false, rejectUnauthorized: false, method: 'POST', path: '/api/jmix', cert: stranger.certificate, key: stranger.privateKey, headers: { 'content-type': 'application/x-tar' } });
    let sent = 0; let ended: unknown; let status = 0; const t0 = Date.now();
    request.on('error', (e) => { ended = e; });
    request.on('response', (r) => { status = r.statusCode ?? 0; r.resume(); });
    const big = Buffer.alloc(1 << 20);
    const go = () => { while (ended === undefined && Date.now() - t0 < 4000) { sent += big.length; if (!request.write(big)) { request.once('drain', go); return; } } };
    go();
    await until(() => ended !== undefined || Date.now() - t0 > 4000);
    console.log({ status, sentMB: sent / 1e6, ended: String(ended), ms: Date.now() - t0 });
    request.destroy();
  });
  it('PROBE client aborts halfway', async () => {
    const request = httpsRequest({ host: '127.0.0.1', port: listener.port, agent: false, rejectUnauthorized: false, method: 'POST', path: '/api/jmix', cert: partner.certificate, key: partner.privateKey, headers: { 'content-type': 'application/x-tar' } });
    request.on('error', () => undefined);
    request.write(CHUNK);
    await until(() => api.seen.bytes > 0);
    request.destroy();
    await until(() => api.seen.aborted !== undefined);
    await new Promise((r) => setTimeout(r, 200));
    console.log(String(api.seen.aborted), JSON.stringify(logged).slice(0, 600));
  });
  it('over limit chunked', async () => {
    const answer = await post({ body: chunks(1000) });
    expect(answer.status).toBe(413);
  });
});
