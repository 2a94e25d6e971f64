/** What a site does not believe of an envelope that is signed and whole: its date, and what its files are besides DICOM. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import { retryReception } from '../../src/inbound/retry.js';
import { ship } from '../../src/outbound/ship.js';
import { makeSites, type TestSite, type TestSites } from '../support/site-parts.js';
import { sealFile } from '../support/site-studies.js';

const { signal } = new AbortController();
const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

let sites: TestSites;
let a: TestSite;
let b: TestSite;

beforeEach(async () => {
  sites = await makeSites(['site-a', 'site-b']);
  a = sites.site('site-a');
  b = sites.site('site-b');
  // Manifests are dated in whole seconds; so are the boundaries below, then.
  a.time.ms -= a.time.ms % 1000;
  b.time.ms = a.time.ms;
});
afterEach(() => sites.close());

const receptionOf = (id: EnvelopeId) => b.context.receptions.read(id);
const deliveryOf = (id: EnvelopeId) => a.context.deliveries.read(id);

/** It is out of the way, whole, and nothing of its payload is anywhere. */
async function expectQuarantined(id: EnvelopeId, code: string, stage: string): Promise<void> {
  expect(await receptionOf(id)).toMatchObject({ quarantined: { code, stage } });
  const { layout } = b.context;
  expect(await readdir(layout.quarantine)).toHaveLength(1);
  for (const folder of [layout.inbox, layout.staging, layout.opened])
    expect(await readdir(folder)).toEqual([]);
  expect(sites.pacs.stored.size).toBe(0);
}

describe('the age of an envelope', () => {
  it('one that is too old is put aside undecrypted, its sender hears of it, and a longer limit lets it in', async () => {
    const id = await a.send('site-b');
    b.time.ms += 365 * DAY_MS + 1;
    await b.poll();
    await expectQuarantined(id, 'ENVELOPE_TOO_OLD', 'open');
    expect(b.logged.map(({ event }) => event)).not.toContain('envelope.opened');
    a.time.ms = b.time.ms;
    await a.poll();
    expect(await deliveryOf(id)).toMatchObject({ receipt: 'refused', refusal: { code: 'ENVELOPE_TOO_OLD' } });

    const { settings } = b.context;
    const patient = b.process({ settings: { ...settings, trust: { ...settings.trust, maxAgeDays: 366 } } });
    await retryReception(patient.inbound, id);
    await patient.work();
    await a.poll();
    expect(await deliveryOf(id)).toMatchObject({ receipt: 'verified' });
  });

  it('one from the future is put aside, and let in when the clock is right', async () => {
    a.time.ms += 840 * MINUTE_MS + 1000;
    const id = await a.send('site-b');
    await b.poll();
    await expectQuarantined(id, 'ENVELOPE_FROM_FUTURE', 'open');
    await a.poll();
    expect(await deliveryOf(id)).toMatchObject({ refusal: { code: 'ENVELOPE_FROM_FUTURE' } });
    b.time.ms = a.time.ms;
    await retryReception(b.inbound, id);
    await b.work();
    await a.poll();
    expect(await deliveryOf(id)).toMatchObject({ receipt: 'verified' });
  });

  it.each([
    ['as old as the limit', 365 * DAY_MS],
    ['as far ahead as the limit', -840 * MINUTE_MS],
  ])('one that is just %s is delivered', async (_what, ageMs) => {
    const id = await a.send('site-b');
    b.time.ms += ageMs;
    await b.poll();
    expect((await receptionOf(id))?.quarantined).toBeUndefined();
    expect(sites.pacs.stored.size).toBe(2);
  });
});

describe('the preamble of an instance', () => {
  /** An instance that begins with `head` comes to site-b. */
  async function arrive(head: string): Promise<EnvelopeId> {
    const [made] = await makeStudy({ kind: 'ct', out: join(sites.root, 'made'), slices: 1, rows: 16 });
    const file = await readFile(made?.path ?? '');
    file.write(head, 'latin1');
    const id = await sealFile(a.context, 'site-b', file);
    await ship(a.outbound, id, signal);
    return id;
  }

  it.each([
    ['a Windows program', 'MZ\x90\0'],
    ['an ELF program', '\x7fELF\x02\x01\x01'],
    ['something else', 'DOE^JANE'],
  ])('that is %s never gets out of staging, and is not quoted', async (what, head) => {
    const id = await arrive(head);
    await b.poll();
    await expectQuarantined(id, 'ARCHIVE_UNSAFE', 'verify');
    const message = (await receptionOf(id))?.quarantined?.message;
    expect(message).toContain(what);
    expect(message).not.toContain('DOE');
  });

  it.each([
    ['zeros', '\0'],
    ['TIFF', 'II*\0'],
  ])('that is %s is as it should be', async (_what, head) => {
    const id = await arrive(head);
    await b.poll();
    expect((await receptionOf(id))?.quarantined).toBeUndefined();
    expect(sites.pacs.stored.size).toBe(1);
  });

  it('is kept, byte for byte, where the config says so', async () => {
    const id = await arrive('MZ\x90\0');
    const { settings } = b.context;
    const keeping = { settings: { ...settings, trust: { ...settings.trust, preamble: 'keep' as const } } };
    await b.process(keeping).poll();
    expect((await receptionOf(id))?.quarantined).toBeUndefined();
    const opened = await readFile(join(b.context.layout.openedOf(id), 'dicom', '1.2.3.dcm'));
    expect(opened.toString('latin1', 0, 4)).toBe('MZ\x90\0');
    expect(sites.pacs.stored.size).toBe(1);
  });
});
