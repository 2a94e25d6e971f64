/** Files and words that people add to a study in the spool: durable before they are acknowledged, and never left behind. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { AttachmentKind } from '../../src/domain/attachment.js';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import { readManifest } from '../../src/jmix/manifest.js';
import { attach, describe } from '../../src/outbound/attach.js';
import { sweepStudies } from '../../src/outbound/sweep.js';
import { openStudyStore } from '../../src/spool/study-store.js';
import { makeSites, type TestSite, type TestSites } from '../support/site-parts.js';
import { completeFor, gatherStudy, routeTo } from '../support/site-studies.js';

const HOUR_MS = 3_600_000;
const REPORT = Buffer.from('%PDF-1.7 a synthetic report');

let sites: TestSites;
let a: TestSite;
let b: TestSite;
let key: string;

beforeEach(async () => {
  sites = await makeSites(['site-a', 'site-b']);
  a = sites.site('site-a');
  b = sites.site('site-b');
  key = await gatherStudy(a.outbound);
});
afterEach(() => sites.close());

const add = (name: string, bytes: Buffer = REPORT, kind: AttachmentKind = 'file', maxBytes = 1024) => {
  const body = (async function* () {
    yield bytes.subarray(0, 5);
    yield bytes.subarray(5);
  })();
  return attach(a.outbound, key, { name, kind, body, maxBytes });
};
const studyOf = async (store = a.outbound.studies) => {
  const study = await store.find(key);
  if (study === undefined) throw new Error('there is no such study');
  return study;
};
const complete = async () => {
  const ids = await completeFor(a.outbound, key, routeTo('site-b'));
  await a.work();
  return ids[0] as EnvelopeId;
};
const manifestOf = async (id: EnvelopeId) =>
  readManifest((await a.context.deliveries.readDocument(id, 'manifest.json')) ?? Buffer.alloc(0));
const openedAt = (id: EnvelopeId) => b.context.layout.openedOf(id);
const incoming = () => readdir(a.context.layout.incoming);
const seriesUid = async () => [...(await studyOf()).instances.values()][0]?.seriesInstanceUid ?? '';

it.each([
  ['../up.pdf', 'ARCHIVE_UNSAFE'],
  ['a/b.pdf', 'ARCHIVE_UNSAFE'],
  ['', 'ARCHIVE_UNSAFE'],
  ['back\\slash', 'ARCHIVE_UNSAFE'],
  [`${'x'.repeat(97)}.pdf`, 'ARCHIVE_UNSAFE'],
])('the name %j is refused before a byte is written', async (name, code) => {
  await expect(add(name)).rejects.toMatchObject({ code });
  expect(await incoming()).toEqual([]);
  expect((await studyOf()).attachments.size).toBe(0);
});

it('one that is too large, empty or cut off leaves nothing behind', async () => {
  await expect(add('big.bin', Buffer.alloc(1025))).rejects.toMatchObject({ code: 'ENVELOPE_TOO_LARGE' });
  await expect(add('empty.bin', Buffer.alloc(0))).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
  const body = (async function* () {
    yield REPORT;
    throw new Error('the line broke');
  })();
  await expect(
    attach(a.outbound, key, { name: 'x.pdf', kind: 'file', body, maxBytes: 1024 }),
  ).rejects.toThrow('the line broke');
  expect(await incoming()).toEqual([]);
  expect((await studyOf()).attachments.size).toBe(0);
});

it('an unknown study, and what could be the name of another folder, is not found', async () => {
  for (const other of ['0'.repeat(32), '../keys', '']) {
    const body = (async function* () {
      yield REPORT;
    })();
    await expect(
      attach(a.outbound, other, { name: 'x', kind: 'file', body, maxBytes: 99 }),
    ).rejects.toMatchObject({ code: 'STUDY_NOT_FOUND' });
  }
});

it('the same again is a success, under any spelling; other bytes or another kind are a conflict', async () => {
  expect(await add('Report.pdf')).toBe(true);
  expect(await add('Report.pdf')).toBe(false);
  await expect(add('Report.pdf', Buffer.from('other bytes'))).rejects.toMatchObject({
    code: 'STATE_INVALID',
  });
  await expect(add('REPORT.PDF', Buffer.from('other bytes'))).rejects.toMatchObject({
    code: 'STATE_INVALID',
  });
  await expect(add('Report.pdf', REPORT, 'report')).rejects.toMatchObject({ code: 'STATE_INVALID' });
  expect((await studyOf()).attachments.size).toBe(1);
});

it('of two that come at once under one name, one is kept', async () => {
  const outcomes = await Promise.allSettled([add('x.pdf'), add('x.pdf', Buffer.from('other bytes'))]);
  expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  expect((await studyOf()).attachments.size).toBe(1);
});

it('a preview is of a series of the study, and a study has one report at a time', async () => {
  await expect(add('1.2.3.jpg', REPORT, 'preview')).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
  expect(await add(`${await seriesUid()}.jpg`, REPORT, 'preview')).toBe(true);
  expect(await add('first.pdf', REPORT, 'report')).toBe(true);
  await expect(add('second.pdf', REPORT, 'report')).rejects.toMatchObject({ code: 'STATE_INVALID' });
});

it('no file name on the disk tells what an attachment is called', async () => {
  await add('Mueller-Erika.pdf');
  const names = await readdir(a.context.layout.study(key), { recursive: true });
  expect(names.filter((name) => /mueller/i.test(name))).toEqual([]);
  expect(JSON.stringify(a.logged)).not.toMatch(/mueller/i);
});

it('what was acknowledged is there after a restart, with its words', async () => {
  await add('report.pdf', REPORT, 'report');
  await describe(a.outbound, key, { customTags: ['urgent'] });
  const again = await studyOf(await openStudyStore(a.context.layout));
  expect([...again.gathering.attachments]).toEqual(['files/report.pdf']);
  expect(again.extensions).toEqual({ customTags: ['urgent'] });
});

it('all of it travels with the study, and stays at the other end without going to the PACS', async () => {
  const series = await seriesUid();
  await add('report.pdf', REPORT, 'report');
  await add('scan.jpg', Buffer.from('jpeg'));
  await add(`${series}.jpg`, Buffer.from('small'), 'preview');
  await describe(a.outbound, key, { consent: { status: 'granted' }, customTags: ['x'] });
  const id = await complete();
  expect(await a.context.deliveries.read(id)).toMatchObject({ attachmentCount: 3, instanceCount: 2 });
  expect((await manifestOf(id)).extensions).toMatchObject({
    consent: { status: 'granted' },
    custom_tags: ['x'],
  });
  await b.poll();
  expect(await b.context.receptions.read(id)).toMatchObject({ attachmentCount: 3, instanceCount: 2 });
  expect(await readFile(join(openedAt(id), 'files', 'report.pdf'))).toEqual(REPORT);
  expect(await readFile(join(openedAt(id), 'preview', `${series}.jpg`), 'utf8')).toBe('small');
  const metadata = JSON.parse(await readFile(join(openedAt(id), 'metadata.json'), 'utf8'));
  expect(metadata.report).toEqual({ file: 'files/report.pdf' });
  expect(sites.pacs.stored.size).toBe(2);
  await a.poll();
  expect(await a.context.deliveries.read(id)).toMatchObject({ receipt: 'verified' });
});

it('what comes when the study has gone follows it as an addendum, with one instance to tell whose it is', async () => {
  const first = await complete();
  a.time.ms += HOUR_MS;
  expect(await add('late.pdf', REPORT, 'report')).toBe(true);
  expect(a.outbound.studies.gathering().map((study) => study.key)).toEqual([key]);
  const id = await complete();
  expect(await a.context.deliveries.read(id)).toMatchObject({
    attachmentCount: 1,
    instanceCount: 1,
    addendumTo: first,
  });
  b.time.ms = a.time.ms;
  await b.poll();
  expect(await readFile(join(openedAt(id), 'files', 'late.pdf'))).toEqual(REPORT);
  await a.poll();
  for (const each of [first, id]) {
    expect(await a.context.deliveries.read(each)).toMatchObject({ receipt: 'verified' });
  }
  // The same again, when it has gone: known, and not sent twice.
  expect(await add('late.pdf', REPORT, 'report')).toBe(false);
  expect(a.outbound.studies.gathering()).toEqual([]);
});

it('words that nothing could carry any more are refused; they go with what is attached first', async () => {
  await complete();
  const late = () => describe(a.outbound, key, { customTags: ['late'] });
  await expect(late()).rejects.toMatchObject({ code: 'STATE_INVALID' });
  await add('late.pdf');
  await late();
  expect((await manifestOf(await complete())).extensions).toMatchObject({ custom_tags: ['late'] });
});

it('a study is not forgotten while an attachment waits, and takes its attachments along when it is', async () => {
  await complete();
  await b.poll();
  await a.poll();
  a.time.ms += HOUR_MS;
  await add('late.pdf');
  expect(await sweepStudies(a.outbound, 1)).toBe(0);
  await complete();
  b.time.ms = a.time.ms;
  await b.poll();
  await a.poll();
  a.time.ms += HOUR_MS;
  expect(await sweepStudies(a.outbound, 1)).toBe(1);
  expect(await readdir(a.context.layout.studies)).toEqual([]);
  await expect(add('later.pdf')).rejects.toMatchObject({ code: 'STUDY_NOT_FOUND' });
});

it('one that comes while the study is being forgotten is refused, or keeps it', async () => {
  await complete();
  await b.poll();
  await a.poll();
  a.time.ms += HOUR_MS;
  const [swept, added] = await Promise.allSettled([sweepStudies(a.outbound, 1), add('late.pdf')]);
  const isThere = (await a.outbound.studies.find(key))?.attachments.has('files/late.pdf') === true;
  expect([swept.status, added.status === 'fulfilled']).toEqual(['fulfilled', isThere]);
});

it('bytes that changed on the disk never leave', async () => {
  await add('report.pdf');
  const [attachment] = (await studyOf()).attachments.values();
  const path = a.context.layout.attachment(key, attachment?.sha256 ?? '');
  await writeFile(path, Buffer.alloc(REPORT.length));
  const id = await complete();
  expect(await a.context.deliveries.read(id)).toMatchObject({ parked: { code: 'SPOOL_CORRUPT' } });
  expect(await readdir(b.inboxFolder)).toEqual([]);
});
