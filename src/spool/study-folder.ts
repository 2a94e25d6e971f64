/**
 * One study's folder on the disk → the study in memory. The files are the truth: the journal only saves hashing them
 * again, and an instance that it lacks (a crash came between the two) is read from its file. What a disk has damaged is
 * put aside in its place, and told; the rest of the study, and every other one, goes on.
 */
import { readdir, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { TAGS } from '../dicom/tags.js';
import type { Extensions } from '../domain/extensions.js';
import type { ReceivedInstance } from '../domain/instance.js';
import type { Freeze } from '../domain/study.js';
import { isUid, parseUid, type Uid } from '../domain/uid.js';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import { createFileDurably, isErrno, writeFileDurably } from './atomic.js';
import { readAttachments } from './attachments.js';
import { hashFrom, readInstanceFile } from './instance-file.js';
import { appendJournalDurably, readJournal } from './journal.js';
import { isStudyKey, type Layout, studyKey } from './layout.js';
import { StoredStudy } from './stored-study.js';

const INSTANCE_SUFFIX = '.dcm';
/** After the name of a file that cannot be read: the instance may come again. */
const DAMAGED_SUFFIX = '.damaged';
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

/** Durably; false when there is one of that number. Throws the disk's error: then it can be written again. */
export function writeFreeze(layout: Layout, key: string, freeze: Freeze): Promise<boolean> {
  const path = join(layout.study(key), `freeze-${String(freeze.number).padStart(4, '0')}.json`);
  return createFileDurably(path, `${JSON.stringify(freeze)}\n`, 0o600, true);
}

export async function studyKeys(layout: Layout): Promise<readonly string[]> {
  return (await readdir(layout.studies)).filter(isStudyKey);
}

/** Told of what cannot be read: `SPOOL_CORRUPT`, with the file's path. */
export type Tell = (damage: GatewayError) => void;

/**
 * Reads a study; undefined when there is none, or when a crash left nothing but its folder.
 * @throws the disk's errors, where they say nothing of the file itself
 */
export async function loadStudy(
  layout: Layout,
  key: string,
  tell: Tell = () => undefined,
): Promise<StoredStudy | undefined> {
  const names = await namesIn(layout.study(key));
  if (names === undefined) return undefined;
  const studyInstanceUid =
    (await documentedUid(layout, key)) ?? (await uidByInstances(layout, key, names, tell));
  if (studyInstanceUid === undefined) return undefined;
  const study = new StoredStudy(key, studyInstanceUid);
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
      instance = await describeOrPutAside(layout.instance(key, uid), tell);
      if (instance === undefined) continue;
      unknown.push(instance);
    }
    study.add(instance);
  }
  // On a disk that is full they are read from their files the next time as well.
  await appendJournalDurably(journalPath(layout, key), unknown).catch(() => undefined);
  try {
    await readAdditions(layout, study, names);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    // What was sent of it, or was to be sent with it, is not known.
    const text = `a study is passed over, since a document in ${layout.study(key)} cannot be read`;
    tell(new GatewayError('SPOOL_CORRUPT', text, { cause: error }));
    return undefined;
  }
  return study;
}

/** Attachments, what was said of it, and what has been sent. @throws SyntaxError where one cannot be read */
async function readAdditions(layout: Layout, study: StoredStudy, names: readonly string[]): Promise<void> {
  const { key } = study;
  for (const attachment of await readAttachments(layout, key)) study.attach(attachment);
  if (names.includes(EXTENSIONS)) {
    study.extensions = JSON.parse(await readFile(extensionsDocument(layout, key), 'utf8')) as Extensions;
  }
  for (const name of names.filter((each) => FREEZE_PATTERN.test(each)).sort()) {
    study.freeze(JSON.parse(await readFile(join(layout.study(key), name), 'utf8')) as Freeze);
  }
}

/** What study.json says; undefined when it is missing, or cannot be read. */
async function documentedUid(layout: Layout, key: string): Promise<Uid | undefined> {
  try {
    const document: unknown = JSON.parse(await readFile(studyDocument(layout, key), 'utf8'));
    const uid =
      typeof document === 'object' && document !== null && 'studyInstanceUid' in document
        ? document.studyInstanceUid
        : undefined;
    return typeof uid === 'string' && isUid(uid) ? uid : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || isErrno(error, 'ENOENT') || isDamage(error)) return undefined;
    throw error;
  }
}

/** The same from its instances, whose key must be this folder's; study.json is then written anew. */
async function uidByInstances(
  layout: Layout,
  key: string,
  names: readonly string[],
  tell: Tell,
): Promise<Uid | undefined> {
  for (const sopInstanceUid of instanceUids(names)) {
    try {
      const path = layout.instance(key, sopInstanceUid);
      const { header } = await readInstanceFile(path, [TAGS.StudyInstanceUID]);
      const studyInstanceUid = parseUid(header.string(TAGS.StudyInstanceUID) ?? '', 'StudyInstanceUID');
      if (studyKey(studyInstanceUid) !== key) continue;
      const text = `${JSON.stringify({ studyInstanceUid })}\n`;
      await writeFileDurably(studyDocument(layout, key), text).catch(() => undefined);
      return studyInstanceUid;
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
  }
  if (instanceUids(names).length > 0) {
    const path = studyDocument(layout, key);
    tell(new GatewayError('SPOOL_CORRUPT', `a study is passed over, since ${path} cannot be read`));
  }
  return undefined;
}

async function describeOrPutAside(path: string, tell: Tell): Promise<ReceivedInstance | undefined> {
  try {
    return await describeInstance(path);
  } catch (error) {
    if (!isDamage(error)) throw error;
    const aside = `${path}${DAMAGED_SUFFIX}`;
    await rename(path, aside);
    const text = `an instance cannot be read, and is put aside: ${aside}`;
    tell(new GatewayError('SPOOL_CORRUPT', text, { cause: error }));
    return undefined;
  }
}

/** The file itself is bad. Not so when there are too few descriptors, or it may not be read: that passes. */
function isDamage(error: unknown): boolean {
  return (isGatewayError(error) && error.code === 'DATASET_UNREADABLE') || isErrno(error, 'EIO', 'EISDIR');
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

/** Number of instances kept aside, by study. A stray file among the folders is nobody's instance. */
export async function countConflicts(layout: Layout): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const key of (await readdir(layout.conflicts)).filter(isStudyKey)) {
    counts.set(key, (await readdir(join(layout.conflicts, key))).length);
  }
  return counts;
}
