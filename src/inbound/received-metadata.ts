/** The one thing that delivery needs from an opened metadata.json; its schema was checked when it was opened. */
import { readFile } from 'node:fs/promises';

/** `studies.study_uid`; undefined where the document leaves it out. */
export async function readReceivedStudyUid(path: string): Promise<string | undefined> {
  const document: unknown = JSON.parse(await readFile(path, 'utf8'));
  const studies = member(document, 'studies') ?? member(document, 'study');
  const uid = member(studies, 'study_uid') ?? member(studies, 'uid');
  return typeof uid === 'string' ? uid : undefined;
}

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string, unknown>)[key]
    : undefined;
}
