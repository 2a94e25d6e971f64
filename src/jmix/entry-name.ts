/**
 * Names inside archives, as text only: nothing here touches a disk. A name that could mean another place than it says,
 * on any system, is refused with its whole archive; none is ever repaired.
 */
import { GatewayError } from '../errors/gateway-error.js';

const MAX_NAME_BYTES = 1024;
const MAX_SEGMENT_BYTES = 255;
const MAX_DEPTH = 32;

/**
 * What the names of one archive may cost in memory: those of 200,000 files with names of honest length take half.
 * Without it, names of 32 folders that all differ would make of a few megabytes of archive a gigabyte.
 */
const MAX_NAMES_BYTES = 64 * 1024 * 1024;
/** Beside its characters. */
const NAME_COST_BYTES = 100;

/** Code points that some file systems leave out when they compare names (HFS+, ext4 with casefold). */
const IGNORED = /\p{Default_Ignorable_Code_Point}/gu;

/** Nothing to fold: a name of digits, dots and small letters, as most are. */
const PLAIN_NAME = /^[a-z0-9]+(?:[./_-][a-z0-9]+)*$/;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The name in an archive header, without a leading `./` and without the final `/` of folders; empty for the root.
 * @throws ARCHIVE_UNSAFE on absolute names, `..`, backslashes, control characters, what is not UTF-8, and excess
 */
export function parseEntryName(bytes: Buffer): string {
  let name: string;
  try {
    name = utf8.decode(bytes);
  } catch {
    unsafe('a name is not UTF-8');
  }
  if (name === '.' || name === './') return '';
  const trimmed = name.replace(/^\.\//, '').replace(/\/$/, '');
  assertSafeName(trimmed);
  return trimmed;
}

/** @throws ARCHIVE_UNSAFE as `parseEntryName` does */
export function assertSafeName(name: string): void {
  if (name.startsWith('/')) unsafe('a name is absolute');
  if (name.includes('\\')) unsafe('a name holds a backslash');
  if (/[\0-\x1f\x7f]/.test(name)) unsafe('a name holds a control character');
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) unsafe(`a name is longer than ${MAX_NAME_BYTES} bytes`);
  const segments = name.split('/');
  if (segments.length > MAX_DEPTH) unsafe(`a name is deeper than ${MAX_DEPTH} folders`);
  for (const segment of segments) {
    if (segment === '' || segment === '.' || segment === '..')
      unsafe('a name has an empty, "." or ".." segment');
    if (Buffer.byteLength(segment) > MAX_SEGMENT_BYTES)
      unsafe(`a name segment exceeds ${MAX_SEGMENT_BYTES} bytes`);
  }
}

/** Keeps two entries of one archive from meaning the same place. */
export interface NameRegister {
  /**
   * @throws ARCHIVE_UNSAFE when the name, or one of its folders, is there as a file, or the name as a folder;
   *   ENVELOPE_TOO_LARGE when there are too many names to keep
   */
  addFile(name: string): void;
  /** @throws as `addFile`, but a folder may come again */
  addFolder(name: string): void;
}

/**
 * Names count as equal when some disk cannot hold both: one that ignores case, how Unicode is composed, invisible
 * characters, or dots and blanks at the end.
 */
export function createNameRegister(): NameRegister {
  const kinds = new Map<string, 'file' | 'folder'>();
  let cost = 0;
  const note = (folded: string, kind: 'file' | 'folder'): void => {
    if (!kinds.has(folded)) cost += folded.length + NAME_COST_BYTES;
    if (cost > MAX_NAMES_BYTES)
      throw new GatewayError('ENVELOPE_TOO_LARGE', 'the names in the archive are too many or too long');
    kinds.set(folded, kind);
  };
  const addFolders = (folded: string): void => {
    for (let end = folded.indexOf('/'); end >= 0; end = folded.indexOf('/', end + 1)) {
      addFolder(folded.slice(0, end));
    }
  };
  const addFolder = (folded: string): void => {
    if (kinds.get(folded) === 'file') unsafe('a name is both a file and a folder');
    note(folded, 'folder');
  };
  return {
    addFile(name) {
      const folded = foldName(name);
      addFolders(folded);
      if (kinds.has(folded)) unsafe('a name stands twice');
      note(folded, 'file');
    },
    addFolder(name) {
      const folded = foldName(name);
      addFolders(folded);
      addFolder(folded);
    },
  };
}

/** The form in which equal names are the same text. */
export function foldName(name: string): string {
  if (PLAIN_NAME.test(name)) return name;
  // Upper case first: some letters have several lower-case forms, and only one upper-case form.
  const folded = name.replace(IGNORED, '').normalize('NFKC').toUpperCase().toLowerCase().normalize('NFC');
  return folded.replace(/[. ]+(?=\/|$)/g, '');
}

function unsafe(message: string): never {
  throw new GatewayError('ARCHIVE_UNSAFE', `not the names of a safe archive: ${message}`);
}
