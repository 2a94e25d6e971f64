/** What a hub lets come to rest on its disk: sealed envelopes, and of anything else not a byte. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { unpackSealed } from '../../../src/hub/unpack.js';
import { formatTarHeader, paddedSize, TAR_END_BYTES } from '../../../src/jmix/tar-header.js';
import { codeOf } from '../jmix/support/sealing.js';

const MAX_BYTES = 64 * 1024;
/** Of each call its own, as of each request. */
const anySignal = () => new AbortController().signal;
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-unpack-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

type Entry = readonly [name: string, bytes: string | 'folder'];

function tarOf(...entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap(([name, bytes]) => {
    if (name.endsWith('/')) return [formatTarHeader(name, 0, '5')];
    const padding = Buffer.alloc(paddedSize(bytes.length) - bytes.length);
    return [formatTarHeader(name, bytes.length), Buffer.from(bytes), padding];
  });
  return Buffer.concat([...parts, Buffer.alloc(TAR_END_BYTES)]);
}

const unpack = (...entries: readonly Entry[]) =>
  codeOf(unpackSealed(Readable.from([tarOf(...entries)]), folder, MAX_BYTES, anySignal()));

const MANIFEST: Entry = ['manifest.json', '{}'];
const SEALED: Entry = ['payload.encrypted', 'x'.repeat(700)];

it.each<[string, Entry, string]>([
  ['a plain payload', ['payload/dicom/1.dcm', 'MUSTERMANN'], 'ENVELOPE_MALFORMED'],
  ['the folder of one', ['payload/', ''], 'ENVELOPE_MALFORMED'],
  ['a file in its name', ['payload', 'MUSTERMANN'], 'ENVELOPE_MALFORMED'],
  ['a foreign file', ['MUSTERMANN.txt', 'MUSTERMANN'], 'ARCHIVE_UNSAFE'],
  ['a file below another', ['audit.json/x', 'MUSTERMANN'], 'ARCHIVE_UNSAFE'],
  ['a way out', ['../manifest.json', 'MUSTERMANN'], 'ARCHIVE_UNSAFE'],
  ['a second manifest', ['manifest.json', 'MUSTERMANN'], 'ARCHIVE_UNSAFE'],
])('of %s not a byte is written', async (_what, entry, code) => {
  expect(await unpack(MANIFEST, entry)).toBe(code);
  expect(await readdir(folder)).toEqual(['manifest.json']);
  expect(await readFile(join(folder, 'manifest.json'), 'utf8')).toBe('{}');
});

it('a plain payload in front, or as the folder around all, is refused as well', async () => {
  expect(await unpack(['payload/dicom/1.dcm', 'MUSTERMANN'], MANIFEST)).toBe('ENVELOPE_MALFORMED');
  expect(await unpack(['payload/', ''], MANIFEST)).toBe('ENVELOPE_MALFORMED');
  expect(await unpack(['x.JMIX/manifest.json', '{}'], ['x.JMIX/payload/1.dcm', 'MUSTERMANN'])).toBe(
    'ENVELOPE_MALFORMED',
  );
  expect(await readdir(folder)).toEqual(['manifest.json']);
});

it('two folders, no manifest, half an archive, or too much of it is refused', async () => {
  expect(await unpack(['x/manifest.json', '{}'], ['y/audit.json', '{}'])).toBe('ARCHIVE_UNSAFE');
  await rm(join(folder, 'manifest.json'));
  expect(await unpack(SEALED)).toBe('ENVELOPE_MALFORMED');
  await rm(join(folder, 'payload.encrypted'));
  const half = Readable.from([tarOf(MANIFEST, SEALED).subarray(0, 1_600)]);
  expect(await codeOf(unpackSealed(half, folder, MAX_BYTES, anySignal()))).toBe('ENVELOPE_MALFORMED');
  expect(await unpack(['payload.encrypted', 'x'.repeat(MAX_BYTES + 1)])).toBe('ENVELOPE_TOO_LARGE');
});

it('being told to stop is CANCELLED, even while nothing comes', async () => {
  const stop = new AbortController();
  const silent = new Readable({ read: () => undefined });
  silent.push(tarOf(MANIFEST).subarray(0, 600));
  const unpacking = codeOf(unpackSealed(silent, folder, MAX_BYTES, stop.signal));
  stop.abort();
  expect(await unpacking).toBe('CANCELLED');
});

it.each(['', 'x.JMIX/'])('takes a sealed envelope whose files lie under "%s"', async (top) => {
  const around: readonly Entry[] = top === '' ? [] : [[top, '']];
  const readme: Entry = [`${top}README.md`, 'jmix'];
  const files = [MANIFEST, SEALED].map(([name, bytes]): Entry => [`${top}${name}`, bytes]);
  expect(await unpack(...around, readme, ...files)).toBeUndefined();
  expect((await readdir(folder)).sort()).toEqual(['manifest.json', 'payload.encrypted']);
});
