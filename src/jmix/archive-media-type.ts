/** The media types of envelope archives, by name and by their first bytes. */

export type ArchiveMediaType = 'application/x-tar' | 'application/gzip' | 'application/zip';

/** What is sent, and what every receiver of ours takes. */
export const WIRE_MEDIA_TYPE: ArchiveMediaType = 'application/x-tar';

/** The first bytes of each archive type: where, and what. */
const MAGIC: readonly (readonly [ArchiveMediaType, offset: number, Buffer])[] = [
  ['application/gzip', 0, Buffer.from([0x1f, 0x8b])],
  ['application/zip', 0, Buffer.from('PK\x03\x04', 'latin1')],
  ['application/x-tar', 257, Buffer.from('ustar', 'latin1')],
];

/** How many bytes `detectMediaType` wants to see. */
export const MAGIC_BYTES = 262;

/** The media type that the first bytes of a file speak of; undefined when they speak of none. */
export function detectMediaType(head: Buffer): ArchiveMediaType | undefined {
  return MAGIC.find(([, offset, magic]) => head.subarray(offset, offset + magic.length).equals(magic))?.[0];
}
