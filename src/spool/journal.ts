/**
 * Append-only files of JSON lines. A line cut short by a crash is the last one, and is passed over when reading;
 * whether an append must be durable is the caller's affair.
 */
import { appendFile, open, readFile } from 'node:fs/promises';
import { isErrno } from './atomic.js';

/** The lines of these entries. */
export function formatJournal(entries: readonly unknown[]): Buffer {
  return Buffer.from(`${entries.map((entry) => JSON.stringify(entry)).join('\n')}\n`);
}

export async function appendJournal(path: string, entries: readonly unknown[]): Promise<void> {
  if (entries.length === 0) return;
  await appendFile(path, formatJournal(entries), { mode: 0o600 });
}

/** The same, on the disk before it returns. */
export async function appendJournalDurably(path: string, entries: readonly unknown[]): Promise<void> {
  if (entries.length === 0) return;
  const handle = await open(path, 'a', 0o600);
  try {
    await handle.appendFile(formatJournal(entries));
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

/**
 * All whole lines, oldest first; none when there is no such file. A line that a crash tore, and onto which a later
 * one was appended, is skipped together with it: journals only save work, and what they lack is derived again.
 */
export async function readJournal<T>(path: string): Promise<T[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
  const entries: T[] = [];
  for (const line of text.split('\n')) {
    if (line === '') continue;
    try {
      const entry: unknown = JSON.parse(line);
      if (typeof entry === 'object' && entry !== null) entries.push(entry as T);
    } catch {
      // Torn by a crash.
    }
  }
  return entries;
}
