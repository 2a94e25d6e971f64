/** Our keys as everybody can ask for them, over real TLS; read by another implementation (jose). */
import { rm } from 'node:fs/promises';
import { compactVerify, createLocalJWKSet, type JSONWebKeySet } from 'jose';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { createPeerApp } from '../../src/http/peer-app.js';
import { type HttpListener, listenTls } from '../../src/http/server.js';
import { jwkThumbprint } from '../../src/jmix/jwk-thumbprint.js';
import { silentLog } from '../../src/observe/log.js';
import { signAnnouncement } from '../../src/trust/announcement.js';
import { formatJwks } from '../../src/trust/jwks.js';
import type { SiteKeys } from '../../src/trust/site-keys.js';
import { createFakePeerApi } from '../support/fake-operations.js';
import { type Asked, ask } from '../support/http-client.js';
import { makeKeys, type TestKeys } from '../unit/trust/support/own-keys.js';

let own: TestKeys;
let keys: SiteKeys;
let listener: HttpListener;

beforeAll(async () => {
  own = await makeKeys();
  keys = await own.read();
  const api = {
    ...createFakePeerApi(),
    async keySet() {
      await keys.refresh();
      return formatJwks(keys);
    },
  };
  listener = await listenTls({
    host: '127.0.0.1',
    port: 0,
    ...keys.tls,
    authorities: [],
    app: createPeerApp(api, { log: silentLog, maxEnvelopeBytes: 1024 }),
  });
});
beforeEach(async () => {
  await own.rotate();
});
afterAll(async () => {
  await listener.close(0);
  await rm(own.folder.path, { recursive: true, force: true });
});

const get = (path: string, more: Partial<Asked> = {}) =>
  ask({ port: listener.port, tls: true, path, method: 'GET', ...more });

it.each(['/jwks/x', '/.well-known', '/.well-known/other.json'])('%s is nobody’s address', async (path) => {
  expect((await get(path)).status).toBe(404);
});

it('nothing can be written there', async () => {
  expect((await get('/jwks', { method: 'POST', body: ['{}'] })).status).toBe(404);
});

it.each(['/.well-known/jwks.json', '/jwks'])(
  '%s is for everyone, and holds the present keys alone',
  async (path) => {
    const answer = await get(path);
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('application/jwk-set+json');
    expect(answer.headers['cache-control']).toBe('public, max-age=300');
    const document = JSON.parse(answer.body.toString()) as JSONWebKeySet & Record<string, unknown>;
    expect(document.keys.map(({ kid, use }) => [use, kid])).toEqual([
      ['enc', jwkThumbprint(keys.encryption.publicKey)],
      ['sig', jwkThumbprint(keys.signing.publicKey)],
    ]);
    expect(answer.body.toString()).not.toContain('"d"');
    expect(document['drawbridge_announcements']).toEqual(keys.announcements);
  },
);

it('HEAD says the same without the document', async () => {
  const [head, whole] = [await get('/jwks', { method: 'HEAD' }), await get('/jwks')];
  expect(head.status).toBe(200);
  expect(head.body).toHaveLength(0);
  expect(head.headers['content-length']).toBe(String(whole.body.length));
});

it('another implementation verifies by them what we sign', async () => {
  const document = JSON.parse((await get('/jwks')).body.toString()) as JSONWebKeySet;
  const says = { site: 'site-a', issuedAtMs: 0, signing: [], encryption: [], revoked: [] };
  const jws = signAnnouncement(says, keys.signing.privateKey);
  const { protectedHeader } = await compactVerify(jws, createLocalJWKSet(document));
  expect(protectedHeader.kid).toBe(jwkThumbprint(keys.signing.publicKey));
});
