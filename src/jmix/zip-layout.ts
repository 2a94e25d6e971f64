/**
 * Whose bytes are whose in a zip (APPNOTE 6.3 §4.3): entries one behind the other, the central directory, the end
 * records, and nothing else. Entries that overlap make a small archive a huge one; bytes between them hide a second
 * archive, which other readers would open in place of the first. Reads no file and looks at no name.
 */
import { GatewayError } from '../errors/gateway-error.js';

/** CRC-32 and two sizes, with or without a signature, of 32 or 64 bits (§4.3.9). */
const DESCRIPTOR_BYTES: readonly number[] = [12, 16, 20, 24];

const END_BYTES = 22;
const ZIP64_END_BYTES = 56;
const ZIP64_LOCATOR_BYTES = 20;
const ZIP64_END = 0x06064b50;
const ZIP64_LOCATOR = 0x07064b50;
/** "See the zip64 record" (§4.4.1.4). */
const SATURATED = 0xffff_ffff;

/** From the first byte to the one behind the last. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface ZipLayout {
  /**
   * Notes an entry: its local header and its data.
   * @throws ARCHIVE_UNSAFE when the entries so far are larger than the archive, so that some must overlap
   */
  add(entry: ByteRange, hasDescriptor: boolean): void;
  /**
   * After the last entry.
   * @param tail the bytes from the end of the directory to the end of the archive
   * @throws ARCHIVE_UNSAFE when entries overlap, or bytes belong to nothing
   */
  assertWhole(directory: ByteRange, tail: Buffer): void;
}

export function createZipLayout(archiveBytes: number): ZipLayout {
  const entries: (ByteRange & { hasDescriptor: boolean })[] = [];
  let entryBytes = 0;
  return {
    add({ start, end }, hasDescriptor) {
      entryBytes += end - start;
      if (entryBytes > archiveBytes) unsafe('entries of the zip overlap');
      entries.push({ start, end, hasDescriptor });
    },
    assertWhole(directory, tail) {
      let at = 0;
      let gaps: readonly number[] = [0];
      const next = (start: number): void => {
        if (start < at) unsafe('entries of the zip overlap');
        if (!gaps.includes(start - at)) unsafe('the zip holds bytes that belong to no entry');
      };
      for (const { start, end, hasDescriptor } of entries.sort((a, b) => a.start - b.start)) {
        next(start);
        at = end;
        gaps = hasDescriptor ? DESCRIPTOR_BYTES : [0];
      }
      next(directory.start);
      assertTail(directory, tail);
    },
  };
}

/** The end records must speak of the same directory: a reader may go by the old one or by that of zip64. */
function assertTail(directory: ByteRange, tail: Buffer): void {
  const isZip64 = tail.length >= ZIP64_END_BYTES && tail.readUInt32LE(0) === ZIP64_END;
  const end = tail.subarray(isZip64 ? ZIP64_END_BYTES + ZIP64_LOCATOR_BYTES : 0);
  if (end.length < END_BYTES || end.readUInt16LE(20) !== end.length - END_BYTES)
    unsafe('the zip holds bytes that belong to no entry');
  const [sizeBytes, start] = [end.readUInt32LE(12), end.readUInt32LE(16)];
  const isAgreed =
    [directory.end - directory.start, SATURATED].includes(sizeBytes) &&
    [directory.start, SATURATED].includes(start);
  if (!isAgreed || (isZip64 && !pointsTo(directory, tail.subarray(ZIP64_END_BYTES))))
    unsafe('the zip has more than one directory');
}

function pointsTo(directory: ByteRange, locator: Buffer): boolean {
  return locator.readUInt32LE(0) === ZIP64_LOCATOR && locator.readBigUInt64LE(8) === BigInt(directory.end);
}

function unsafe(message: string): never {
  throw new GatewayError('ARCHIVE_UNSAFE', `the archive is not unpacked: ${message}`);
}
