/**
 * One study's folder on the disk → the study in memory. The files are the truth: the journal only saves hashing them
 * again, and an instance that it lacks (a crash came between the two) is read from its file.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { TAGS } from '../dicom/tags.js';
import type { Extensions } from '../domain/extensions.js';
import type { ReceivedInstance } from '../domain/instance.js';
import type { Freeze } from '../domain/study.js';
import { isUid, parseUid, type Uid } from '../domain/uid.js';
import { isErrno } from './atomic.js';
import { readAttachments } from './attachments.js';
import { hashFrom, readInstanceFile } from './instance-file.js';
import { appendJournalDurably, readJournal } from './journal.js';
import { isStudyKey, type Layout } from './layout.js';
import { StoredStudy } from './stored-study.js';

const INSTANCE_SUFFIX = '.dcm';
const EXTENSIONS = 'extensions.json';
const FREEZE_PATTERN = /^freeze-\d{4}\.json$/;

export function journalPath(layout: Layout, key: string): string {
  return join(layout.study(key), 'journal.jsonl');
}

export function studyDocument(layout: Layout, key: string): string {
  return join(layout.study(key), 'study.json');
}

/** What was said of this study alone. */
export function extensionsDocument(layout: Layout, key: string): string {
  return join(layout.study(key), EXTENSIONS);
}

export function freezeName(number: number): string {
  return `freeze-${String(number).padStart(4, '0')}.json`;
}

export async function studyKeys(layout: Layout): Promise<readonly string[]> {
  return (await readdir(layout.studies)).filter(isStudyKey);
}

/** Reads a study; undefined when there is none, or when a crash left nothing but its folder. */
export async function loadStudy(layout: Layout, key: string): Promise<StoredStudy | undefined> {
  const names = await namesIn(layout.study(key));
  if (names === undefined || !names.includes('study.json')) return undefined;
  const document = JSON.parse(await readFile(studyDocument(layout, key), 'utf8')) as {
    studyInstanceUid: string;
  };
  const study = new StoredStudy(key, parseUid(document.studyInstanceUid, 'StudyInstanceUID'));
  const journal = new Map(
    (await readJournal<ReceivedInstance>(journalPath(layout, key))).map((entry) => [
      entry.sopInstanceUid,
      entry,
    ]),
  );
  const unknown: ReceivedInstance[] = [];
  for (const uid of instanceUids(names)) {
    let instance = journal.get(uid);
    if (instance === undefined) {
      instance = await describeInstance(layout.instance(key, uid));
      unknown.push(instance);
    }
    study.add(instance);
  }
  await appendJournalDurably(journalPath(layout, key), unknown);
  for (const attachment of await readAttachments(layout, key)) study.attach(attachment);
  if (names.includes(EXTENSIONS)) {
    study.extensions = JSON.parse(await readFile(extensionsDocument(layout, key), 'utf8')) as Extensions;
  }
  for (const name of names.filter((each) => FREEZE_PATTERN.test(each)).sort()) {
    study.freeze(JSON.parse(await readFile(join(layout.study(key), name), 'utf8')) as Freeze);
  }
  return study;
}

async function namesIn(folder: string): Promise<string[] | undefined> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function instanceUids(names: readonly string[]): Uid[] {
  return names
    .filter((name) => name.endsWith(INSTANCE_SUFFIX))
    .map((name) => name.slice(0, -INSTANCE_SUFFIX.length))
    .filter(isUid);
}

/** All that the journal would have said, from the file alone. */
async function describeInstance(path: string): Promise<ReceivedInstance> {
  const { meta, dataSetBytes, header } = await readInstanceFile(path, [
    TAGS.SeriesInstanceUID,
    TAGS.Modality,
  ]);
  return {
    sopInstanceUid: parseUid(meta.sopInstanceUid, 'SOPInstanceUID'),
    sopClassUid: parseUid(meta.sopClassUid, 'SOPClassUID'),
    transferSyntaxUid: parseUid(meta.transferSyntaxUid, 'TransferSyntaxUID'),
    seriesInstanceUid: parseUid(header.string(TAGS.SeriesInstanceUID) ?? '', 'SeriesInstanceUID'),
    modality: header.string(TAGS.Modality) ?? '',
    dataSetBytes,
    sha256: await hashFrom(path, meta.dataSetOffset),
    receivedAtMs: (await stat(path)).mtimeMs,
    callingAe: meta.sendingAe ?? '',
    calledAe: meta.receivingAe ?? '',
  };
}
