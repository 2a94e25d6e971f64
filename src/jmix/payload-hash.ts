/**
 * The definitions of `payload_hash` in use, over files instead of folders. The specification defines it for a payload
 * that is not sealed as `tree-lines` (path, size and hash of each file, path of each folder, sorted, one per line), and
 * for a sealed one as SHA-256 of the sealed file; jmix-js and jmix-rs use `tree-concat`, jmix-rs SHA-256 of the tar.
 * The last two need no more than a plain hash in the stream; for opening they stand in open-sealed.ts.
 */
import { createHash } from 'node:crypto';
import type { Dialect } from './dialect.js';
import { sha256Hex } from './digest.js';
import type { FileEntry } from './files-list.js';

/** Names in the order under a tree hash. */
export function inPathOrder<T>(
  items: readonly T[],
  nameOf: (item: T) => string,
  order: Dialect['pathOrder'],
): T[] {
  if (order === 'utf16') {
    return [...items].sort((a, b) => {
      const [left, right] = [nameOf(a), nameOf(b)];
      return left < right ? -1 : left > right ? 1 : 0;
    });
  }
  // Each name's bytes are taken once: there may be hundreds of thousands.
  const keyed = items.map((item) => ({ item, key: Buffer.from(nameOf(item)) }));
  return keyed.sort((a, b) => Buffer.compare(a.key, b.key)).map(({ item }) => item);
}

/** `dir:<path>\n` for a folder, `file:<path>:<size>:<sha256>\n` for a file, sorted by path; 64 digits of lower hex. */
export function treeLinesHash(files: readonly FileEntry[], folders: readonly string[]): string {
  const lines = [
    ...folders.map((path) => ({ path, line: `dir:${path}\n` })),
    ...files.map((entry) => ({
      path: entry.file,
      line: `file:${entry.file}:${entry.sizeBytes}:${entry.sha256}\n`,
    })),
  ];
  const sorted = inPathOrder(lines, (item) => item.path, 'bytes');
  return sha256Hex(sorted.map((item) => item.line).join(''));
}

export interface TreeConcatHash {
  /** Opens the next file; files must come in path order. */
  begin(path: string): void;
  update(chunk: Buffer): void;
  /** 64 digits of lower hex. */
  finish(): string;
}

/**
 * `path ‖ \n ‖ bytes` for each file, sorted by path. No length is in it, so two trees can share one hash: it shows
 * damage, and binds only together with a signature over the sealed form.
 */
export function createTreeConcatHash(): TreeConcatHash {
  const hash = createHash('sha256');
  return {
    begin: (path) => hash.update(`${path}\n`),
    update: (chunk) => hash.update(chunk),
    finish: () => hash.digest('hex'),
  };
}
