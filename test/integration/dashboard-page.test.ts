/** The dashboard: who gets in, who may change something, and what an operator sees and does in a real browser. */
import { chromium } from 'playwright-core';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { hashPassword } from '../../src/http/auth.js';
import { createDashboardApp } from '../../src/http/dashboard-app.js';
import { type HttpListener, listenPlain } from '../../src/http/server.js';
import { silentLog } from '../../src/observe/log.js';
import { createFakeOperations, type FakeOperations, fakeDelivery } from '../support/fake-operations.js';
import { describeWith, tool } from '../support/tools.js';

const aDelivery = fakeDelivery({
  parked: {
    code: 'PEER_UNTRUSTED',
    message: 'the certificate of the peer is not a pinned one',
    stage: 'ship',
    atMs: Date.now() - 240_000,
  },
});
const TOKEN = 'a-token-for-scripts';
const PASSWORD = 'open sesame';
const ROUTES = [
  ['GET', '/'],
  ['GET', '/app.js'],
  ['GET', '/queues'],
  ['GET', '/api/overview'],
  ['GET', '/api/studies'],
  ['GET', '/api/associations'],
  ['GET', '/api/refusals'],
  ['GET', '/api/deliveries'],
  ['GET', '/api/receptions'],
  ['GET', '/api/events'],
  ['POST', '/api/studies/x/complete'],
  ['POST', '/api/deliveries/x/retry'],
  ['POST', '/api/receptions/x/retry'],
] as const;

let listener: HttpListener;
let base: string;
let operations: FakeOperations;

beforeEach(async () => {
  operations = createFakeOperations({ 'site-b': 'Hospital B' });
  operations.records.deliveries.push(aDelivery);
  const app = createDashboardApp({
    operations,
    boardQueues: [],
    auth: { passwordHash: await hashPassword(PASSWORD), sessionKey: Buffer.alloc(32, 7), apiToken: TOKEN },
    log: silentLog,
  });
  listener = await listenPlain({ host: '127.0.0.1', port: 0, app });
  base = `http://127.0.0.1:${listener.port}`;
});
afterEach(() => listener.close(0));

const ask = (method: string, path: string, headers: Record<string, string> = {}, body?: string) =>
  fetch(`${base}${path}`, { method, headers, redirect: 'manual', ...(body === undefined ? {} : { body }) });

const logIn = (password: string) =>
  ask(
    'POST',
    '/login',
    { 'content-type': 'application/x-www-form-urlencoded', origin: base },
    `password=${encodeURIComponent(password)}`,
  );

const cookieOf = (response: Response) => response.headers.get('set-cookie')?.split(';')[0] ?? '';

it.each(ROUTES)('%s %s is closed to a stranger', async (method, path) => {
  expect((await ask(method, path, { accept: 'application/json' })).status).toBe(401);
  expect(
    (await ask(method, path, { authorization: 'Bearer wrong', accept: 'application/json' })).status,
  ).toBe(401);
  expect(
    (await ask(method, path, { cookie: 'drawbridge=9999999999999.forged', accept: 'application/json' }))
      .status,
  ).toBe(401);
});

it('sends a browser without a session to the login page', async () => {
  const response = await ask('GET', '/', { accept: 'text/html' });
  expect([response.status, response.headers.get('location')]).toEqual([303, '/login']);
});

it('lets anybody ask whether it lives', async () => {
  expect(await (await ask('GET', '/healthz')).text()).toBe('ok');
});

it('opens to the token', async () => {
  const response = await ask('GET', '/api/deliveries', { authorization: `Bearer ${TOKEN}` });
  expect(response.status).toBe(200);
  expect(((await response.json()) as unknown[]).length).toBeGreaterThan(0);
});

it('opens to the password, and closes for a while after five wrong ones', async () => {
  const right = await logIn(PASSWORD);
  expect(right.headers.get('location')).toBe('/');
  expect(right.headers.get('set-cookie')).toMatch(/HttpOnly; SameSite=Strict/);
  expect((await ask('GET', '/api/overview', { cookie: cookieOf(right) })).status).toBe(200);
  for (let guess = 0; guess < 5; guess += 1) {
    expect((await logIn('wrong')).headers.get('location')).toBe('/login?error=password');
  }
  expect((await logIn(PASSWORD)).headers.get('location')).toBe('/login?error=wait');
}, 30_000);

it('changes nothing for a request that another site forged', async () => {
  const cookie = cookieOf(await logIn(PASSWORD));
  const path = `/api/deliveries/${aDelivery.id}/retry`;
  expect((await ask('POST', path, { cookie, 'sec-fetch-site': 'cross-site' })).status).toBe(403);
  expect((await ask('POST', path, { cookie, origin: 'https://evil.example' })).status).toBe(403);
  expect((await ask('POST', path, { cookie })).status).toBe(403);
  expect(operations.delivery(aDelivery.id).state).toBe('parked');
  expect((await ask('POST', path, { cookie, 'sec-fetch-site': 'same-origin' })).status).toBe(200);
  expect(operations.delivery(aDelivery.id).state).toBe('accepted');
});

it.each([
  ['/api/deliveries/nonsense', 400, 'ENVELOPE_MALFORMED'],
  ['/api/deliveries/3f0c2b0e-8a53-4d0e-9f4e-0d3c5d9a7b99', 404, 'ENVELOPE_NOT_FOUND'],
  ['/api/deliveries?limit=0', 400, 'REQUEST_INVALID'],
  ['/api/nothing', 404, 'ENVELOPE_NOT_FOUND'],
])('%s is a problem document', async (path, status, code) => {
  const response = await ask('GET', path, { authorization: `Bearer ${TOKEN}` });
  expect(response.status).toBe(status);
  expect(response.headers.get('content-type')).toContain('application/problem+json');
  expect(await response.json()).toMatchObject({ status, code });
});

it('allows pages no script but its own', async () => {
  const policy = (await ask('GET', '/login')).headers.get('content-security-policy') ?? '';
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("script-src 'self'");
});

describeWith('chromium', 'in a browser', () => {
  it('an operator logs in, sees what is stuck and why, and lets it go on', async () => {
    const browser = await chromium.launch({
      executablePath: tool('chromium'),
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    });
    try {
      const page = await browser.newPage();
      const complaints: string[] = [];
      page.on('console', (message) => {
        if (message.type() === 'error') complaints.push(message.text());
      });
      page.on('pageerror', (error) => complaints.push(error.message));
      await page.goto(`${base}/`);
      await page.getByLabel('Password').fill('wrong');
      await page.getByRole('button', { name: 'Log in' }).click();
      await page.getByText('That is not the password.').waitFor();
      await page.getByLabel('Password').fill(PASSWORD);
      await page.getByRole('button', { name: 'Log in' }).click();
      const stuck = page.getByRole('article').filter({ hasText: 'A study for Hospital B is stuck' });
      await stuck.waitFor();
      expect(await stuck.textContent()).toContain('the certificate of the peer is not a pinned one');
      await stuck.getByRole('button', { name: /Retry/ }).click();
      await page.getByText('Nothing waits for you.').waitFor();
      expect(operations.delivery(aDelivery.id).state).toBe('accepted');
      await page
        .getByRole('button', { name: /show the story/ })
        .first()
        .click();
      await page.getByRole('dialog').getByText(aDelivery.id).waitFor();
      expect(complaints).toEqual([]);
    } finally {
      await browser.close();
    }
  }, 60_000);
});
