/** The files that a command line names, folders searched; DICOM ones told from others by their content. */
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { TAGS } from '../dicom/tags.js';
import type { Instance } from '../domain/instance.js';
import { parseUid, type Uid } from '../domain/uid.js';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import { hashFrom, readInstanceFile } from '../spool/instance-file.js';

/** One DICOM file of the command line. */
export interface InputInstance extends Instance {
  readonly path: string;
  readonly fileBytes: number;
  readonly dataSetOffset: number;
  readonly studyInstanceUid: Uid;
}

export interface InputFiles {
  readonly instances: readonly InputInstance[];
  /** Files that are not DICOM. */
  readonly others: readonly { readonly path: string; readonly name: string; readonly sizeBytes: number }[];
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

/**
 * Reads what is named. The same instance twice counts once.
 * @throws REQUEST_INVALID when a path is missing, or one SOP Instance UID stands for different bytes
 */
export async function readInputFiles(paths: readonly string[]): Promise<InputFiles> {
  const instances = new Map<Uid, InputInstance>();
  const others: { path: string; name: string; sizeBytes: number }[] = [];
  for (const path of await filesBelow(paths)) {
    if (basename(path) === DICOMDIR) continue;
    const instance = await describe(path);
    if (instance === undefined) {
      others.push({ path, name: basename(path), sizeBytes: (await stat(path)).size });
      continue;
    }
    const known = instances.get(instance.sopInstanceUid);
    if (known !== undefined && known.sha256 !== instance.sha256) {
      throw new GatewayError(
        'REQUEST_INVALID',
        'two files hold the same SOP Instance UID with different bytes',
      );
    }
    instances.set(instance.sopInstanceUid, instance);
  }
  return { instances: [...instances.values()], others };
}

async function filesBelow(paths: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const path of paths) {
    const kind = await stat(path).catch((cause: unknown) => {
      throw new GatewayError('REQUEST_INVALID', `there is no file or folder ${path}`, { cause });
    });
    if (!kind.isDirectory()) {
      found.push(path);
      continue;
    }
    const entries = await readdir(path, { recursive: true, withFileTypes: true });
    const files: string[] = [];
    for (const entry of entries) {
      const file = join(entry.parentPath, entry.name);
      if (!isLitter(entry.name) && (entry.isFile() || (await isLinkToFile(file)))) files.push(file);
    }
    found.push(...files.sort());
  }
  return found;
}

/** What file managers leave about in folders: nobody means to send it. */
function isLitter(name: string): boolean {
  return name.startsWith('.') || name === 'Thumbs.db' || name === 'desktop.ini';
}

/** An archive of links to files is as good as one of files. */
async function isLinkToFile(path: string): Promise<boolean> {
  const target = await stat(path).catch(() => undefined);
  return target?.isFile() === true;
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
      sha256: await hashFrom(path, meta.dataSetOffset),
    };
  } catch (error) {
    if (isGatewayError(error) && error.code === 'DATASET_UNREADABLE') return undefined;
    throw error;
  }
}
