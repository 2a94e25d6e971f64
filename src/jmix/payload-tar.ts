/**
 * The tar inside the sealed payload, as the canonical profile writes it: ustar, payload-relative names, regular files
 * only. And which names a payload may hold, on both sides.
 *
 * Order: by bytes, but files.json comes behind every file whose hash it lists. By bytes it would stand before files/…
 * and preview/…, and their hashes would have to be known before their turn, which would need a second pass; readers take
 * any order. A payload of dicom/… alone is in byte order throughout. Dialects that order by UTF-16 have no files.json.
 */
import { GatewayError } from '../errors/gateway-error.js';
import { CANON, type Dialect, JS } from './dialect.js';
import { assertSafeName } from './entry-name.js';
import { FILES_LIST } from './files-list.js';
import { METADATA_FILE } from './metadata.js';
import { inPathOrder } from './payload-hash.js';
import { fitsTarHeader, formatTarHeader, paddedSize, TAR_BLOCK_BYTES, TAR_END_BYTES } from './tar-header.js';

/** Where a payload's files may lie (JMIX envelope). */
const FOLDERS = ['dicom/', 'files/', 'preview/'];
const DOCUMENTS = [METADATA_FILE, FILES_LIST];

export interface PayloadTarFile {
  readonly name: string;
  readonly sizeBytes: number;
  /** Called in its turn, once. */
  open(): AsyncIterable<Buffer> | Iterable<Buffer>;
}

/** The tar's size in bytes. */
export function payloadTarSize(files: readonly { readonly sizeBytes: number }[]): number {
  const entries = files.reduce((sum, file) => sum + TAR_BLOCK_BYTES + paddedSize(file.sizeBytes), 0);
  return entries + TAR_END_BYTES;
}

/** The files in the order above. */
export function inPayloadOrder<T extends { readonly name: string }>(
  files: readonly T[],
  order: Dialect['pathOrder'] = CANON.pathOrder,
): T[] {
  const sorted = inPathOrder(files, (file) => file.name, order);
  const lists = sorted.filter((file) => file.name === FILES_LIST);
  const others = sorted.filter((file) => file.name !== FILES_LIST);
  // metadata.json is known beforehand, so files.json may stay in front of it.
  const lastStreamed = others.findLastIndex((file) => file.name !== METADATA_FILE);
  return [...others.slice(0, lastStreamed + 1), ...lists, ...others.slice(lastStreamed + 1)];
}

/** The tar's bytes. @throws as `writeTarFiles` */
export async function* writePayloadTar(
  files: readonly PayloadTarFile[],
  root: Dialect['tarRoot'] = CANON.tarRoot,
): AsyncGenerator<Buffer, void, undefined> {
  yield* writeTarFiles(files, root);
  yield Buffer.alloc(TAR_END_BYTES);
}

/**
 * A tar's bytes without its end; headers and paddings are pieces of their own.
 * @param root stands before every name
 * @throws SPOOL_CORRUPT when a file has another size than it announced
 */
export async function* writeTarFiles(
  files: readonly PayloadTarFile[],
  root: string,
): AsyncGenerator<Buffer, void, undefined> {
  for (const file of files) {
    yield formatTarHeader(`${root}${file.name}`, file.sizeBytes);
    let written = 0;
    for await (const chunk of file.open()) {
      written += chunk.length;
      // Stop before the excess leaves: the sizes in the header are out already.
      if (written > file.sizeBytes) break;
      yield chunk;
    }
    if (written !== file.sizeBytes) {
      throw new GatewayError(
        'SPOOL_CORRUPT',
        `a payload file is not ${file.sizeBytes} bytes, as it was announced`,
      );
    }
    yield Buffer.alloc(paddedSize(file.sizeBytes) - file.sizeBytes);
  }
}

/** Whether a payload may hold a file of this name. */
export function isPayloadFileName(name: string): boolean {
  return DOCUMENTS.includes(name) || FOLDERS.some((folder) => name.startsWith(folder));
}

/** Whether a payload may hold a folder of this name. */
export function isPayloadFolderName(name: string): boolean {
  return FOLDERS.some((folder) => `${name}/`.startsWith(folder));
}

/**
 * What a caller gives to be sealed: under dicom/, files/ or preview/, safe, and in any dialect short enough for ustar.
 * @throws ARCHIVE_UNSAFE when it is not
 */
export function assertSealableName(name: string): void {
  assertSafeName(name);
  if (!FOLDERS.some((folder) => name.startsWith(folder))) {
    throw new GatewayError('ARCHIVE_UNSAFE', 'a payload file must lie under dicom/, files/ or preview/');
  }
  if (!fitsTarHeader(`${JS.tarRoot}${name}`)) {
    throw new GatewayError('ARCHIVE_UNSAFE', 'a payload file has a name of more than 100 bytes');
  }
}
