/** Who gets into a hub, and what each sees there: its own inbox, and nothing of anybody else. */
import { createHash, randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { OutgoingEnvelope } from '../../src/transport/transport.js';
import { type Asked, ask, json } from '../support/http-client.js';
import { codeOf } from '../unit/jmix/support/sealing.js';
import {
  BRIDGE_ID,
  fingerprintOf,
  type HubUnderTest,
  makeHub,
  type SiteId,
  sealLetter,
  TOKEN,
} from './hub-under-test.js';

const OTHER_TOKEN = 'c2l0ZS1iLWhhcy1hLXBpbm5lZC1jZXJ0aWZpY2F0ZQ';
const { signal } = new AbortController();

let hub: HubUnderTest;
let root: string;
let letter: OutgoingEnvelope;

beforeAll(async () => {
  hub = await makeHub({
    peers: { 'site-b': { tokenSha256: createHash('sha256').update(OTHER_TOKEN).digest('hex') } },
  });
});
afterAll(() => hub.close());
beforeEach(async () => {
  hub.logged.length = 0;
  root = await mkdtemp(join(tmpdir(), 'drawbridge-letters-'));
  letter = await sealLetter(root, { from: 'site-a', to: ['site-b'] });
});
afterEach(async () => {
  await hub.transport('site-b').acknowledge(letter.id, 'taken', signal);
  await rm(root, { recursive: true, force: true });
});

const call = (site: SiteId | undefined, path: string, more: Partial<Asked> = {}) =>
  ask({
    port: hub.port(),
    tls: true,
    path,
    ...(site === undefined
      ? {}
      : { identity: { ...hub.identity(site), fingerprint: fingerprintOf(hub.identity(site).certificate) } }),
    ...more,
    headers: { 'drawbridge-bridge': BRIDGE_ID, ...more.headers },
  });
const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

it('a stranger hears the same, whatever it shows, and no secret is logged', async () => {
  const answers = [
    await call(undefined, '/api/jmix/inbox'),
    await call('stranger', '/api/jmix/inbox'),
    await call('stranger', '/api/jmix/inbox', bearer('wrong')),
    await call('stranger', '/api/jmix/inbox', bearer('')),
    await call(undefined, '/api/jmix/inbox', { headers: { authorization: `Basic ${TOKEN}` } }),
    // A token never takes the place of a certificate that is pinned, nor of another member's.
    await call(undefined, '/api/jmix/inbox', bearer(OTHER_TOKEN)),
    await call('site-a', '/api/jmix/inbox', bearer(TOKEN)),
    await call('site-a', '/api/jmix/inbox', bearer('wrong')),
  ];
  for (const answer of answers) {
    expect(answer.status).toBe(403);
    expect(json(answer)).toEqual(json(answers[0] ?? answer));
  }
  expect(new Set(hub.logged.map(({ event }) => event))).toEqual(
    new Set(['peer.anonymous', 'peer.unknown', 'peer.token_refused']),
  );
  expect(JSON.stringify(hub.logged)).not.toMatch(new RegExp(`${TOKEN}|${OTHER_TOKEN}|wrong`));
});

it('a member with a token puts and takes, with a certificate that nobody knows or none', async () => {
  const tokened = hub.transport('site-d');
  const toD = await sealLetter(root, { from: 'site-a', to: ['site-d'] });
  await hub.transport('site-a').put(toD, { signal });
  const [waiting] = await tokened.list({ signal });
  expect(waiting?.id).toBe(toD.id);
  if (waiting !== undefined) await tokened.take(waiting, join(root, 'taken'), { signal });
  await tokened.acknowledge(toD.id, 'taken', signal);
  expect((await call(undefined, '/api/jmix/inbox', bearer(TOKEN))).status).toBe(200);
  const wrong = hub.transport('site-d', { token: async () => 'wrong' });
  expect(await codeOf(wrong.list({ signal }))).toBe('PEER_REFUSED');
});

it('a hub with another certificate than the pinned one never gets the token', async () => {
  const trust = { certificateFingerprints: ['0'.repeat(64)] };
  const lured = hub.transport('site-d', { trust });
  expect(await codeOf(lured.list({ signal }))).toBe('PEER_UNTRUSTED');
});

it('what waits for one member is neither listed, nor opened, nor ended, nor probed by another', async () => {
  await hub.transport('site-a').put(letter, { signal });
  const sizeBytes = hub.parcel(letter.id)?.archiveBytes ?? 0;
  for (const site of ['site-a', 'site-c', 'site-d'] as const) {
    const nosy = hub.transport(site);
    expect(await nosy.list({ signal })).toEqual([]);
    const taking = nosy.take({ id: letter.id, sizeBytes }, join(root, 'stolen'), { signal });
    expect(await codeOf(taking)).toBe('ENVELOPE_NOT_FOUND');
    await nosy.acknowledge(letter.id, 'taken', signal);
    await nosy.acknowledge(letter.id, 'refused', signal);
    if (site !== 'site-a') expect(await nosy.probe(letter, signal)).toBe('absent');
  }
  // Nor does the receiver learn as a sender.
  expect(await hub.transport('site-b').probe(letter, signal)).toBe('absent');
  expect(await hub.transport('site-b').list({ signal })).toEqual([{ id: letter.id, sizeBytes }]);
});

it('an id that means a member of every object is nobody’s box', async () => {
  await hub.transport('site-a').put(letter, { signal });
  for (const name of ['constructor', '__proto__', randomUUID()]) {
    const answer = await call('site-b', `/api/jmix/${name}`);
    expect([400, 404]).toContain(answer.status);
  }
});

it('an archive is given whole, from a byte on, or as a head alone', async () => {
  await hub.transport('site-a').put(letter, { signal });
  const path = `/api/jmix/${letter.id}`;
  const whole = await call('site-b', path);
  const size = whole.body.length;
  expect(whole.status).toBe(200);
  expect(whole.headers).toMatchObject({
    'content-type': 'application/x-tar',
    'content-length': String(size),
    'accept-ranges': 'bytes',
    'cache-control': 'no-store',
  });
  const { etag } = whole.headers;
  expect(etag).toMatch(/^"[^"]+"$/);

  const head = await call('site-b', path, { method: 'HEAD', headers: { range: 'bytes=100-' } });
  expect(head).toMatchObject({ status: 200, body: Buffer.alloc(0) });
  expect(head.headers).toMatchObject({ 'content-length': String(size), etag });

  for (const offset of [0, 1, 700, size - 1]) {
    const part = await call('site-b', path, { headers: { range: `bytes=${offset}-`, 'if-range': etag } });
    expect(part.status).toBe(206);
    expect(part.headers['content-range']).toBe(`bytes ${offset}-${size - 1}/${size}`);
    expect(part.body.equals(whole.body.subarray(offset))).toBe(true);
  }
  for (const range of [`bytes=${size}-`, 'bytes=999999999999-']) {
    const beyond = await call('site-b', path, { headers: { range } });
    expect(beyond).toMatchObject({ status: 416, body: Buffer.alloc(0) });
    expect(beyond.headers['content-range']).toBe(`bytes */${size}`);
  }
  const others = ['bytes=-5', 'bytes=0-9', 'bytes=1-,5-', 'lines=3-', 'bytes=99999999999999999999-'];
  for (const range of others) {
    expect((await call('site-b', path, { headers: { range } })).status).toBe(200);
  }
  const changed = await call('site-b', path, { headers: { range: 'bytes=9-', 'if-range': '"another"' } });
  expect(changed.status).toBe(200);
  expect(changed.body.equals(whole.body)).toBe(true);
});

it('a request that asks for nonsense is told so', async () => {
  for (const wait of ['-1', '61', '1.5', 'soon', '']) {
    const answer = await call('site-b', `/api/jmix/inbox?wait=${wait}`);
    expect([wait, json(answer)['code']]).toEqual([wait, 'REQUEST_INVALID']);
  }
  for (const bridge of ['short', '0123456789abcdef0123456789abcdef0', 'NOT-HEX-AT-ALL']) {
    const answer = await call('site-b', '/api/jmix/inbox', { headers: { 'drawbridge-bridge': bridge } });
    expect([bridge, json(answer)['code']]).toEqual([bridge, 'REQUEST_INVALID']);
  }
  const post = (body: string, type = 'application/json') =>
    call('site-b', `/api/jmix/${letter.id}/acknowledge`, {
      method: 'POST',
      body: [body],
      headers: { 'content-type': type },
    });
  for (const body of ['{"outcome":"eaten"}', '{}', '[]', '{"outcome":', '"taken"']) {
    expect([body, json(await post(body))['code']]).toEqual([body, 'REQUEST_INVALID']);
  }
  expect(json(await post('{"outcome":"taken"}', 'text/plain'))['code']).toBe('REQUEST_INVALID');
  expect((await post(`{"outcome":"taken","more":"${'x'.repeat(2_000)}"}`)).status).toBe(413);
});

it('whoever waits hears at once when something comes, and only what is for him', async () => {
  const waiting = hub.transport('site-b').list({ signal, waitMs: 60_000 });
  const other = new AbortController();
  const nosy = hub.transport('site-c').list({ signal: other.signal, waitMs: 60_000 });
  const answer = await call('site-b', '/api/jmix/inbox?wait=0');
  expect(json(answer)).toEqual({ envelopes: [] });
  expect(answer.headers['cache-control']).toBe('no-store');
  await hub.transport('site-a').put(letter, { signal });
  expect((await waiting).map(({ id }) => id)).toEqual([letter.id]);
  other.abort();
  expect(await codeOf(nosy)).toBe('CANCELLED');
});

it('more than a few waiting requests of one member are sent away, and those of others are not', async () => {
  const stop = new AbortController();
  setMaxListeners(100, stop.signal);
  const many = Array.from({ length: 40 }, () =>
    codeOf(hub.transport('site-c').list({ signal: stop.signal, waitMs: 60_000 })),
  );
  expect(await Promise.race(many)).toBe('PEER_BUSY');
  expect(await codeOf(hub.transport('site-b').list({ signal, waitMs: 1_000 }))).toBeUndefined();
  stop.abort();
  expect((await Promise.all(many)).filter((code) => code === 'CANCELLED')).toHaveLength(16);
});
