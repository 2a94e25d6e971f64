import { mkdir, mkdtemp, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  archiveSize,
  detectMediaType,
  openEnvelopeArchive,
  unpackEnvelopeArchive,
} from '../../../src/jmix/envelope-archive.js';
import { openEnvelopeFolder } from '../../../src/jmix/envelope-folder.js';
import { MANIFEST_MAX_BYTES } from '../../../src/jmix/manifest.js';
import { openEnvelope } from '../../../src/jmix/open.js';
import { readTar } from '../../../src/jmix/tar-reader.js';
import { tarOf, zipOf } from './support/archives.js';
import { collected } from './support/folders.js';
import { codeOf, openRequest, sealInMemory, streamOf } from './support/sealing.js';

const LIMITS = { maxBytes: 10_000_000, maxEntries: 100 };
const { sealed, payload } = await sealInMemory();

let root: string;
let folder: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'jmix-folder-'));
  folder = join(root, 'envelope');
  await mkdir(folder);
  await writeFile(join(folder, 'manifest.json'), sealed.manifest);
  await writeFile(join(folder, 'manifest.jws'), sealed.jws);
  await writeFile(join(folder, 'audit.json'), sealed.audit);
  await writeFile(join(folder, 'payload.encrypted'), payload);
});
afterEach(() => rm(root, { recursive: true, force: true }));

describe('openEnvelopeFolder', () => {
  const problems: readonly (readonly [string, string, () => Promise<unknown>])[] = [
    ['without manifest.json', 'ENVELOPE_MALFORMED', () => rm(join(folder, 'manifest.json'))],
    ['without payload', 'ENVELOPE_MALFORMED', () => rm(join(folder, 'payload.encrypted'))],
    ['with both sealed names', 'ENVELOPE_MALFORMED', () => writeFile(join(folder, 'payload.enc'), payload)],
    ['with a sealed and a plain payload', 'ENVELOPE_MALFORMED', () => mkdir(join(folder, 'payload'))],
    [
      'with a huge manifest',
      'ENVELOPE_MALFORMED',
      () => truncate(join(folder, 'manifest.json'), MANIFEST_MAX_BYTES + 1),
    ],
    ['with a linked JWS', 'ARCHIVE_UNSAFE', () => relink('manifest.jws')],
    ['with a linked payload', 'ARCHIVE_UNSAFE', () => relink('payload.encrypted')],
  ];
  const relink = async (name: string): Promise<void> => {
    await rm(join(folder, name));
    await symlink('/etc/hostname', join(folder, name));
  };

  it.each(problems)('refuses a folder %s with %s', async (_, code, damage) => {
    await damage();
    expect(await codeOf(openEnvelopeFolder(folder))).toBe(code);
  });

  it('refuses a plain payload that holds a link', async () => {
    await rm(join(folder, 'payload.encrypted'));
    await mkdir(join(folder, 'payload/dicom'), { recursive: true });
    await symlink('/etc/hostname', join(folder, 'payload/dicom/1.dcm'));
    expect(await codeOf(openEnvelopeFolder(folder))).toBe('ARCHIVE_UNSAFE');
  });

  it('gives what openEnvelope opens', async () => {
    const source = await openEnvelopeFolder(folder);
    expect(source.audit?.equals(sealed.audit)).toBe(true);
    expect((await openEnvelope(openRequest(source))).payloadCovered).toBe(true);
  });
});

describe('openEnvelopeArchive', () => {
  it('refuses a folder without manifest.json', async () => {
    await rm(join(folder, 'manifest.json'));
    expect(await codeOf(openEnvelopeArchive(folder))).toBe('ENVELOPE_MALFORMED');
  });

  it.each([10, payload.length + 10])('fails when a file has become %i bytes long', async (sizeBytes) => {
    const archive = await openEnvelopeArchive(folder);
    await truncate(join(folder, 'payload.encrypted'), sizeBytes);
    expect(await codeOf(collected(archive.stream))).toBe('SPOOL_CORRUPT');
  });

  it('is as long as it says, and unpacks to the same bytes, manifest first', async () => {
    const archive = await openEnvelopeArchive(folder);
    const bytes = await collected(archive.stream);
    expect(bytes.length).toBe(archive.sizeBytes);
    const into = join(root, 'into');
    await mkdir(into);
    const written = await unpackEnvelopeArchive(streamOf(bytes), 'application/x-tar', into, LIMITS);
    const names = ['manifest.json', 'manifest.jws', 'audit.json', 'payload.encrypted'];
    expect(written).toEqual(names.map((name) => join(into, name)));
    for (const name of names)
      expect(await readFile(join(into, name))).toEqual(await readFile(join(folder, name)));
  });

  it('carries a plain payload with its folders', async () => {
    await rm(join(folder, 'payload.encrypted'));
    await mkdir(join(folder, 'payload/dicom/series'), { recursive: true });
    await writeFile(join(folder, 'payload/dicom/series/1.dcm'), 'x');
    await writeFile(join(folder, 'payload/metadata.json'), '{}');
    const archive = await openEnvelopeArchive(folder);
    const into = join(root, 'into');
    await mkdir(into);
    await unpackEnvelopeArchive(archive.stream, 'application/x-tar', into, LIMITS);
    const source = await openEnvelopeFolder(into);
    const names = source.payload.kind === 'plain' ? source.payload.files.map(({ name }) => name).sort() : [];
    expect(names).toEqual(['dicom/series/1.dcm', 'metadata.json']);
  });
});

describe('archiveSize', () => {
  it('counts the PAX header that a file of 8 GiB needs', async () => {
    const small = archiveSize([{ name: 'payload.encrypted', sizeBytes: 8 ** 11 - 1 }]);
    const large = archiveSize([{ name: 'payload.encrypted', sizeBytes: 8 ** 11 }]);
    expect(large - small).toBe(2 * 512);
  });

  it('is that of a sparse file of 8 GiB as it is sent, and its header reads back', async () => {
    await truncate(join(folder, 'payload.encrypted'), 8 ** 11 + 5);
    const { stream, sizeBytes } = await openEnvelopeArchive(folder);
    const limits = { maxEntries: 10, maxBytes: 2 ** 40 };
    const iterator = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer, unknown, undefined>;
    for await (const entry of readTar(iterator, limits, sizeBytes)) {
      if (entry.name !== 'payload.encrypted' || entry.kind !== 'file') continue;
      expect(entry.sizeBytes).toBe(8 ** 11 + 5);
      expect(sizeBytes).toBe(entry.offset + 8 ** 11 + 512 + 1024);
      break;
    }
    stream.destroy();
  });
});

describe('an OpenPGP message', () => {
  it.each([
    ['a session key for a public key, old format', Buffer.from([0x84, 0x5e, 0x03])],
    ['the same, new format', Buffer.from([0xc1, 0x5e, 0x03])],
    ['a passphrase', Buffer.from([0x8c, 0x0d])],
    ['encrypted data', Buffer.from([0xd2, 0xff])],
    ['armour', Buffer.from('-----BEGIN PGP MESSAGE-----\n')],
  ])('is known by %s', (_, head) => {
    expect(detectMediaType(head)).toBe('application/pgp-encrypted');
  });

  it.each([
    ['a key', Buffer.from([0x99, 0x01])],
    ['armour of a key', Buffer.from('-----BEGIN PGP PUBLIC KEY BLOCK-----\n')],
    ['text', Buffer.from('%PDF-1.7')],
    ['nothing', Buffer.alloc(0)],
  ])('is not what begins with %s', (_, head) => {
    expect(detectMediaType(head)).toBeUndefined();
  });

  it('lies in a folder beside its documents, and is the whole archive', async () => {
    await writeFile(join(folder, 'message.gpg'), '0123456789');
    const { sizeBytes, stream } = await openEnvelopeArchive(folder, 4);
    expect([sizeBytes, (await buffer(stream)).toString()]).toEqual([10, '456789']);
  });
});

describe('detectMediaType', () => {
  const entries = [{ name: 'manifest.json', content: '{}' }];
  it.each([
    ['application/x-tar', tarOf(entries)],
    ['application/gzip', gzipSync(tarOf(entries))],
    ['application/zip', zipOf(entries)],
    [undefined, Buffer.from('{"not":"an archive"}')],
    [undefined, Buffer.alloc(0)],
  ])('says %s', (mediaType, bytes) => {
    expect(detectMediaType(bytes)).toBe(mediaType);
  });
});
