/**
 * Hostile envelopes on the whole way in: fetched, received, opened, verified by a real site. Each ends with its own code
 * where an operator finds it, nothing of its payload gets out of staging, and the next good envelope is delivered.
 */
import { createHash, randomUUID } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import { type EnvelopeId, parseEnvelopeId } from '../../src/domain/envelope-id.js';
import { readOpenedInstances } from '../../src/inbound/verify.js';
import { archiveName } from '../../src/transport/exchange-names.js';
import { makeSites, type TestSite, type TestSites } from '../support/site-parts.js';
import { type RawEntry, tarOf } from '../unit/jmix/support/archives.js';
import { payloadFile, sealInMemory } from '../unit/jmix/support/sealing.js';

let sites: TestSites;
let a: TestSite;
let b: TestSite;
let instance: Buffer;
let sopInstanceUid: string;

beforeAll(async () => {
  sites = await makeSites(['site-a', 'site-b']);
  a = sites.site('site-a');
  b = sites.site('site-b');
  const [made] = await makeStudy({ kind: 'ct', out: join(sites.root, 'made'), slices: 1, rows: 16 });
  instance = await readFile(made?.path ?? '');
  sopInstanceUid = made?.sopInstanceUid ?? '';
});
afterAll(() => sites.close());

/** An envelope of site-a for site-b with these files, as the entries of its archive. */
async function envelopeOf(
  files: readonly (readonly [name: string, bytes: Buffer])[],
  more: Parameters<typeof sealInMemory>[0] = {},
): Promise<{ id: EnvelopeId; entries: RawEntry[] }> {
  const id = parseEnvelopeId(randomUUID());
  const { keys, settings } = b.context;
  const { sealed, payload } = await sealInMemory({
    id,
    createdAtMs: a.time.ms,
    sender: a.context.settings.site,
    recipients: [{ entity: settings.site, key: keys.encryption.publicKey }],
    files: files.map(([name, bytes]) => payloadFile(name, bytes)),
    signingKey: a.context.keys.signing.privateKey,
    ...more,
  });
  return {
    id,
    entries: [
      { name: 'manifest.json', content: sealed.manifest },
      { name: 'manifest.jws', content: sealed.jws },
      { name: 'payload.encrypted', content: payload },
    ],
  };
}

const good = () => envelopeOf([[`dicom/${sopInstanceUid}.dcm`, instance]]);

async function arrive(id: EnvelopeId, archive: Buffer): Promise<void> {
  await writeFile(join(b.inboxFolder, archiveName(id)), archive);
  await b.poll();
}

/** Nothing of it lies where anything but the quarantine would find it, nor has the PACS seen it. */
async function expectOut(id: EnvelopeId): Promise<void> {
  const { layout } = b.context;
  for (const folder of [layout.inbox, layout.staging, layout.opened])
    expect((await readdir(folder)).filter((name) => name.includes(id))).toEqual([]);
  expect(await readdir(layout.scratch)).toEqual([]);
}

async function expectNextDelivered(): Promise<void> {
  const { id, entries } = await good();
  await arrive(id, tarOf(entries));
  expect(await b.context.receptions.read(id)).toMatchObject({
    progress: 'confirmed',
    studyInstanceUid: expect.any(String),
  });
  expect([...sites.pacs.stored.keys()]).toEqual([sopInstanceUid]);
}

describe('an archive that can never be taken is put aside at the exchange, and the next is delivered', () => {
  it.each<[string, string, (entries: RawEntry[]) => Buffer]>([
    ['cut off', 'ENVELOPE_MALFORMED', (entries) => tarOf(entries).subarray(0, 3000)],
    ['of noise', 'ENVELOPE_MALFORMED', () => Buffer.alloc(5000, 0x5a)],
    ['with a link', 'ARCHIVE_UNSAFE', (entries) => tarOf([...entries, { name: 'payload/x', type: '2' }])],
    ['with a name that climbs', 'ARCHIVE_UNSAFE', (entries) => tarOf([...entries, { name: '../x' }])],
    [
      'with a manifest that says its id twice',
      'MANIFEST_INVALID',
      ([manifest, ...others]) =>
        tarOf([
          { name: 'manifest.json', content: String(manifest?.content).replace('{', '{"id":"x",') },
          ...others,
        ]),
    ],
    [
      'with a manifest of 2 MB',
      'ENVELOPE_MALFORMED',
      ([, ...others]) => tarOf([{ name: 'manifest.json', content: Buffer.alloc(2_000_000, ' ') }, ...others]),
    ],
  ])('one %s: %s', async (_, code, pack) => {
    const { id, entries } = await good();
    await arrive(id, pack(entries));
    expect(b.logged.filter((line) => line.event === 'envelope.refused').at(-1)).toMatchObject({
      reception: id,
      code,
    });
    expect(await b.context.receptions.read(id)).toBeUndefined();
    await expectOut(id);
    await expectNextDelivered();
  });
});

describe('an envelope that does not hold what it promises is quarantined, and the next is delivered', () => {
  const stranger = () => sites.site('site-b').context.keys.signing.privateKey;
  const flipped = (entries: RawEntry[], name: string) =>
    entries.map((entry) => {
      if (entry.name !== name) return entry;
      const bytes = Buffer.from(entry.content ?? '');
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      return { ...entry, content: bytes };
    });

  it.each<[string, string, string, () => Promise<{ id: EnvelopeId; entries: RawEntry[] }>]>([
    [
      'with a flipped bit',
      'PAYLOAD_DECRYPT_FAILED',
      'open',
      async () => {
        const { id, entries } = await good();
        return { id, entries: flipped(entries, 'payload.encrypted') };
      },
    ],
    [
      'with a flipped bit in its signature',
      'ASSERTION_INVALID',
      'open',
      async () => {
        const { id, entries } = await good();
        return { id, entries: flipped(entries, 'manifest.jws') };
      },
    ],
    [
      'of another signer',
      'SIGNER_NOT_PINNED',
      'open',
      () => envelopeOf([[`dicom/${sopInstanceUid}.dcm`, instance]], { signingKey: stranger() }),
    ],
    [
      'sealed to another',
      'PAYLOAD_DECRYPT_FAILED',
      'open',
      () =>
        envelopeOf([[`dicom/${sopInstanceUid}.dcm`, instance]], {
          recipients: [{ entity: b.context.settings.site, key: a.context.keys.encryption.publicKey }],
        }),
    ],
    [
      'whose assertion has expired',
      'ASSERTION_EXPIRED',
      'open',
      () => envelopeOf([[`dicom/${sopInstanceUid}.dcm`, instance]], { assertionExpiresAtMs: a.time.ms - 1 }),
    ],
    [
      'whose file is named after another instance',
      'PAYLOAD_INCONSISTENT',
      'verify',
      () => envelopeOf([['dicom/1.2.826.0.1.3680043.10.1234.5.dcm', instance]]),
    ],
    [
      'whose file is named after another instance, without ending',
      'PAYLOAD_INCONSISTENT',
      'verify',
      () => envelopeOf([['dicom/series/1.2.826.0.1.3680043.10.1234.5', instance]]),
    ],
    [
      'that holds an instance twice',
      'PAYLOAD_INCONSISTENT',
      'verify',
      () =>
        envelopeOf([
          ['dicom/1.dcm', instance],
          ['dicom/2.dcm', instance],
        ]),
    ],
    [
      'that holds no instance',
      'PAYLOAD_INCONSISTENT',
      'verify',
      () => envelopeOf([['dicom/1.dcm', Buffer.from('not DICOM')]]),
    ],
    ...[
      'MZ',
      '\x7fELF',
      '#!/bin/sh\n',
      '\xcf\xfa\xed\xfe',
      '\xca\xfe\xba\xbe',
      '%PDF-1.7',
      'PK\x03\x04',
      '\xff\xd8\xff\xe0',
      '\x1f\x8b',
    ].map((head): [string, string, string, () => Promise<{ id: EnvelopeId; entries: RawEntry[] }>] => [
      `whose preamble begins with ${JSON.stringify(head)}`,
      'ARCHIVE_UNSAFE',
      'verify',
      () => envelopeOf([['dicom/1.dcm', beginningWith(head)]]),
    ]),
  ])('one %s: %s', async (_, code, stage, make) => {
    const { id, entries } = await make();
    await arrive(id, tarOf(entries));
    expect(await b.context.receptions.read(id)).toMatchObject({ quarantined: { code, stage } });
    await expectOut(id);
    await expectNextDelivered();
  });

  it('one that comes again in other bytes: ENVELOPE_EXISTS, and what was delivered stays', async () => {
    const first = await good();
    await arrive(first.id, tarOf(first.entries));
    const { entries } = await envelopeOf([['dicom/1.dcm', instance]], { id: first.id });
    await arrive(first.id, tarOf(entries));
    expect(b.logged.filter((line) => line.event === 'envelope.refused').at(-1)).toMatchObject({
      code: 'ENVELOPE_EXISTS',
    });
    expect((await b.context.receptions.read(first.id))?.quarantined).toBeUndefined();
  });

  it('one that comes again as it was is not taken again', async () => {
    const { id, entries } = await good();
    await arrive(id, tarOf(entries));
    const before = await b.context.receptions.read(id);
    await arrive(id, tarOf(entries));
    expect(
      b.logged.filter((line) => line.event === 'envelope.opened' && line['reception'] === id),
    ).toHaveLength(1);
    expect((await b.context.receptions.read(id))?.receivedAtMs).toBe(before?.receivedAtMs);
  });
});

describe('a file whose name is not that of its instance', () => {
  it.each(['0001.dcm', 'IM000001', 'CT.1.2.840.1.dcm', '2026.11.21.1234567.dcm', '1.2.3.dcm'])(
    'is delivered all the same, when the name reads as no UID: %s',
    async (name) => {
      const { id, entries } = await envelopeOf([[`dicom/${name}`, instance]]);
      await arrive(id, tarOf(entries));
      expect((await b.context.receptions.read(id))?.quarantined).toBeUndefined();
    },
  );
});

describe('a foreign preamble, where the config says to blank it', () => {
  it('is zeros in the opened file, whose data set is as it was, and the log says so', async () => {
    const { settings } = b.context;
    const blanking = b.process({
      settings: { ...settings, trust: { ...settings.trust, preamble: 'blank' } },
    });
    const { id, entries } = await envelopeOf([['dicom/program.dcm', beginningWith('MZ\x90\0')]]);
    await writeFile(join(b.inboxFolder, archiveName(id)), tarOf(entries));
    await blanking.poll();
    expect((await b.context.receptions.read(id))?.quarantined).toBeUndefined();
    const opened = await readFile(join(b.context.layout.openedOf(id), 'dicom', 'program.dcm'));
    expect(opened.subarray(0, 128).equals(Buffer.alloc(128))).toBe(true);
    const hash = (bytes: Buffer) => createHash('sha256').update(bytes.subarray(128)).digest('hex');
    expect(hash(opened)).toBe(hash(instance));
    expect(b.logged).toContainEqual(
      expect.objectContaining({ event: 'preambles.blanked', reception: id, instances: 1 }),
    );
    const [inspected] = await readOpenedInstances(blanking.inbound, id);
    expect(inspected?.preambleBlanked).toBe(true);
  });
});

function beginningWith(head: string): Buffer {
  const bytes = Buffer.from(instance);
  bytes.write(head, 'latin1');
  return bytes;
}
