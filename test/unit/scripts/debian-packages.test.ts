/** What the launcher of the tests reads out of Debian packages, and what it takes for unpacked. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';

const { isUnpacked, librariesAmong } = (await import(
  new URL('../../../scripts/debian-packages.mjs', import.meta.url).href
)) as {
  isUnpacked(folder: string): boolean;
  librariesAmong(depends: string): string[];
};

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'drawbridge-packages-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it('a folder without the list of libraries is not unpacked: a killed run may have left it', () => {
  expect(isUnpacked(folder)).toBe(false);
  expect(isUnpacked(join(folder, 'nothing'))).toBe(false);
});

it('a folder whose library is not installed is not whole', () => {
  writeFileSync(join(folder, '.libraries'), 'libdrawbridge-nowhere1\n');
  expect(isUnpacked(folder)).toBe(false);
});

it('a folder that needs no library is whole', () => {
  writeFileSync(join(folder, '.libraries'), '');
  expect(isUnpacked(folder)).toBe(true);
});

it('of dependencies only libraries count, of alternatives the first, without version and architecture', () => {
  const depends =
    'adduser, libcap2 (>= 1:2.10), libpam0g:any | libpam, netbase | inetd, libwrap0(>= 7.6-4~)\n';
  expect(librariesAmong(depends)).toEqual(['libcap2', 'libpam0g', 'libwrap0']);
  expect(librariesAmong('')).toEqual([]);
});
