/** Attachments and words over HTTP and by the command line, into a real spool: who may, what is refused, what is told. */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { parseExtensions } from '../../src/config/extensions.js';
import type { Study } from '../../src/domain/study.js';
import { GatewayError } from '../../src/errors/gateway-error.js';
import { hashPassword } from '../../src/http/auth.js';
import { createDashboardApp } from '../../src/http/dashboard-app.js';
import { type HttpListener, listenPlain } from '../../src/http/server.js';
import { silentLog } from '../../src/observe/log.js';
import { attach, describe } from '../../src/outbound/attach.js';
import type { CompletionParts } from '../../src/outbound/complete-study.js';
import { openStudyStore } from '../../src/spool/study-store.js';
import { drawbridge, drawbridgeJson, makeCommandFolder } from '../support/cli.js';
import { createFakeOperations } from '../support/fake-operations.js';
import { type Asked, ask, json } from '../support/http-client.js';
import { makeSites, type TestSites } from '../support/site-parts.js';
import { gatherStudy } from '../support/site-studies.js';
import { until } from '../support/until.js';

const PASSWORD = 'correct horse';
const TOKEN = 'token-of-scripts';
const MAX_BYTES = 64 * 1024;
const AUTH = { authorization: `Bearer ${TOKEN}` };

let sites: TestSites;
let outbound: CompletionParts;
let key: string;
let folder: string;
let listener: HttpListener;
let refusal: GatewayError | undefined;

beforeAll(async () => {
  sites = await makeSites(['site-a']);
  const app = createDashboardApp({
    operations: {
      ...createFakeOperations(),
      admission: () => refusal,
      async attach(study, upload) {
        return { created: await attach(outbound, study, { ...upload, maxBytes: MAX_BYTES }) };
      },
      describeStudy: (study, extensions) => describe(outbound, study, parseExtensions(extensions)),
    },
    boardQueues: [],
    auth: { passwordHash: await hashPassword(PASSWORD), apiToken: TOKEN, sessionKey: Buffer.alloc(32, 3) },
    log: silentLog,
  });
  listener = await listenPlain({ host: '127.0.0.1', port: 0, app });
  folder = await makeCommandFolder(listener.port, TOKEN);
});
afterAll(async () => {
  await listener.close(0);
  await sites.close();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  const site = sites.site('site-a').outbound;
  await rm(site.layout.studies, { recursive: true });
  await mkdir(site.layout.studies);
  outbound = { ...site, studies: await openStudyStore(site.layout) };
  key = await gatherStudy(outbound);
  refusal = undefined;
});

const post = (query: string, asked: Partial<Asked> = {}) =>
  ask({
    port: listener.port,
    method: 'POST',
    path: `/api/studies/${key}/attachments?${query}`,
    headers: AUTH,
    body: ['some bytes'],
    ...asked,
  });
const put = (body: string, headers: Record<string, string> = { 'content-type': 'application/json' }) =>
  ask({
    port: listener.port,
    method: 'PUT',
    path: `/api/studies/${key}/extensions`,
    headers: { ...AUTH, ...headers },
    body: [body],
  });
const study = async () => (await outbound.studies.find(key)) as Study;
const attached = async () => [...(await study()).attachments.keys()];
const cli = (...args: string[]) =>
  drawbridgeJson('attach', ...args, '--config', join(folder, 'drawbridge.yaml'));
const file = async (name: string, text = 'some bytes') => {
  await writeFile(join(folder, name), text);
  return join(folder, name);
};

it('the first time is 201, the same again 200, other bytes 409', async () => {
  expect((await post('name=a.pdf')).status).toBe(201);
  expect((await post('name=a.pdf')).status).toBe(200);
  const conflict = await post('name=a.pdf', { body: ['other bytes'] });
  expect([conflict.status, json(conflict)['code']]).toEqual([409, 'STATE_INVALID']);
  expect(await attached()).toEqual(['files/a.pdf']);
});

it.each([
  ['', 400, 'REQUEST_INVALID'],
  ['name=a&name=b', 400, 'REQUEST_INVALID'],
  ['name=a.pdf&kind=study', 400, 'REQUEST_INVALID'],
  ['name=..%2Fa.pdf', 400, 'ARCHIVE_UNSAFE'],
  [`name=${'x'.repeat(101)}`, 400, 'ARCHIVE_UNSAFE'],
  ['name=1.2.3.jpg&kind=preview', 400, 'REQUEST_INVALID'],
])('the query %j is refused, and nothing of the body is asked for', async (query, status, code) => {
  const answer = await post(query, { headers: { ...AUTH, expect: '100-continue' } });
  expect([answer.status, json(answer)['code'], answer.continued]).toEqual([status, code, false]);
  expect(await attached()).toEqual([]);
});

it('nobody without the token, and no page but ours with a cookie, attaches anything', async () => {
  expect((await post('name=a', { headers: {} })).status).toBe(401);
  const session = await ask({
    port: listener.port,
    method: 'POST',
    path: '/login',
    headers: { 'content-type': 'application/x-www-form-urlencoded', 'sec-fetch-site': 'same-origin' },
    body: [`username=admin&password=${PASSWORD}`],
  });
  const cookie = session.headers['set-cookie']?.[0]?.split(';')[0] ?? '';
  expect((await post('name=a', { headers: { cookie } })).status).toBe(403);
  expect((await post('name=a', { headers: { cookie, 'sec-fetch-site': 'cross-site' } })).status).toBe(403);
  expect(await attached()).toEqual([]);
  expect((await post('name=a', { headers: { cookie, 'sec-fetch-site': 'same-origin' } })).status).toBe(201);
});

it('while the disk is nearly full nothing is taken', async () => {
  refusal = new GatewayError('SPOOL_ABOVE_WATERMARK', 'the disk is nearly full');
  expect((await post('name=a')).status).toBe(503);
  expect(await attached()).toEqual([]);
});

it('one above the limit is answered 413, however it comes, and is not kept', async () => {
  const body = Array(64).fill(Buffer.alloc(16 * 1024));
  const answer = await post('name=big', { body });
  expect([answer.status, json(answer)['code']]).toEqual([413, 'ENVELOPE_TOO_LARGE']);
  expect(await readdir(outbound.layout.incoming)).toEqual([]);
});

it('one whose caller goes away is not kept', async () => {
  const upload = request({
    port: listener.port,
    host: '127.0.0.1',
    method: 'POST',
    path: `/api/studies/${key}/attachments?name=cut.pdf`,
    headers: { ...AUTH, 'content-length': 1000 },
  });
  upload.on('error', () => undefined);
  upload.write('half of it');
  const incoming = () => readdir(outbound.layout.incoming);
  await until(async () => (await incoming()).length > 0);
  upload.destroy();
  await until(async () => (await incoming()).length === 0);
  expect(await attached()).toEqual([]);
});

it.each([
  ['{"consent": {"status": "granted"}, "customTags": ["x"]}', 204],
  ['{"consent": {"status": "perhaps"}}', 400],
  ['{"consent": {"status": "granted"}, "patient": "x"}', 400],
  ['{"customTags": ["x"], "customTags": ["y"]}', 400],
  ['[]', 400],
  ['', 400],
  ['{', 400],
])('extensions that are %s are answered %i', async (body, status) => {
  const answer = await put(body);
  expect(answer.status).toBe(status);
  expect((await study()).extensions === undefined).toBe(status !== 204);
});

it('extensions come as JSON, and not by the megabyte', async () => {
  expect((await put('x', { 'content-type': 'text/plain' })).status).toBe(415);
  expect((await put(JSON.stringify({ customTags: ['x'.repeat(70_000)] }))).status).toBe(413);
});

it('the command attaches files by the UID of the study or by its key, and a report', async () => {
  const { studyInstanceUid } = await study();
  expect(await cli(studyInstanceUid, await file('a.pdf'), await file('b.pdf'))).toEqual({
    exit: 0,
    ok: true,
    study: key,
    attached: 2,
  });
  expect(await cli(key, await file('report.pdf', 'findings'), '--report')).toMatchObject({ exit: 0 });
  expect(await attached()).toEqual(['files/a.pdf', 'files/b.pdf', 'files/report.pdf']);
  expect((await study()).attachments.get('files/report.pdf')?.kind).toBe('report');
});

it('the command attaches none of several files when one of them cannot be', async () => {
  const good = await file('a.pdf');
  expect(await cli(key, good, join(folder, 'missing.pdf'))).toMatchObject({
    exit: 1,
    code: 'REQUEST_INVALID',
  });
  const long = await file(`${'x'.repeat(110)}.pdf`);
  expect(await cli(key, good, long)).toMatchObject({ exit: 1, code: 'ARCHIVE_UNSAFE' });
  expect(await cli('no study', good)).toMatchObject({ exit: 1, code: 'REQUEST_INVALID' });
  expect(await cli(key, good, good, '--report')).toMatchObject({ exit: 1, code: 'REQUEST_INVALID' });
  expect(await attached()).toEqual([]);
  expect(await cli('1.2.3', good)).toMatchObject({ exit: 1, code: 'STUDY_NOT_FOUND' });
});

it('the command says what it did', async () => {
  const { code, stdout } = await drawbridge(
    'attach',
    key,
    await file('a.pdf'),
    '-c',
    join(folder, 'drawbridge.yaml'),
  );
  expect([code, stdout]).toEqual([0, `1 attached to ${key}\n`]);
});
