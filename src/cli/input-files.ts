/**
 * The files that a command line names, folders searched; DICOM ones told from others by their content. Links count as
 * what they lead to, since PACS exports and archives are often made of them.
 */
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { TAGS } from '../dicom/tags.js';
import { type AeTitle, isAeTitle } from '../domain/ae-title.js';
import type { Described } from '../domain/instance.js';
import { parseUid, type Uid } from '../domain/uid.js';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import { hashFrom, readInstanceFile } from '../spool/instance-file.js';

/** One DICOM file of the command line. */
export interface InputInstance extends Described {
  /** Absolute, as is that of every other file. */
  readonly path: string;
  readonly fileBytes: number;
  readonly dataSetOffset: number;
  readonly studyInstanceUid: Uid;
  /** Who sent it, as its file says; absent where it does not say, or says what is no AE title. */
  readonly sendingAe?: AeTitle;
}

export interface InputFiles {
  readonly instances: readonly InputInstance[];
  /** Files that are not DICOM. */
  readonly others: readonly { readonly path: string; readonly name: string; readonly sizeBytes: number }[];
  /** How many were left out: media directories, hidden files and folders, what file managers leave, what is no file. */
  readonly skipped: number;
}

const WANTED = [
  TAGS.SOPClassUID,
  TAGS.SOPInstanceUID,
  TAGS.Modality,
  TAGS.StudyInstanceUID,
  TAGS.SeriesInstanceUID,
];
/** A media directory describes files on their medium; it is not part of a study. */
const DICOMDIR = 'DICOMDIR';
/** In lower case. */
const LITTER = new Set(['.ds_store', 'thumbs.db', 'desktop.ini']);

/** Files that are read side by side. */
const AT_A_TIME = 8;

/**
 * Reads what is named, and no more of it than the headers. The same instance twice, or the same path, counts once.
 * @throws REQUEST_INVALID when a path is missing, a link leads nowhere, or one SOP Instance UID stands for different bytes
 */
export async function findInputFiles(paths: readonly string[]): Promise<InputFiles> {
  const instances = new Map<Uid, InputInstance>();
  const others: { path: string; name: string; sizeBytes: number }[] = [];
  const found = await filesBelow(paths);
  const files = [...found.files];
  for (let at = 0; at < files.length; at += AT_A_TIME) {
    const some = files.slice(at, at + AT_A_TIME);
    for (const [which, instance] of (await Promise.all(some.map(describe))).entries()) {
      const path = some[which] ?? '';
      if (instance === undefined) {
        others.push({ path, name: basename(path), sizeBytes: (await stat(path)).size });
        continue;
      }
      const known = instances.get(instance.sopInstanceUid);
      if (known !== undefined && !(await isSame(known, instance))) {
        throw new GatewayError(
          'REQUEST_INVALID',
          'two files hold the same SOP Instance UID with different bytes',
        );
      }
      instances.set(instance.sopInstanceUid, instance);
    }
  }
  return { instances: [...instances.values()], others, skipped: found.skipped };
}

async function isSame(one: InputInstance, other: InputInstance): Promise<boolean> {
  const hashes = await Promise.all(
    [one, other].map(({ path, dataSetOffset }) => hashFrom(path, dataSetOffset)),
  );
  return hashes[0] === hashes[1];
}

interface Found {
  /** Each path once, in the order of the command line, and by name within a folder. */
  readonly files: ReadonlySet<string>;
  readonly skipped: number;
}

async function filesBelow(paths: readonly string[]): Promise<Found> {
  const files = new Set<string>();
  const folders = new Set<string>();
  let skipped = 0;
  const keep = (path: string): void => {
    const name = basename(path);
    if (name !== DICOMDIR && !LITTER.has(name.toLowerCase())) files.add(path);
    else skipped += 1;
  };
  const take = async (path: string, given: string): Promise<void> => {
    const kind = await stat(path).catch((cause: unknown) => {
      // Names in folders may tell of a person: only what the caller typed is repeated.
      const what =
        path === given ? `there is no file or folder ${given}` : `a link leads nowhere, in ${given}`;
      throw new GatewayError('REQUEST_INVALID', what, { cause });
    });
    if (kind.isDirectory()) return search(path, given);
    if (!kind.isFile() && path === given)
      throw new GatewayError('REQUEST_INVALID', `expected a file or a folder: ${given}`);
    if (kind.isFile()) keep(path);
    else skipped += 1;
  };
  const search = async (folder: string, given: string): Promise<void> => {
    // A folder that links lead to again and again is searched once.
    const real = await realpath(folder);
    if (folders.has(real)) return;
    folders.add(real);
    const entries = await readdir(folder, { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(folder, entry.name);
      if (entry.name.startsWith('.')) skipped += 1;
      else if (entry.isFile()) keep(path);
      else await take(path, given);
    }
  };
  for (const path of paths.map((path) => resolve(path))) await take(path, path);
  return { files, skipped };
}

/** Undefined for a file that is not DICOM Part 10. */
async function describe(path: string): Promise<InputInstance | undefined> {
  try {
    const { meta, dataSetBytes, header } = await readInstanceFile(path, WANTED);
    return {
      path,
      fileBytes: meta.dataSetOffset + dataSetBytes,
      dataSetOffset: meta.dataSetOffset,
      dataSetBytes,
      sopInstanceUid: parseUid(header.string(TAGS.SOPInstanceUID) ?? '', 'SOPInstanceUID'),
      sopClassUid: parseUid(header.string(TAGS.SOPClassUID) ?? '', 'SOPClassUID'),
      transferSyntaxUid: parseUid(meta.transferSyntaxUid, 'TransferSyntaxUID'),
      studyInstanceUid: parseUid(header.string(TAGS.StudyInstanceUID) ?? '', 'StudyInstanceUID'),
      seriesInstanceUid: parseUid(header.string(TAGS.SeriesInstanceUID) ?? '', 'SeriesInstanceUID'),
      modality: header.string(TAGS.Modality) ?? '',
      ...(meta.sendingAe !== undefined && isAeTitle(meta.sendingAe) ? { sendingAe: meta.sendingAe } : {}),
    };
  } catch (error) {
    if (isGatewayError(error) && error.code === 'DATASET_UNREADABLE') return undefined;
    throw error;
  }
}
