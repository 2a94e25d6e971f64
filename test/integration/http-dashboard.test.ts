/** The dashboard's login, its API and its events, over real sockets: who may do what, and what the answers say. */
import { get as httpGet, type IncomingMessage } from 'node:http';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { advanceDelivery } from '../../src/domain/delivery.js';
import { hashPassword } from '../../src/http/auth.js';
import { createDashboardApp, type DashboardOptions } from '../../src/http/dashboard-app.js';
import { type HttpListener, listenPlain } from '../../src/http/server.js';
import { silentLog } from '../../src/observe/log.js';
import {
  createFakeOperations,
  type FakeOperations,
  fakeDelivery,
  fakeReception,
} from '../support/fake-operations.js';
import { type Answered, type Asked, ask, json } from '../support/http-client.js';
import { until } from '../support/until.js';

const PASSWORD = 'correct horse';
const TOKEN = 'token-of-scripts';
const SAME_ORIGIN = { 'sec-fetch-site': 'same-origin' };
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const PARKING = { code: 'PEER_UNTRUSTED', message: 'not the pinned one', stage: 'ship', atMs: 1 } as const;

describe('the dashboard', () => {
  let passwordHash: string;
  let operations: FakeOperations;
  let listener: HttpListener;

  beforeAll(async () => {
    passwordHash = await hashPassword(PASSWORD);
  });
  const start = async (options: Partial<DashboardOptions> = {}) => {
    const auth = { passwordHash, apiToken: TOKEN, sessionKey: Buffer.alloc(32, 3) };
    const app = createDashboardApp({ operations, boardQueues: [], auth, log: silentLog, ...options });
    listener = await listenPlain({ host: '127.0.0.1', port: 0, app });
  };
  beforeEach(async () => {
    operations = createFakeOperations({ 'site-b': 'St. Mary Hospital' });
    await start({ metrics: async () => 'drawbridge_deliveries 1\n' });
  });
  afterEach(() => listener.close(0));

  const call = (path: string, asked: Partial<Asked> = {}) => ask({ port: listener.port, path, ...asked });
  const byToken = (path: string, asked: Partial<Asked> = {}) =>
    call(path, { ...asked, headers: { authorization: `Bearer ${TOKEN}`, ...asked.headers } });
  const logIn = (password = PASSWORD, headers: Record<string, string> = SAME_ORIGIN) =>
    call('/login', {
      method: 'POST',
      headers: { ...FORM, ...headers },
      body: [`username=admin&password=${password}`],
    });
  const session = async () => {
    const [cookie = ''] = (await logIn()).headers['set-cookie'] ?? [];
    return cookie.split(';')[0] ?? '';
  };

  const OPEN = ['/healthz', '/readyz', '/login', '/login.js', '/login.css', '/app.css', '/favicon.svg'];
  const CLOSED = [
    ['GET', '/'],
    ['GET', '/index.html'],
    ['GET', '/app.js'],
    ['GET', '/api/overview'],
    ['GET', '/api/studies'],
    ['GET', '/api/associations'],
    ['GET', '/api/refusals'],
    ['GET', '/api/deliveries'],
    ['GET', '/api/deliveries/0f8b7c1e-5d0a-4c1b-9e55-6f0e6c7a9b01'],
    ['GET', '/api/receptions'],
    ['GET', '/api/receptions/0f8b7c1e-5d0a-4c1b-9e55-6f0e6c7a9b01'],
    ['GET', '/api/events'],
    ['GET', '/metrics'],
    ['GET', '/queues/'],
    ['GET', '/queues/api/queues'],
    ['GET', '/login/../api/overview'],
    ['GET', '/nothing'],
    ['POST', '/api/studies/4f2a/complete'],
    ['POST', '/api/deliveries/0f8b7c1e-5d0a-4c1b-9e55-6f0e6c7a9b01/retry'],
    ['POST', '/api/receptions/0f8b7c1e-5d0a-4c1b-9e55-6f0e6c7a9b01/retry'],
    ['POST', '/api/receptions/0f8b7c1e-5d0a-4c1b-9e55-6f0e6c7a9b01/dismiss'],
    ['PUT', '/queues/api/queues/ship/retry/failed'],
  ] as const;

  it.each(CLOSED)('%s %s is closed to who has not logged in', async (method, path) => {
    const headers = { accept: 'application/json' };
    const answer = await call(path, { method, headers });
    expect(answer.status).toBe(401);
    expect(answer.headers['www-authenticate']).toBe('Bearer realm="drawbridge"');
    expect(json(answer)).toMatchObject({ code: 'NOT_AUTHORISED', status: 401 });
    expect(
      (await call(path, { method, headers: { ...headers, authorization: 'Bearer wrong' } })).status,
    ).toBe(401);
  });

  it('a page asked for by a browser that has not logged in leads to the login', async () => {
    for (const path of ['/', '/queues/', '/nothing']) {
      const answer = await call(path, { headers: { accept: 'text/html,*/*;q=0.8' } });
      expect(answer).toMatchObject({ status: 303, headers: { location: '/login' } });
    }
  });

  it.each(OPEN)('GET %s is open to everybody', async (path) => {
    expect((await call(path)).status).toBe(200);
  });

  it('a bridge without Redis or workers is alive, but not ready', async () => {
    operations.records.overview = { workers: { up: false } };
    expect((await call('/healthz')).status).toBe(200);
    const answer = await call('/readyz');
    expect(answer.status).toBe(503);
    expect(json(answer)).toEqual({ ready: false, redis: true, workers: false });
  });

  it('a wrong password opens nothing; five of them close the door for a while, also to the right one', async () => {
    const guesses: Answered[] = [];
    for (let count = 0; count < 5; count += 1) guesses.push(await logIn('wrong'));
    expect(guesses.map(({ headers }) => headers.location)).toEqual(Array(5).fill('/login?error=password'));
    expect(guesses.every(({ headers }) => headers['set-cookie'] === undefined)).toBe(true);
    expect((await logIn()).headers).toMatchObject({ location: '/login?error=wait' });
    expect((await logIn()).headers['set-cookie']).toBeUndefined();
  });

  it('guesses beside each other are no cheaper than one after the other', async () => {
    const guesses = await Promise.all(Array.from({ length: 20 }, () => logIn('wrong')));
    const judged = guesses.filter(({ headers }) => headers.location === '/login?error=password');
    expect(judged.length).toBeLessThanOrEqual(5);
  });

  it('a login sent from another site is refused', async () => {
    expect((await logIn(PASSWORD, { 'sec-fetch-site': 'cross-site' })).headers.location).toBe(
      '/login?error=origin',
    );
  });

  it('the right password opens a session, which logging out ends', async () => {
    const cookie = await session();
    expect((await call('/', { headers: { cookie } })).body.toString()).toContain('<title>Drawbridge</title>');
    const out = await call('/logout', { method: 'POST', headers: { cookie, ...SAME_ORIGIN } });
    expect(out.headers['set-cookie']?.[0]).toContain('Max-Age=0');
  });

  it('a session changes something from our own pages only; a token needs no page', async () => {
    const parked = fakeDelivery({ parked: PARKING });
    operations.records.deliveries = [parked];
    const cookie = await session();
    const retry = (headers: Record<string, string>) =>
      call(`/api/deliveries/${parked.id}/retry`, { method: 'POST', headers });
    for (const headers of [{}, { 'sec-fetch-site': 'cross-site' }, { origin: 'http://evil.example' }]) {
      const answer = await retry({ cookie, ...headers });
      expect(answer.status).toBe(403);
      expect(operations.records.deliveries[0]?.parked).toBeDefined();
    }
    expect(json(await retry({ cookie, ...SAME_ORIGIN }))).toEqual({ id: parked.id });
    expect(operations.records.deliveries[0]?.parked).toBeUndefined();
    const again = await retry({ authorization: `Bearer ${TOKEN}` });
    expect(again.status).toBe(409);
    expect(json(again)['detail']).toBe('a delivery that is accepted needs no retry');
  });

  it('who dismisses a refusal stands in its record: how it was proved, and from where', async () => {
    const refused = () =>
      fakeReception({
        progress: 'confirmed',
        pacs: { main: { state: 'refused', storedCount: 0, refusedCount: 1 } },
      });
    const [one, other] = [refused(), refused()];
    operations.records.receptions = [one, other];
    const dismiss = (id: string, headers: Record<string, string>) =>
      call(`/api/receptions/${id}/dismiss`, { method: 'POST', headers });
    const cookie = await session();
    expect((await dismiss(one.id, { cookie })).status).toBe(403);
    expect(json(await dismiss(one.id, { cookie, ...SAME_ORIGIN }))).toEqual({ id: one.id });
    expect(json(await dismiss(other.id, { authorization: `Bearer ${TOKEN}` }))).toEqual({ id: other.id });
    expect(operations.records.receptions.map(({ dismissed }) => dismissed?.by)).toEqual([
      'dashboard, 127.0.0.1',
      'token, 127.0.0.1',
    ]);
  });

  it('no page may hold scripts or styles of its own, ask another site, or stand in a frame', async () => {
    const policies = await Promise.all(['/login', '/', '/queues/'].map((path) => byToken(path)));
    for (const { headers } of policies) {
      const policy = String(headers['content-security-policy']);
      expect(policy).not.toContain('http');
      expect(policy).toMatch(/frame-ancestors '(?:none|self)'/);
    }
    expect(policies[1]?.headers['content-security-policy']).not.toContain('unsafe');
  });

  it('lists are filtered by state and limited', async () => {
    const parked = fakeDelivery({ parked: PARKING });
    operations.records.deliveries = [fakeDelivery(), parked, fakeDelivery()];
    operations.records.receptions = [fakeReception(), fakeReception()];
    const list = async (path: string) =>
      JSON.parse((await byToken(path)).body.toString()) as { id: string }[];
    expect((await list('/api/deliveries?state=parked')).map(({ id }) => id)).toEqual([parked.id]);
    expect(await list('/api/deliveries?limit=2')).toHaveLength(2);
    expect(await list('/api/receptions?state=confirmed')).toEqual([]);
    for (const limit of ['0', '-1', '1.5', 'many', '1001']) {
      expect((await byToken(`/api/deliveries?limit=${limit}`)).status, limit).toBe(400);
    }
  });

  it('what is not there answers 404, what is no id 400', async () => {
    const unknown = '0f8b7c1e-5d0a-4c1b-9e55-6f0e6c7a9b01';
    expect((await byToken(`/api/deliveries/${unknown}`)).status).toBe(404);
    expect((await byToken(`/api/receptions/${unknown}`)).status).toBe(404);
    expect((await byToken('/api/studies/none/complete', { method: 'POST' })).status).toBe(404);
    expect((await byToken('/api/deliveries/..%2f..%2fetc')).status).toBe(400);
    expect((await byToken('/nothing')).status).toBe(404);
  });

  it('metrics are given as Prometheus reads them, or not at all', async () => {
    const answer = await byToken('/metrics');
    expect(answer.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(answer.body.toString()).toBe('drawbridge_deliveries 1\n');
    await listener.close(0);
    await start();
    expect((await byToken('/metrics')).status).toBe(404);
  });

  it('events tell of each change, and end with the page that watches', async () => {
    let text = '';
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const headers = { authorization: `Bearer ${TOKEN}` };
      httpGet({ port: listener.port, path: '/api/events', headers, agent: false }, resolve).on(
        'error',
        reject,
      );
    });
    response.on('data', (part) => {
      text += String(part);
    });
    response.on('error', () => undefined);
    const changes = () => text.split('event: changed').length - 1;
    expect(response.headers['content-type']).toBe('text/event-stream');
    await until(() => changes() === 1);
    operations.records.deliveries = [advanceDelivery(fakeDelivery(), { type: 'packed' }, Date.now())];
    operations.changed();
    await until(() => changes() === 2);
    expect(operations.watchers()).toBe(1);
    response.destroy();
    await until(() => operations.watchers() === 0);
    operations.changed();
  });
});
