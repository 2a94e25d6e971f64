/**
 * What the first bytes of a DICOM file already tell: whether it is something else besides DICOM (preamble.ts), and
 * whether it is the instance that its name says (JMIX envelope: `dicom/<SOPInstanceUID>.dcm`). Libraries in the field
 * also keep the names that files had before; such a name says nothing, but one that reads as a UID is taken at its word.
 * A file that is no Part 10 file is none of these; whether there may be one is the caller's question.
 */
import { isUid } from '../domain/uid.js';
import { GatewayError } from '../errors/gateway-error.js';
import { parseFileMeta } from './part10.js';
import { foreignPreamble, PREAMBLE_BYTES } from './preamble.js';

/** File meta information is rarely longer than 1 KiB; what does not fit is looked at by whoever has the whole file. */
export const INSTANCE_HEAD_BYTES = 8 * 1024;

/** Behind the preamble (PS3.10 §7.1). */
const PREFIX = 'DICM';

const FILE_EXTENSION = /\.(?:dcm|dicom|ima|img)$/i;
/** Shorter, digits and dots are a date or an image number rather than a UID. */
const MIN_UID_LENGTH = 16;

/** What is to become of a preamble that is neither zeros nor TIFF. */
export type PreamblePolicy = 'refuse' | 'blank' | 'keep';

/**
 * @param name path of the file, with `/`
 * @param head its first bytes, `INSTANCE_HEAD_BYTES` where it has so many
 * @returns ARCHIVE_UNSAFE for a foreign preamble, where those are refused; PAYLOAD_INCONSISTENT when the name is that of
 *   another instance; undefined when nothing is wrong
 */
export function headProblem(name: string, head: Buffer, preamble: PreamblePolicy): GatewayError | undefined {
  if (head.toString('latin1', PREAMBLE_BYTES, PREAMBLE_BYTES + PREFIX.length) !== PREFIX) return undefined;
  const sopInstanceUid = parsedMeta(head)?.sopInstanceUid;
  if (sopInstanceUid !== undefined && isNamedAfterAnother(name, sopInstanceUid)) return misnamed();
  const foreign = preamble === 'refuse' ? foreignPreamble(head) : undefined;
  return foreign === undefined ? undefined : unsafePreamble(foreign);
}

/** Whether the name reads as a UID, and not as this one. */
export function isNamedAfterAnother(name: string, sopInstanceUid: string): boolean {
  const stem = name.slice(name.lastIndexOf('/') + 1).replace(FILE_EXTENSION, '');
  return isUid(stem) && stem.length >= MIN_UID_LENGTH && /^[0-2]\./.test(stem) && stem !== sopInstanceUid;
}

export function misnamed(): GatewayError {
  return new GatewayError('PAYLOAD_INCONSISTENT', 'a file is named after another SOP instance than it holds');
}

/** @param foreign in the words of `foreignPreamble` */
export function unsafePreamble(foreign: string): GatewayError {
  return new GatewayError(
    'ARCHIVE_UNSAFE',
    `the preamble of an instance is neither zeros nor TIFF, but that of ${foreign}`,
  );
}

function parsedMeta(head: Buffer): { readonly sopInstanceUid: string } | undefined {
  try {
    return parseFileMeta(head);
  } catch {
    // Broken in a way that reading the whole file will tell.
    return undefined;
  }
}
