/**
 * What the first bytes of a DICOM file already tell: whether it is something else besides DICOM (preamble.ts), whether
 * file meta information and data set name the same instance, whether that is the one that the file's name says (JMIX
 * envelope: `dicom/<SOPInstanceUID>.dcm`), and whether another file was it before. Libraries in the field also keep the
 * names that files had before; such a name says nothing, but one that reads as a UID is taken at its word. A file that
 * is no Part 10 file is none of these; whether there may be one is the caller's question.
 */
import { isUid } from '../domain/uid.js';
import { GatewayError } from '../errors/gateway-error.js';
import { type Header, readHeaderFromHead } from './header.js';
import { type FileMeta, parseFileMeta } from './part10.js';
import { foreignPreamble, PREAMBLE_BYTES } from './preamble.js';
import { TAGS } from './tags.js';

/** The UIDs of real files stand within the first 2 KiB; where they do not within these, that is a way to hide them. */
export const INSTANCE_HEAD_BYTES = 64 * 1024;

/** Behind the preamble (PS3.10 §7.1). */
const PREFIX = 'DICM';

const FILE_EXTENSION = /\.(?:dcm|dicom|ima|img)$/i;
/** Shorter, digits and dots are a date or an image number rather than a UID. */
const MIN_UID_LENGTH = 16;

/** What is to become of a preamble that is neither zeros nor TIFF. */
export type PreamblePolicy = 'refuse' | 'blank' | 'keep';

/**
 * For the files of one payload, each asked for once:
 * - name: path of the file, with `/`
 * - head: its first bytes, `INSTANCE_HEAD_BYTES` where it has so many
 *
 * It returns ARCHIVE_UNSAFE for a foreign preamble, where those are refused; PAYLOAD_INCONSISTENT when the file is
 * another instance than it says, or one that was there before; undefined when nothing is wrong.
 */
export function createHeadInspector(
  preamble: PreamblePolicy,
): (name: string, head: Buffer) => GatewayError | undefined {
  const seen = new Set<string>();
  return (name, head) => {
    if (head.toString('latin1', PREAMBLE_BYTES, PREAMBLE_BYTES + PREFIX.length) !== PREFIX) return undefined;
    const problem = identityProblem(name, head, seen);
    if (problem !== undefined) return problem;
    const foreign = preamble === 'refuse' ? foreignPreamble(head) : undefined;
    return foreign === undefined ? undefined : unsafePreamble(foreign);
  };
}

/** @param seen the instances before this one, which is added */
function identityProblem(name: string, head: Buffer, seen: Set<string>): GatewayError | undefined {
  let meta: FileMeta | undefined;
  let header: Header | undefined;
  try {
    meta = parseFileMeta(head);
    if (meta !== undefined) {
      const dataSet = head.subarray(meta.dataSetOffset);
      header = readHeaderFromHead(dataSet, meta.transferSyntaxUid, [TAGS.SOPClassUID, TAGS.SOPInstanceUID]);
    }
    if (header === undefined && head.length >= INSTANCE_HEAD_BYTES) return hidden();
  } catch {
    // Broken, so that nobody can read it as an instance, this one or another; what of its meta is whole still counts.
  }
  if (meta !== undefined) {
    const { sopInstanceUid, sopClassUid } = meta;
    if ((header?.string(TAGS.SOPInstanceUID) ?? sopInstanceUid) !== sopInstanceUid) return otherThanMeta();
    if ((header?.string(TAGS.SOPClassUID) ?? sopClassUid) !== sopClassUid) return otherThanMeta();
    if (isNamedAfterAnother(name, sopInstanceUid)) return misnamed();
    if (seen.has(sopInstanceUid)) return instanceTwice();
    seen.add(sopInstanceUid);
  }
  return undefined;
}

/** Whether the name reads as a UID, and not as this one. */
export function isNamedAfterAnother(name: string, sopInstanceUid: string): boolean {
  const stem = name.slice(name.lastIndexOf('/') + 1).replace(FILE_EXTENSION, '');
  return isUid(stem) && stem.length >= MIN_UID_LENGTH && /^[0-2]\./.test(stem) && stem !== sopInstanceUid;
}

export function misnamed(): GatewayError {
  return new GatewayError('PAYLOAD_INCONSISTENT', 'a file is named after another SOP instance than it holds');
}

/** File meta information against data set. */
export function otherThanMeta(): GatewayError {
  return new GatewayError(
    'PAYLOAD_INCONSISTENT',
    'file meta information and data set name different SOP instances',
  );
}

function hidden(): GatewayError {
  return new GatewayError(
    'PAYLOAD_INCONSISTENT',
    `a file does not say within ${INSTANCE_HEAD_BYTES} bytes which SOP instance it holds`,
  );
}

export function instanceTwice(): GatewayError {
  return new GatewayError('PAYLOAD_INCONSISTENT', 'two files hold the same SOP Instance UID');
}

/** @param foreign in the words of `foreignPreamble` */
export function unsafePreamble(foreign: string): GatewayError {
  return new GatewayError(
    'ARCHIVE_UNSAFE',
    `the preamble of an instance is neither zeros nor TIFF, but that of ${foreign}`,
  );
}
