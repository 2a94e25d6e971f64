/**
 * What the instances of an opened payload say of themselves: which they are, that they are what their names say, and
 * what their files are besides DICOM (dicom/preamble.ts). Reads headers only. A preamble may be blanked here, which is
 * the one thing that is ever changed in what a sender signed.
 */
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Header, readHeaderFromHead } from '../dicom/header.js';
import {
  instanceTwice,
  isNamedAfterAnother,
  misnamed,
  otherThanMeta,
  unsafePreamble,
} from '../dicom/instance-head.js';
import { type FileMeta, parseFileMeta } from '../dicom/part10.js';
import { foreignPreamble, PREAMBLE_BYTES } from '../dicom/preamble.js';
import { TAGS } from '../dicom/tags.js';
import { type AeTitle, isAeTitle } from '../domain/ae-title.js';
import { parseUid, type Uid } from '../domain/uid.js';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import { isErrno } from '../spool/atomic.js';
import { readInstanceFile } from '../spool/instance-file.js';
import type { InboundParts } from './parts.js';

/** One instance of an opened envelope. */
export interface OpenedInstance {
  /** Below `opened/<id>`. */
  readonly file: string;
  readonly sopInstanceUid: Uid;
  readonly sopClassUid: Uid;
  readonly transferSyntaxUid: Uid;
  readonly dataSetOffset: number;
  readonly dataSetBytes: number;
  /** Who sent it, as its file says; absent where it does not say, or says what is no AE title. */
  readonly sendingAe?: AeTitle;
  /** Its first 128 bytes were a foreign preamble, and are zeros now. */
  readonly preambleBlanked?: true;
}

export interface InspectedInstance extends OpenedInstance {
  readonly studyInstanceUid: Uid;
  readonly modality: string;
}

const WANTED = [TAGS.SOPClassUID, TAGS.SOPInstanceUID, TAGS.Modality, TAGS.StudyInstanceUID];
const DICOM_FOLDER = 'dicom';

/**
 * The instances under `<folder>/dicom`, by path.
 * @param known those that `inspectHead` has inspected, by path below `folder`
 * @throws PAYLOAD_INCONSISTENT when there is none, one cannot be read, two are the same, or one is another than its name
 *   says; ARCHIVE_UNSAFE for a foreign preamble, where those are refused; CANCELLED on abort
 */
export async function inspectInstances(
  folder: string,
  preamble: InboundParts['preamble'],
  signal: AbortSignal,
  known: ReadonlyMap<string, InspectedInstance> = new Map(),
): Promise<readonly InspectedInstance[]> {
  const found: InspectedInstance[] = [];
  const uids = new Set<Uid>();
  for (const path of await filesUnder(join(folder, DICOM_FOLDER))) {
    signal.throwIfAborted();
    const file = path.slice(folder.length + 1);
    const instance = known.get(file) ?? (await inspectInstance(path, file, preamble));
    if (uids.has(instance.sopInstanceUid)) throw instanceTwice();
    uids.add(instance.sopInstanceUid);
    found.push(instance);
  }
  if (found.length === 0) throw inconsistent('the payload holds no instance');
  return found;
}

/**
 * The same from the first bytes of a file, as far as they tell.
 * @param file its path in the payload
 * @returns undefined when they do not, or something is wrong with it: then the file is to be looked at
 */
export function inspectHead(file: string, head: Buffer, sizeBytes: number): InspectedInstance | undefined {
  try {
    const meta = parseFileMeta(head);
    if (meta === undefined || foreignPreamble(head) !== undefined) return undefined;
    const header = readHeaderFromHead(head.subarray(meta.dataSetOffset), meta.transferSyntaxUid, WANTED);
    if (header === undefined) return undefined;
    return toInspected(file, meta, header, sizeBytes - meta.dataSetOffset);
  } catch (error) {
    if (isGatewayError(error)) return undefined;
    throw error;
  }
}

async function inspectInstance(
  path: string,
  file: string,
  preamble: InboundParts['preamble'],
): Promise<InspectedInstance> {
  try {
    const { meta, dataSetBytes, header, foreignPreamble: foreign } = await readInstanceFile(path, WANTED);
    const instance = toInspected(file, meta, header, dataSetBytes);
    const isForeign = foreign !== undefined && preamble !== 'keep';
    // Not for the PACS: a C-STORE carries the data set without the preamble. It is for `opened/`, where people and
    // scripts find whole files that a shell would run.
    if (isForeign && preamble === 'refuse') throw unsafePreamble(foreign);
    if (isForeign) await blankPreamble(path);
    return { ...instance, ...(isForeign ? { preambleBlanked: true } : {}) };
  } catch (error) {
    if (isGatewayError(error) && error.code === 'DATASET_UNREADABLE') {
      throw new GatewayError('PAYLOAD_INCONSISTENT', `an instance cannot be read: ${error.message}`, {
        cause: error,
      });
    }
    throw error;
  }
}

/** @throws PAYLOAD_INCONSISTENT, and DATASET_UNREADABLE for what is no UID */
function toInspected(file: string, meta: FileMeta, header: Header, dataSetBytes: number): InspectedInstance {
  const sopInstanceUid = parseUid(header.string(TAGS.SOPInstanceUID) ?? '', 'SOPInstanceUID');
  const sopClassUid = parseUid(header.string(TAGS.SOPClassUID) ?? '', 'SOPClassUID');
  if (meta.sopInstanceUid !== sopInstanceUid || meta.sopClassUid !== sopClassUid) throw otherThanMeta();
  if (isNamedAfterAnother(file, sopInstanceUid)) throw misnamed();
  return {
    file,
    sopInstanceUid,
    sopClassUid,
    transferSyntaxUid: parseUid(meta.transferSyntaxUid, 'TransferSyntaxUID'),
    dataSetOffset: meta.dataSetOffset,
    dataSetBytes,
    ...(meta.sendingAe !== undefined && isAeTitle(meta.sendingAe) ? { sendingAe: meta.sendingAe } : {}),
    studyInstanceUid: parseUid(header.string(TAGS.StudyInstanceUID) ?? '', 'StudyInstanceUID'),
    modality: header.string(TAGS.Modality) ?? '',
  };
}

/**
 * Blanks the foreign preambles of all Part 10 files under `folder`, whatever else is there; none when there is no such
 * folder. Safe to run again.
 */
export async function blankPreambles(folder: string): Promise<void> {
  for (const path of await filesUnder(folder)) {
    const head = await readHead(path);
    const isPart10 = head.toString('latin1', PREAMBLE_BYTES, PREAMBLE_BYTES + 4) === 'DICM';
    if (isPart10 && foreignPreamble(head) !== undefined) await blankPreamble(path);
  }
}

async function readHead(path: string): Promise<Buffer> {
  const handle = await open(path, 'r');
  try {
    const head = Buffer.alloc(PREAMBLE_BYTES + 4);
    const { bytesRead } = await handle.read(head, 0, head.length, 0);
    return head.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** Every file, by path. */
async function filesUnder(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  });
  const files = entries.filter((entry) => entry.isFile());
  return files.map(({ parentPath, name }) => join(parentPath, name)).sort();
}

/** In place, durably, and before the file gets out of staging; the data set is not touched. Safe to run again. */
async function blankPreamble(path: string): Promise<void> {
  const handle = await open(path, 'r+');
  try {
    await handle.write(Buffer.alloc(PREAMBLE_BYTES), 0, PREAMBLE_BYTES, 0);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function inconsistent(message: string): GatewayError {
  return new GatewayError('PAYLOAD_INCONSISTENT', message);
}
