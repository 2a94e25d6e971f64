/** What delivery needs from an opened metadata.json; its schema was checked when it was opened. */
import { readFile } from 'node:fs/promises';
import { PRIORITIES, type Priority } from '../domain/priority.js';

export interface ReceivedMetadata {
  /** `studies.study_uid`; absent where the document leaves it out. */
  readonly studyInstanceUid?: string;
  /** `extensions.drawbridge.priority`; routine where the sender says nothing, or something else. */
  readonly priority: Priority;
}

export async function readReceivedMetadata(path: string): Promise<ReceivedMetadata> {
  const document: unknown = JSON.parse(await readFile(path, 'utf8'));
  const studies = member(document, 'studies') ?? member(document, 'study');
  const uid = member(studies, 'study_uid') ?? member(studies, 'uid');
  const priority = member(member(member(document, 'extensions'), 'drawbridge'), 'priority');
  return {
    ...(typeof uid === 'string' ? { studyInstanceUid: uid } : {}),
    priority: PRIORITIES.find((each) => each === priority) ?? 'routine',
  };
}

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string, unknown>)[key]
    : undefined;
}
