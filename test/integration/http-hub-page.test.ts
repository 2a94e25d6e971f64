/** The page of a hub in a real browser, and its API over real sockets: what its operator sees and may do. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium, type Locator, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createHubOperations } from '../../src/compose/hub-operations.js';
import { settingsSchema } from '../../src/config/settings.js';
import { hashPassword } from '../../src/http/auth.js';
import { createHubDashboardApp } from '../../src/http/hub-dashboard-app.js';
import type { HubOperations } from '../../src/http/ports.js';
import { type HttpListener, listenPlain } from '../../src/http/server.js';
import { silentLog } from '../../src/observe/log.js';
import { createFakeHub, type FakeHub, fakeBox, fakeParcel } from '../support/fake-hub.js';
import { type Asked, ask, json } from '../support/http-client.js';
import { describeWith, tool } from '../support/tools.js';
import { until } from '../support/until.js';
import { makeHub, sealLetter } from './hub-under-test.js';

const PASSWORD = 'correct horse';
const TOKEN = 'token-of-scripts';
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const UNKNOWN = '0f8b7c1e-5d0a-4c1b-9e55-6f0e6c7a9b01';

let passwordHash: string;
beforeAll(async () => {
  passwordHash = await hashPassword(PASSWORD);
});

function serve(operations: HubOperations): Promise<HttpListener> {
  const auth = { passwordHash, apiToken: TOKEN, sessionKey: Buffer.alloc(32, 3) };
  return listenPlain({
    host: '127.0.0.1',
    port: 0,
    app: createHubDashboardApp({ operations, auth, log: silentLog }),
  });
}

describe('the API of a hub', () => {
  let hub: FakeHub;
  let listener: HttpListener;

  beforeEach(async () => {
    hub = createFakeHub();
    listener = await serve(hub.operations);
  });
  afterEach(() => listener.close(0));

  const call = (path: string, asked: Partial<Asked> = {}) => ask({ port: listener.port, path, ...asked });
  const byToken = (path: string, method = 'GET') =>
    call(path, { method, headers: { authorization: `Bearer ${TOKEN}` } });
  const list = async (query: string) =>
    JSON.parse((await byToken(`/api/parcels${query}`)).body.toString()) as { id: string }[];

  const CLOSED = [
    ['GET', '/'],
    ['GET', '/hub.html'],
    ['GET', '/hub.js'],
    ['GET', '/api/hub/overview'],
    ['GET', '/api/parcels'],
    ['GET', '/api/events'],
    ['POST', `/api/parcels/${UNKNOWN}/retry`],
    ['POST', `/api/parcels/${UNKNOWN}/discard`],
  ] as const;

  it.each(CLOSED)('%s %s is closed to who has not logged in', async (method, path) => {
    const headers = { accept: 'application/json' };
    expect((await call(path, { method, headers })).status).toBe(401);
    const wrong = { ...headers, authorization: 'Bearer wrong' };
    expect((await call(path, { method, headers: wrong })).status).toBe(401);
  });

  it('a session removes envelopes from our own page only', async () => {
    const parcel = fakeParcel();
    hub.parcels = [parcel];
    const login = await call('/login', {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'sec-fetch-site': 'same-origin' },
      body: [`password=${PASSWORD}`],
    });
    const cookie = login.headers['set-cookie']?.[0]?.split(';')[0] ?? '';
    const discard = (headers: Record<string, string>) =>
      call(`/api/parcels/${parcel.id}/discard`, { method: 'POST', headers: { cookie, ...headers } });
    for (const headers of [{}, { 'sec-fetch-site': 'cross-site' }, { origin: 'http://evil.example' }]) {
      expect((await discard(headers)).status).toBe(403);
      expect(hub.parcels[0]?.removed).toBeUndefined();
    }
    expect(json(await discard({ 'sec-fetch-site': 'same-origin' }))).toEqual({ id: parcel.id });
    expect(hub.parcels[0]?.removed?.why).toBe('discarded');
  });

  it('what is not there answers 404, what is no id 400, and what is over 409', async () => {
    const gone = fakeParcel({ removed: { why: 'done', atMs: 1 } });
    hub.parcels = [gone];
    for (const act of ['retry', 'discard']) {
      expect((await byToken(`/api/parcels/${UNKNOWN}/${act}`, 'POST')).status).toBe(404);
      expect((await byToken(`/api/parcels/..%2f..%2fetc/${act}`, 'POST')).status).toBe(400);
      expect((await byToken(`/api/parcels/${gone.id}/${act}`, 'POST')).status).toBe(409);
    }
    expect((await byToken('/api/parcels?limit=0')).status).toBe(400);
    expect((await byToken('/api/overview')).status).toBe(404);
    expect((await byToken('/queues/')).status).toBe(404);
  });

  it('a hub with a full disk is alive, but not ready', async () => {
    expect(json(await call('/readyz'))).toEqual({ ready: true, disk: 'ok' });
    hub.space = { freeBytes: 1, totalBytes: 2, state: 'refusing' };
    const answer = await call('/readyz');
    expect([answer.status, json(answer)]).toEqual([503, { ready: false, disk: 'refusing' }]);
    expect((await call('/healthz')).status).toBe(200);
  });

  it('one that is parked for a site and waits for another is in both lists', async () => {
    const both = fakeParcel({ boxes: { 'site-a': fakeBox('waiting', 1), 'site-b': fakeBox('refused', 1) } });
    const waiting = fakeParcel();
    hub.parcels = [both, waiting];
    expect((await list('?state=parked')).map(({ id }) => id)).toEqual([both.id]);
    expect((await list('?state=waiting')).map(({ id }) => id)).toEqual([both.id, waiting.id]);
    expect(await list('?state=waiting&limit=1')).toHaveLength(1);
    expect(await list('?state=constructor')).toEqual([]);
    expect(hub.operations.overview().counts).toMatchObject({ waiting: 2, parked: 1, done: 0 });
  });

  it('an inbox counts what lies in it, also for who is no member any more, and for the hub itself', () => {
    const oldMs = Date.now() - 3 * HOUR_MS;
    hub.parcels = [
      fakeParcel({ archiveBytes: 5 }),
      fakeParcel({ archiveBytes: 7, boxes: { 'site-b': fakeBox('waiting', oldMs) } }),
      fakeParcel({ archiveBytes: 11, boxes: { 'site-b': fakeBox('refused', oldMs) } }),
      fakeParcel({ boxes: { 'site-b': fakeBox('taken', oldMs) }, removed: { why: 'done', atMs: oldMs } }),
      fakeParcel({ boxes: { 'site-b': fakeBox('waiting', oldMs) }, removed: { why: 'lost', atMs: oldMs } }),
      fakeParcel({ archiveBytes: 13, boxes: { hub: fakeBox('waiting', oldMs) } }),
      fakeParcel({ archiveBytes: 17, boxes: { former: fakeBox('waiting', oldMs) } }),
      fakeParcel({ boxes: { gone: fakeBox('taken', oldMs) }, removed: { why: 'done', atMs: oldMs } }),
    ];
    const { members } = hub.operations.overview();
    expect(members.map(({ id, kind }) => [id, kind])).toEqual([
      ['site-a', 'member'],
      ['site-b', 'member'],
      ['hub', 'self'],
      ['former', 'former'],
    ]);
    expect(members[0]).toMatchObject({ waitingCount: 0, heldBytes: 0, quotaBytes: 100e9 });
    expect(members[1]).toMatchObject({
      waitingCount: 2,
      waitingBytes: 12,
      parkedCount: 1,
      heldBytes: 23,
      oldestWaitingAtMs: oldMs,
      takenAtMs: oldMs,
    });
  });
});

it('a real hub is seen through the same operations, and they show nothing that a hub may not know', async () => {
  const under = await makeHub();
  const root = await mkdtemp(join(tmpdir(), 'drawbridge-letters-'));
  const { signal } = new AbortController();
  try {
    const operations = createHubOperations({
      hub: under.gateway(),
      settings: settingsSchema.parse({
        role: 'hub',
        site: { id: 'hub', name: 'The hub', contact: 'hub@example.org' },
        dataDir: root,
        peers: [{ id: 'site-b', name: 'Town Clinic', certificateFingerprints: ['ab'.repeat(32)] }],
      }),
      startedAtMs: 1,
      now: Date.now,
    });
    const letter = await sealLetter(root, { from: 'site-a', to: ['site-b'] });
    await under.transport('site-a').put(letter, { signal });
    expect(operations.overview().members[0]).toMatchObject({ id: 'site-b', waitingCount: 1 });

    await under.transport('site-b').acknowledge(letter.id, 'refused', signal);
    const [parked] = operations.parcels({ state: 'parked', limit: 10 });
    expect(parked?.parked?.message).toBe('Town Clinic refused it');
    expect(Object.keys(parked ?? {}).sort()).toEqual(
      ['archiveBytes', 'id', 'parked', 'receivedAtMs', 'receivers', 'senderId', 'senderName', 'state'].sort(),
    );
    await operations.retryParcel(letter.id);
    expect(operations.parcels({ limit: 10 })[0]?.state).toBe('waiting');
    await operations.discardParcel(letter.id);
    expect(operations.parcels({ limit: 10 })[0]?.state).toBe('discarded');
  } finally {
    await under.close();
    await rm(root, { recursive: true, force: true });
  }
});

/** Text as people see it, with line breaks where they are. */
async function seen(locator: Locator): Promise<string> {
  return (await locator.allInnerTexts()).join('\n');
}

describeWith('chromium', 'the page of a hub', () => {
  let browser: Browser;
  let hub: FakeHub;
  let listener: HttpListener;
  let page: Page;
  let complaints: string[];

  beforeAll(async () => {
    const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'];
    browser = await chromium.launch({ executablePath: tool('chromium'), args });
  });
  afterAll(() => browser.close());
  beforeEach(async () => {
    hub = createFakeHub();
    listener = await serve(hub.operations);
    page = await browser.newPage();
    page.setDefaultTimeout(10_000);
    complaints = [];
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
  });
  afterEach(async () => {
    await page.close();
    await listener.close(0);
    expect(complaints).toEqual([]);
  });

  const logIn = async () => {
    await page.goto(`http://127.0.0.1:${listener.port}/`);
    await page.fill('#password', PASSWORD);
    await page.click('text=Log in');
    await page.waitForSelector('#health li');
  };
  const refused = () =>
    fakeParcel({
      receivedAtMs: Date.now() - 4 * HOUR_MS,
      boxes: { 'site-b': fakeBox('refused', Date.now() - HOUR_MS) },
    });

  it('of a hub that has seen nothing shows its members and where they call', async () => {
    await logIn();
    expect(await page.title()).toBe('Hub of the North');
    expect(await seen(page.locator('.top'))).toMatch(/Sites call\s+port\s+8443\s+hub id\s+hub/);
    expect(await seen(page.locator('#attention'))).toMatch(/Nothing waits for you\s+Every inbox is empty/);
    expect(await page.locator('#inboxes li').allInnerTexts()).toMatchObject([
      expect.stringMatching(/St\. Mary Hospital\s+site-a\s+nothing\s+0 B of 100 GB/),
      expect.stringMatching(/Town Clinic\s+site-b\s+nothing\s+0 B of 50\.0 GB/),
    ]);
    expect(await seen(page.locator('#parcels'))).toContain('No envelope has come yet');
    await page.click('text=Log out');
    await page.waitForSelector('#password');
  });

  it('shows what waits for whom and since when, and the page follows', async () => {
    const parcel = fakeParcel({ receivedAtMs: Date.now() - 2 * HOUR_MS });
    hub.parcels = [parcel];
    await logIn();
    expect(await seen(page.locator('#summary'))).toContain('1 envelope waits for 1 site, 12.7 MB.');
    expect(await seen(page.locator('#inboxes li').nth(1))).toMatch(
      /1 envelope\s+the oldest came 2 h ago\s+12\.7 MB of 50\.0 GB/,
    );
    const row = page.locator('#parcels li');
    expect(await seen(row)).toMatch(
      /St\. Mary Hospital → Town Clinic\s+[\w-]{36}\s+12\.7 MB\s+waiting\s+2 h ago/,
    );
    hub.parcels = [
      {
        ...parcel,
        boxes: { 'site-b': fakeBox('taken', Date.now()) },
        removed: { why: 'done', atMs: Date.now() },
      },
    ];
    hub.changed();
    await page.getByText('Every receiver has it').waitFor();
    expect(await seen(page.locator('#summary'))).toContain('Every inbox is empty.');
  });

  it('shows a parked envelope with its reason; Retry lets its receiver try again', async () => {
    hub.parcels = [fakeParcel(), refused()];
    await logIn();
    const item = page.locator('#attention .item');
    expect(await seen(item)).toMatch(
      /An envelope from St\. Mary Hospital for Town Clinic is parked \(12\.7 MB\)\s+Town Clinic refused it\. It is removed by itself in 29 days/,
    );
    expect(await seen(item)).toContain('ask Town Clinic for the reason');
    expect(await page.title()).toBe('(1) Hub of the North');
    await page.locator('[data-filter="parked"]').click();
    await until(async () => (await page.locator('#parcels li').count()) === 1);
    await item.getByRole('button', { name: /^Retry/ }).click();
    await page.getByText('Town Clinic may take it again.').waitFor();
    await item.waitFor({ state: 'detached' });
    expect(hub.parcels[1]?.boxes['site-b']?.state).toBe('waiting');
  });

  it('Discard asks first: Cancel, Enter and Escape keep the envelope', async () => {
    hub.parcels = [refused()];
    await logIn();
    const discard = page.getByRole('button', { name: /^Discard the envelope from/ });
    const question = page.getByRole('dialog', {
      name: 'Discard the envelope from St. Mary Hospital for Town Clinic?',
    });
    for (const leave of [
      () => question.getByRole('button', { name: 'Cancel' }).click(),
      () => page.keyboard.press('Enter'),
      () => page.keyboard.press('Escape'),
    ]) {
      await discard.click();
      await question.waitFor();
      await leave();
      await question.waitFor({ state: 'detached' });
      expect(hub.parcels[0]?.removed).toBeUndefined();
    }
    await discard.click();
    await question.getByRole('button', { name: 'Discard it' }).click();
    await page.getByText('The envelope is removed.').waitFor();
    expect(hub.parcels[0]?.removed?.why).toBe('discarded');
    await page.locator('#attention .item').waitFor({ state: 'detached' });
  });

  it('says when envelopes pile up, an inbox is nearly full, one is gone, and the disk fills up', async () => {
    hub.space = { freeBytes: 5e9, totalBytes: 1e12, state: 'low' };
    hub.parcels = [
      fakeParcel({
        senderId: 'site-b',
        receivedAtMs: Date.now() - 3 * DAY_MS,
        archiveBytes: 95e9,
        boxes: { 'site-a': fakeBox('waiting', Date.now() - 3 * DAY_MS) },
      }),
      fakeParcel({ removed: { why: 'lost', atMs: Date.now() - HOUR_MS } }),
    ];
    await logIn();
    expect(await page.locator('#attention h3').allTextContents()).toEqual([
      'The disk is filling up: 5.0 GB are free',
      'An envelope for Town Clinic is gone from the disk',
      'The inbox of St. Mary Hospital is nearly full: 95.0 of 100 GB',
      'St. Mary Hospital leaves 1 envelope (95.0 GB) waiting',
    ]);
  });

  it('fits a phone, and never shows text as markup', async () => {
    const markup = '<img src=x onerror="document.title=1">';
    hub.parcels = [fakeParcel({ senderId: markup, boxes: refused().boxes })];
    await page.setViewportSize({ width: 390, height: 844 });
    await logIn();
    expect(await seen(page.locator('#attention .item'))).toContain(
      `An envelope from ${markup} for Town Clinic`,
    );
    expect(await page.locator('main img').count()).toBe(0);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390);
  });
});
