/** What lies under a folder, and what it is: for tests that look at the disk and not at reports. */
import { createHash } from 'node:crypto';
import { lstat, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';

/** All bytes of a stream. */
export async function collected(source: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Every name under the folder, one a line. */
export async function namesUnder(folder: string): Promise<string> {
  return (await readdir(folder, { recursive: true })).join('\n');
}

/** name → SHA-256 of every file; fails on anything but plain files and folders, and on set-id or executable bits. */
export async function hashesUnder(folder: string): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const name of await readdir(folder, { recursive: true })) {
    const stat = await lstat(join(folder, name));
    if (stat.isDirectory()) continue;
    expect(stat.isFile()).toBe(true);
    expect(stat.mode & 0o7111).toBe(0);
    hashes[name] = createHash('sha256')
      .update(await readFile(join(folder, name)))
      .digest('hex');
  }
  return hashes;
}

/** One hash over the names and bytes of a folder, or over the bytes of a file. */
export async function fingerprintOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  const isFolder = (await lstat(path)).isDirectory();
  for (const name of isFolder ? (await readdir(path, { recursive: true })).sort() : ['']) {
    const file = join(path, name);
    if ((await lstat(file)).isFile()) hash.update(name).update(await readFile(file));
  }
  return hash.digest('hex');
}
