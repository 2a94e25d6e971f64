/**
 * Names inside archives, as text only: nothing here touches a disk. A name that could mean another place than it says,
 * on any system, is refused with its whole archive; none is ever repaired.
 */
import { GatewayError } from '../errors/gateway-error.js';

const MAX_NAME_BYTES = 1024;
const MAX_SEGMENT_BYTES = 255;
const MAX_DEPTH = 32;

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
  /** @throws ARCHIVE_UNSAFE when the name, or one of its folders, is there as a file, or the name as a folder */
  addFile(name: string): void;
  /** @throws ARCHIVE_UNSAFE when the name, or one of its folders, is there as a file; a folder may come again */
  addFolder(name: string): void;
}

/** Names count as equal when a disk that ignores case and Unicode composition cannot hold both. */
export function createNameRegister(): NameRegister {
  const kinds = new Map<string, 'file' | 'folder'>();
  const addFolders = (folded: string): void => {
    for (let end = folded.indexOf('/'); end >= 0; end = folded.indexOf('/', end + 1)) {
      addFolder(folded.slice(0, end));
    }
  };
  const addFolder = (folded: string): void => {
    if (kinds.get(folded) === 'file') unsafe('a name is both a file and a folder');
    kinds.set(folded, 'folder');
  };
  return {
    addFile(name) {
      const folded = fold(name);
      addFolders(folded);
      if (kinds.has(folded)) unsafe('a name stands twice in the archive');
      kinds.set(folded, 'file');
    },
    addFolder(name) {
      const folded = fold(name);
      addFolders(folded);
      addFolder(folded);
    },
  };
}

function fold(name: string): string {
  return name.normalize('NFC').toLowerCase();
}

function unsafe(message: string): never {
  throw new GatewayError('ARCHIVE_UNSAFE', `the archive is not extracted: ${message}`);
}
