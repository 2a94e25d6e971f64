/** The page in a real browser: what an operator sees and presses. */
import { type Browser, chromium, type Locator, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { advanceDelivery } from '../../src/domain/delivery.js';
import { parseEnvelopeId } from '../../src/domain/envelope-id.js';
import { CODES } from '../../src/errors/codes.js';
import { hashPassword } from '../../src/http/auth.js';
import { createDashboardApp } from '../../src/http/dashboard-app.js';
import { type HttpListener, listenPlain } from '../../src/http/server.js';
import { silentLog } from '../../src/observe/log.js';
import {
  createFakeOperations,
  type FakeOperations,
  fakeDelivery,
  fakeReception,
} from '../support/fake-operations.js';
import { freePort } from '../support/ports.js';
import { describeWith, tool } from '../support/tools.js';
import { until } from '../support/until.js';

const PASSWORD = 'correct horse';
/** Ours, by a name that browsers do not trust as they trust the loopback. */
const NAME = 'bridge.test';
/** The browser asks nobody but us. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
  '--disable-quic',
  `--host-resolver-rules=MAP ${NAME} 127.0.0.1`,
];

/** Text as people see it, with line breaks where they are. */
async function seen(locator: Locator): Promise<string> {
  return (await locator.allInnerTexts()).join('\n');
}

describeWith('chromium', 'the page', () => {
  let browser: Browser;
  let passwordHash: string;
  let operations: FakeOperations;
  let listener: HttpListener;
  let page: Page;
  let complaints: string[];

  beforeAll(async () => {
    passwordHash = await hashPassword(PASSWORD);
    browser = await chromium.launch({ executablePath: tool('chromium'), args: FLAGS });
  });
  afterAll(() => browser.close());
  beforeEach(async () => {
    operations = createFakeOperations({ 'site-b': 'St. Mary Hospital' });
    const auth = { passwordHash, apiToken: 'token', sessionKey: Buffer.alloc(32, 3) };
    const app = createDashboardApp({ operations, boardQueues: [], auth, log: silentLog });
    listener = await listenPlain({ host: '127.0.0.1', port: 0, app });
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
  });

  const address = () => `http://127.0.0.1:${listener.port}`;
  const logIn = async () => {
    await page.goto(address());
    await page.fill('#password', PASSWORD);
    await page.click('text=Log in');
    await page.waitForSelector('#health li');
  };

  it('of a bridge that has seen nothing says what to do first', async () => {
    await logIn();
    expect(await page.title()).toBe('Hospital A');
    expect(await page.textContent('#attention')).toContain('Nothing waits for you');
    expect(await page.textContent('.first-steps')).toContain('echoscu -aet MODALITY -aec DRAWBRIDGE');
    expect(await page.textContent('#deliveries')).toContain('Nothing has been sent yet');
    expect(await page.textContent('footer')).toContain('No patient data is on this page');
    expect(complaints).toEqual([]);
  });

  it('says that a password is wrong', async () => {
    await page.goto(address());
    await page.fill('#password', 'wrong');
    await page.click('text=Log in');
    await page.waitForSelector('#error:not([hidden])');
    expect(await page.textContent('#error')).toBe('That is not the password.');
  });

  it('lets people in, retry and copy by the name of another machine too, without TLS', async () => {
    const message = 'the certificate of the peer is not a pinned one';
    const parked = { code: 'PEER_UNTRUSTED', message, stage: 'ship', atMs: Date.now() } as const;
    operations.records.deliveries = [fakeDelivery({ parked })];
    await page.goto(`http://${NAME}:${listener.port}/`);
    expect(await page.evaluate('isSecureContext')).toBe(false);
    await page.fill('#password', PASSWORD);
    await page.click('text=Log in');
    await page.getByRole('button', { name: 'Copy the port' }).click();
    await page.getByText('Copied').waitFor();
    await page.getByRole('button', { name: /^Retry/ }).click();
    await page.getByText('The delivery to St. Mary Hospital is tried again.').waitFor();
    expect(operations.records.deliveries[0]?.parked).toBeUndefined();
    await page.click('text=Log out');
    await page.waitForSelector('#password');
    await page.goto(`http://${NAME}:${listener.port}/`);
    expect(page.url()).toContain('/login');
  });

  it('goes on after an answer that it could not draw', async () => {
    await logIn();
    const broken = { ...fakeDelivery(), modalities: null } as unknown as ReturnType<typeof fakeDelivery>;
    operations.records.deliveries = [broken];
    operations.changed();
    await until(() => complaints.length > 0, { what: 'the page stumbles' });
    operations.records.deliveries = [fakeDelivery()];
    operations.changed();
    await page.waitForSelector('#deliveries li .row');
  });

  it('shows the login in the middle', async () => {
    await page.goto(address());
    const [card, view] = [await page.locator('form').boundingBox(), page.viewportSize()];
    expect(card).not.toBeNull();
    const middle = (card?.x ?? 0) + (card?.width ?? 0) / 2;
    expect(Math.abs(middle - (view?.width ?? 0) / 2)).toBeLessThan(2);
  });

  it('shows a parked delivery with its reason; Retry sets it in motion, and the page follows', async () => {
    const sealed = { sizeBytes: 1, manifestSha256: 'ab'.repeat(32) };
    const message = 'the certificate of the peer is not a pinned one';
    const parking = { code: 'PEER_UNTRUSTED', message, stage: 'ship', atMs: Date.now() - 60_000 } as const;
    const parked = fakeDelivery({ carriage: 'sealed', sealed, parked: parking });
    operations.records.deliveries = [parked];
    await logIn();
    const item = page.locator('#attention .item');
    expect(await item.textContent()).toContain('A study for St. Mary Hospital is stuck (CT, 24 instances)');
    expect(await item.textContent()).toContain('The certificate of the peer is not a pinned one');
    expect(await item.textContent()).toContain('compare the fingerprint with the peer by telephone');
    expect(await page.title()).toBe('(1) Hospital A');

    await item.getByRole('button', { name: /^Retry/ }).click();
    await page.getByText('The delivery to St. Mary Hospital is tried again.').waitFor();
    await item.waitFor({ state: 'detached' });
    expect(operations.records.deliveries[0]?.parked).toBeUndefined();

    const state = () => page.locator('#deliveries li .chip').textContent();
    for (const type of ['sent', 'acknowledged', 'verified'] as const) {
      operations.records.deliveries = operations.records.deliveries.map((record) =>
        advanceDelivery(record, { type }, Date.now()),
      );
      operations.changed();
      await until(async () => (await state()) === type, { what: `the page says ${type}` });
    }
    expect(await page.locator('#deliveries li .road').getAttribute('aria-label')).toBe(
      'verified: step 4 of 4',
    );
    expect(complaints).toEqual([]);
  });

  it('tells the story of a delivery at an address of its own, and the back button closes it', async () => {
    const delivery = advanceDelivery(fakeDelivery(), { type: 'packed' }, Date.now());
    operations.records.deliveries = [delivery];
    await logIn();
    await page.locator('#deliveries li .row').click();
    const story = page.getByRole('dialog');
    await story.waitFor();
    expect(page.url()).toBe(`${address()}/#/deliveries/${delivery.id}`);
    expect(await story.locator('.story li').allTextContents()).toMatchObject([
      expect.stringContaining('Accepted: every instance is durable here'),
      expect.stringContaining('Packed'),
    ]);
    await page.goBack();
    await story.waitFor({ state: 'hidden' });
    await page.goForward();
    await story.waitFor();
    await page.keyboard.press('Escape');
    await story.waitFor({ state: 'hidden' });
    expect(complaints).toEqual([]);
  });

  it('says where a receipt does not come, and sends the study again when told to', async () => {
    const steps = [{ event: 'acknowledged', atMs: Date.now() - 3 * 24 * 3_600_000 }] as const;
    const record = fakeDelivery({ carriage: 'acknowledged', steps });
    const advice = 'ask St. Mary Hospital whether it arrived';
    const overdue = { ...record, state: 'acknowledged', peerName: 'St. Mary Hospital', advice } as const;
    operations.records.deliveries = [record];
    operations.records.overview = { overdue: [overdue] };
    await logIn();
    const item = page.locator('#attention .item');
    expect(await seen(item)).toMatch(/^No receipt from St. Mary Hospital yet/);
    expect(await seen(item)).toContain('ask St. Mary Hospital whether it arrived');
    await page.getByRole('button', { name: /^Send the study for St. Mary Hospital again/ }).click();
    await page.getByText('The delivery to St. Mary Hospital is looked after again.').waitFor();
  });

  it('names a modality that could not be told what we commit to, and why', async () => {
    const untold = [
      { callingAe: 'CT1', requestCount: 2, sinceMs: Date.now() - 600_000, message: 'nobody listens' },
      { callingAe: 'MR1', requestCount: 1, sinceMs: Date.now() - 600_000 },
    ];
    operations.records.overview = { commitment: { undecidedCount: 0, untold } };
    await logIn();
    const items = await seen(page.locator('#attention .item'));
    expect(items).toMatch(/^CT1 could not be told what we commit to \(2 requests\)/);
    expect(items).toMatch(/nobody listens[\s\S]*MR1 could not be told[\s\S]*add reportTo/i);
  });

  it('tells of an audit trail that was altered on the way, though the study arrived', async () => {
    const record = fakeDelivery({ carriage: 'acknowledged', receipt: 'verified', custody: 'broken' });
    const advice = 'ask both sites for their own records';
    const view = { ...record, state: 'verified', peerName: 'St. Mary Hospital', advice } as const;
    operations.records.deliveries = [record];
    operations.records.overview = { custodyBroken: [view] };
    await logIn();
    const item = page.locator('#attention .item');
    expect(await seen(item)).toMatch(/^The audit trail of a study for St. Mary Hospital was changed/);
    expect(await seen(item)).toContain(advice);
  });

  it('names every PACS that refused a study with its own reason, and one that is paused', async () => {
    const at = { code: 'PACS_REFUSED', stage: 'deliver', atMs: Date.now(), attempt: 0 } as const;
    const counts = { storedCount: 2, refusedCount: 1 };
    const refused = (message: string) =>
      ({ ...counts, state: 'refused', lastError: { ...at, message } }) as const;
    const paused = {
      ...at,
      code: 'PACS_PAUSED',
      message: 'sending to main is paused in the config',
    } as const;
    const shared = {
      progress: 'verified',
      instanceCount: 3,
      studyInstanceUid: '1.2.3',
      modalities: [],
    } as const;
    operations.records.receptions = [
      fakeReception({
        ...shared,
        pacs: { ct: refused('PACS answers 0xC000'), mr: refused('PACS takes no MR'), cr: refused('busy') },
      }),
      fakeReception({
        ...shared,
        pacs: {
          main: { state: 'pending', storedCount: 0, refusedCount: 0, lastError: { ...paused, attempt: 1 } },
        },
      }),
    ];
    await logIn();
    const list = page.locator('#attention');
    await list.getByText('ct, mr and cr refused a study from site-c').waitFor();
    expect(await seen(list)).toMatch(/ct: PACS answers 0xC000. mr: PACS takes no MR. cr: busy/i);
    expect(await seen(list)).toMatch(/Sending to main is paused[\s\S]*1 envelope waits here/);
    const rows = await page.textContent('#receptions');
    expect(rows).toContain('Sending to main is paused in the config');
    expect(rows).not.toContain('Attempt');
  });

  it('tells of an exchange that cannot be reached, and of an envelope there that cannot be fetched', async () => {
    const town = {
      name: 'town',
      type: 'ftps',
      lookedAtMs: Date.now() - 12_000,
      waitingCount: 3,
      waitingBytes: 64_000_000,
    } as const;
    const stuck = {
      id: parseEnvelopeId('0f8b7c1e-5d0a-4c1b-9e55-6f0e6c7a9b01'),
      code: 'ENVELOPE_TOO_LARGE',
      message: 'the envelope is larger than the limit',
      atMs: Date.now() - 90_000,
      advice: 'raise https.maxEnvelopeBytes if it is legitimate',
    };
    operations.records.overview = { exchanges: [] };
    await logIn();
    expect(await page.locator('#exchanges').isHidden()).toBe(true);

    operations.records.overview = { exchanges: [{ ...town, troubles: [stuck] }] };
    operations.changed();
    const panel = page.locator('#exchanges li');
    await panel.waitFor();
    expect(await seen(panel)).toMatch(/^town FTPS server\s+1 stuck\s+3 envelopes wait there · 64\.0 MB/);
    const item = page.locator('#attention .item');
    expect(await seen(item)).toMatch(
      /^An envelope at the FTPS server town cannot be fetched\s+The envelope is larger than the limit/,
    );
    expect(await seen(item)).toContain(stuck.id);

    const error = {
      code: 'PEER_UNREACHABLE',
      message: 'the server does not answer',
      sinceMs: Date.now() - 600_000,
      advice: 'check the network',
    };
    operations.records.overview = { exchanges: [{ ...town, error, troubles: [] }] };
    operations.changed();
    await page.getByText('The FTPS server town cannot be reached').waitFor();
    expect(await seen(item)).toMatch(/The server does not answer\..*To do\s*check the network.*10 min ago/s);
    // How much waits there is not known any more.
    expect(await seen(panel)).toMatch(/failing\s+The server does not answer/);
    expect(complaints).toEqual([]);
  });

  it('a key that nobody vouches for waits for a person; one that was announced is only told', async () => {
    const command = `drawbridge peers accept site-b ${'k'.repeat(43)}`;
    const notices = [
      {
        key: 'site-b new',
        level: 'act',
        text: 'Hospital B publishes a new signing key that no known key of theirs vouches for; it is not used',
        advice: 'compare the fingerprint with them by telephone, then run',
        command,
        atMs: Date.now() - 90_000,
      },
      { key: 'site-b next', level: 'know', text: 'a new encryption key is used', advice: '' },
    ] as const;
    const peer = { id: 'site-b', name: 'Hospital B', contact: 'b', isConfigured: true };
    await logIn();
    expect(await page.locator('#peers').isHidden()).toBe(true);

    operations.records.peers = [{ ...peer, signing: [], offered: [], revoked: [], notices }];
    operations.changed();
    const panel = page.locator('#peers li');
    await panel.waitFor();
    expect(await seen(panel)).toMatch(/^Hospital B\s+A new encryption key is used$/);
    const item = page.locator('#attention .item');
    expect(await seen(item)).toMatch(/^Hospital B publishes a new signing key .*To do\s*compare/s);
    expect(await seen(item)).toContain(command);
    expect(complaints).toEqual([]);
  });

  it('a delivery outside its time window waits, and has not failed; what has left is shown', async () => {
    const sealed = { sizeBytes: 21_400_000, manifestSha256: 'ab'.repeat(32) };
    const opensAt = new Date(Date.now() + 6 * 3_600_000);
    const failure = { stage: 'ship', attempt: 1, atMs: Date.now() } as const;
    const message = 'waits for the time window of the peer, which opens 2026-02-07 22:00';
    const shared = { carriage: 'sealed', sealed } as const;
    const outside = { ...failure, code: 'OUTSIDE_WINDOW', message } as const;
    operations.records.via = 'town';
    operations.records.deliveries = [
      fakeDelivery({
        ...shared,
        priority: 'low',
        lastError: { ...outside, nextAttemptAtMs: opensAt.getTime() },
      }),
      // Looked at again after a day, but not open by then.
      fakeDelivery({ ...shared, lastError: { ...outside, nextAttemptAtMs: failure.atMs + 86_400_000 } }),
      fakeDelivery({
        ...shared,
        priority: 'stat',
        sentBytes: 14_200_000,
        lastError: { ...failure, code: 'PEER_UNREACHABLE', message: 'the line broke' },
      }),
      fakeDelivery({ carriage: 'acknowledged', sealed, sentBytes: 21_500_000 }),
    ];
    await logIn();
    const rows = page.locator('#deliveries li .row');
    const texts = (await rows.allInnerTexts()).map((text) => text.replaceAll(/\s+/g, ' '));
    const hour = `${String(opensAt.getHours()).padStart(2, '0')}:${String(opensAt.getMinutes()).padStart(2, '0')}`;
    expect(texts[0]).toContain('St. Mary Hospital low');
    expect(texts[0]).toContain(`accepted Waits for its time window, which opens ${hour}`);
    expect(texts[1]).toContain(
      'accepted Waits for the time window of the peer, which opens 2026-02-07 22:00',
    );
    expect(texts[2]).toContain('St. Mary Hospital STAT');
    expect(texts[2]).toContain('Attempt 1: the line broke 14.2 of 21.4 MB sent');
    expect(texts[3]).toContain('Safe at town, where they take it');
    expect(texts[3]).not.toContain('sent');
    expect(texts.slice(0, 2).join()).not.toContain('Attempt');
    expect(await page.textContent('#attention')).toContain('Nothing waits for you');

    await rows.first().click();
    const story = page.getByRole('dialog');
    await story.waitFor();
    expect(await story.locator('.notice').count()).toBe(0);
    expect(await seen(story)).toContain(`Waits for its time window, which opens ${hour}`);
    expect(await seen(story)).toContain('widen peers[].windows and restart');
    expect(await seen(story)).toMatch(/Goes by way of\s+town/);
    expect(complaints).toEqual([]);
  });

  it('says from which exchange an envelope was taken, and calls a receipt a receipt', async () => {
    const { fromPeerId: _, ...taken } = fakeReception({
      takenFrom: { exchange: 'town', archiveBytes: 12_800_000 },
    });
    const parking = { code: 'RECEIPT_INVALID', message: 'not signed', stage: 'verify', atMs: 1 } as const;
    const receiptFor = fakeDelivery().id;
    const receipt = fakeReception({ receiptFor, progress: 'confirmed', quarantined: parking });
    operations.records.receptions = [taken, receipt];
    await logIn();
    const item = await page.textContent('#attention .item');
    expect(item).toContain('A receipt from site-c is in quarantine');
    const rows = page.locator('#receptions li .row');
    expect(await seen(rows.nth(1))).toContain('receipt');
    await rows.nth(0).click();
    const story = page.getByRole('dialog');
    await story.waitFor();
    expect(await seen(story)).toMatch(/Taken from\s+town, as an archive of 12\.8 MB/);
    expect(await seen(story)).toContain('Taken from town: the envelope is durable here');
    await page.goto(`${address()}/#/receptions/${receipt.id}`);
    await page.getByRole('heading', { name: 'Receipt from site-c', exact: true }).waitFor();
    expect(await seen(story)).toMatch(new RegExp(`Receipt for\\s+${receiptFor}`));
    expect(complaints).toEqual([]);
  });

  it('a caller that is refused is shown with the line that lets it in, unless its title is tied to certificates', async () => {
    const caller = {
      callingAe: 'CT1',
      calledAe: 'DRAWBRIDGE',
      remoteAddress: '10.1.2.3',
      count: 1,
      atMs: Date.now(),
    };
    const line = '{ aeTitle: CT1, hosts: [10.1.2.3] }';
    operations.records.refusals = [{ ...caller, code: 'CALLING_AE_UNKNOWN', advice: '' }];
    await logIn();
    const item = page.locator('#attention .item');
    await item.waitFor();
    expect(await seen(item)).toContain(line);
    const { advice } = CODES.CALLING_AE_UNPROVED;
    operations.records.refusals = [
      { ...caller, code: 'CALLING_AE_UNPROVED', reason: 'its AE title may not call with it', advice },
    ];
    await page.reload();
    await item.getByText(advice).waitFor();
    expect(await seen(item)).toContain('may not call with it');
    expect(await seen(item)).not.toContain(line);
    expect(complaints).toEqual([]);
  });

  it('what a PACS refused late can be dismissed, once a person has said that it was dealt with', async () => {
    const message = 'main does not commit to 1 instance; it says so after the delivery had ended';
    const lastError = { code: 'COMMITMENT_FAILED', message, stage: 'deliver', atMs: 1, attempt: 0 } as const;
    const main = { state: 'refused', storedCount: 1, refusedCount: 1, lastError } as const;
    const late = fakeReception({ progress: 'confirmed', instanceCount: 2, pacs: { main } });
    operations.records.receptions = [late];
    await logIn();
    const item = page.locator('#attention .item');
    await item.waitFor();
    expect(await seen(item)).toContain('main refused a study from site-c');
    const dismiss = page.getByRole('button', { name: 'Dismiss the refusal of what came from site-c' });
    await dismiss.click();
    // Enter changes nothing: the question stands on Cancel.
    await page.getByRole('heading', { name: 'Has it been dealt with?' }).waitFor();
    await page.keyboard.press('Enter');
    await page.waitForSelector('dialog.confirm', { state: 'detached' });
    expect(operations.records.receptions[0]?.dismissed).toBeUndefined();
    await dismiss.click();
    await page.getByRole('button', { name: 'Dismiss it' }).click();
    await page.getByText('What came from site-c needs no attention any more.').waitFor();
    await page.getByText('Nothing waits for you', { exact: true }).waitFor();
    expect(await item.count()).toBe(0);
    expect(await seen(page.locator('#receptions li .row'))).toContain('dismissed');

    await page.goto(`${address()}/#/receptions/${late.id}`);
    const story = page.locator('#story');
    await story.getByText('It needs no attention any more.').waitFor();
    expect(await seen(story)).toContain('Dismissed: dealt with by a person (dashboard, 127.0.0.1)');
    await story.getByRole('button', { name: 'Retry this one' }).click();
    await page.getByText('It is tried again.').waitFor();
    expect(operations.records.receptions[0]?.dismissed).toBeUndefined();
    expect(complaints).toEqual([]);
  });

  it('shows stuck ones however many newer ones there are, and never text as markup', async () => {
    const markup = '<img src=x onerror="document.title=1">';
    const parking = { code: 'PAYLOAD_INCONSISTENT', message: markup, stage: 'verify', atMs: 1 } as const;
    operations.records.receptions = [
      ...Array.from({ length: 120 }, () => fakeReception()),
      fakeReception({ senderName: markup, quarantined: parking }),
    ];
    await logIn();
    const text = await page.textContent('#attention .item');
    expect(text).toContain(`An envelope from ${markup} is in quarantine`);
    expect(await page.locator('#attention img').count()).toBe(0);
    expect(complaints).toEqual([]);
  });

  it('keeps the focus where it is while the lists change around it', async () => {
    const [first, second] = [fakeDelivery(), fakeDelivery()];
    operations.records.deliveries = [first, second];
    await logIn();
    await page.locator(`[data-story="#/deliveries/${second.id}"]`).focus();
    operations.records.deliveries = [fakeDelivery(), { ...second, instanceCount: 25 }];
    operations.changed();
    await page.getByText('25 instances').waitFor();
    expect(await page.evaluate('document.activeElement.dataset.story')).toBe(`#/deliveries/${second.id}`);
  });

  it('says that the connection is lost, and goes on when the bridge is back', async () => {
    await listener.close(0);
    const auth = { passwordHash, apiToken: 'token', sessionKey: Buffer.alloc(32, 3) };
    const app = createDashboardApp({ operations, boardQueues: [], auth, log: silentLog });
    // One that nobody is given while it is closed.
    const port = await freePort();
    listener = await listenPlain({ host: '127.0.0.1', port, app });
    await logIn();
    await listener.close(0);
    await page.waitForSelector('#lost:not([hidden])', { timeout: 15_000 });
    listener = await listenPlain({ host: '127.0.0.1', port, app });
    await page.waitForSelector('#lost', { state: 'hidden', timeout: 15_000 });
  });

  it('fits a phone', async () => {
    await page.setViewportSize({ width: 390, height: 844 });
    operations.records.deliveries = [fakeDelivery()];
    operations.records.receptions = [fakeReception()];
    const exchange = {
      name: 'a-server-with-a-long-name',
      type: 'ftps',
      waitingCount: 0,
      waitingBytes: 0,
    } as const;
    operations.records.overview = { exchanges: [{ ...exchange, troubles: [] }] };
    await logIn();
    await page.waitForSelector('#deliveries li .row');
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390);
  });
});
