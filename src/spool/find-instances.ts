/**
 * Which studies of the spool hold given instances, where only the SOP Instance UIDs are known. The names of the files
 * say so, and nothing is read but folders; the newest come first, because they are mostly asked for.
 */
import { readdir, stat } from 'node:fs/promises';
import { isErrno } from './atomic.js';
import type { Layout } from './layout.js';
import { studyKeys } from './study-folder.js';

const INSTANCE_SUFFIX = '.dcm';
/** Folders whose age is asked side by side. */
const BATCH = 32;

/**
 * Studies that hold any of `wanted`, newest first. Whoever removes what has been found from `wanted` ends the search
 * when nothing is left.
 */
export async function* studiesWith(layout: Layout, wanted: ReadonlySet<string>): AsyncGenerator<string> {
  if (wanted.size === 0) return;
  for (const key of await newestFirst(layout)) {
    const names = await namesIn(layout.study(key));
    const holds = names.some(
      (name) => name.endsWith(INSTANCE_SUFFIX) && wanted.has(name.slice(0, -INSTANCE_SUFFIX.length)),
    );
    if (holds) yield key;
    if (wanted.size === 0) return;
  }
}

/** SOP Instance UIDs of which other versions are kept aside: they came with other bytes than what this study holds. */
export async function instancesKeptAside(layout: Layout, key: string): Promise<ReadonlySet<string>> {
  const names = await namesIn(layout.conflictsOf(key));
  // `<uid>-<start of its SHA-256>.dcm`
  return new Set(names.map((name) => name.split('-', 1).join('')));
}

async function newestFirst(layout: Layout): Promise<readonly string[]> {
  const keys = await studyKeys(layout);
  const aged: { key: string; mtimeMs: number }[] = [];
  for (let at = 0; at < keys.length; at += BATCH) {
    const batch = keys.slice(at, at + BATCH).map(async (key) => {
      const found = await stat(layout.study(key)).catch(() => undefined);
      if (found !== undefined) aged.push({ key, mtimeMs: found.mtimeMs });
    });
    await Promise.all(batch);
  }
  return aged.sort((a, b) => b.mtimeMs - a.mtimeMs).map(({ key }) => key);
}

/** A study may be forgotten meanwhile. */
async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}
