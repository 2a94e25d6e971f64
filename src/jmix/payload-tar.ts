/**
 * The tar inside the sealed payload, as the canonical profile writes it: ustar, payload-relative names, regular files
 * only. And which names a payload may hold, on both sides.
 *
 * Order: by bytes, but files.json comes behind files/…. By bytes it would stand before them, and then their hashes
 * would have to be known before their turn, which would need a second pass; readers take any order. Without files/…
 * the order is by bytes throughout.
 */
import { GatewayError } from '../errors/gateway-error.js';
import { assertSafeName } from './entry-name.js';
import { FILES_LIST } from './files-list.js';
import { METADATA_FILE } from './metadata.js';
import { formatTarHeader, paddedSize, TAR_BLOCK_BYTES, TAR_END_BYTES } from './tar-header.js';

/** Where a payload's files may lie (JMIX envelope). */
const FOLDERS = ['dicom/', 'files/', 'preview/'];
const DOCUMENTS = [METADATA_FILE, FILES_LIST];

export interface PayloadTarFile {
  readonly name: string;
  readonly sizeBytes: number;
  /** Called in its turn, once. */
  open(): AsyncIterable<Buffer>;
}

/** The tar's size in bytes. */
export function payloadTarSize(files: readonly { readonly sizeBytes: number }[]): number {
  const entries = files.reduce((sum, file) => sum + TAR_BLOCK_BYTES + paddedSize(file.sizeBytes), 0);
  return entries + TAR_END_BYTES;
}

/** The files in the order above. */
export function inPayloadOrder<T extends { readonly name: string }>(files: readonly T[]): T[] {
  return [...files].sort((a, b) => Buffer.compare(sortKey(a.name), sortKey(b.name)));
}

/** 0xff stands in no UTF-8 text, so it comes behind every name under files/. */
function sortKey(name: string): Buffer {
  return name === FILES_LIST ? Buffer.concat([Buffer.from('files/'), Buffer.of(0xff)]) : Buffer.from(name);
}

/**
 * The tar's bytes; headers and paddings are pieces of their own.
 * @throws SPOOL_CORRUPT when a file has another size than it announced
 */
export async function* writePayloadTar(
  files: readonly PayloadTarFile[],
): AsyncGenerator<Buffer, void, undefined> {
  for (const file of files) {
    yield formatTarHeader(file.name, file.sizeBytes);
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
  yield Buffer.alloc(TAR_END_BYTES);
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
 * What a caller gives to be sealed: under dicom/, files/ or preview/, and safe.
 * @throws ARCHIVE_UNSAFE when it is not
 */
export function assertSealableName(name: string): void {
  assertSafeName(name);
  if (FOLDERS.some((folder) => name.startsWith(folder))) return;
  throw new GatewayError('ARCHIVE_UNSAFE', 'a payload file must lie under dicom/, files/ or preview/');
}
