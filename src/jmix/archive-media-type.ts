/** The media types of envelope archives, by name and by their first bytes. */

export type ArchiveMediaType =
  | 'application/x-tar'
  | 'application/gzip'
  | 'application/zip'
  | typeof OPENPGP_MEDIA_TYPE;

/** An archive within an OpenPGP message (RFC 3156 §4 has the name). */
export const OPENPGP_MEDIA_TYPE = 'application/pgp-encrypted';

/** What is sent, and what every receiver of ours takes. */
export const WIRE_MEDIA_TYPE: ArchiveMediaType = 'application/x-tar';

/** The first bytes of each archive type: where, and what. */
const MAGIC: readonly (readonly [ArchiveMediaType, offset: number, Buffer])[] = [
  ['application/gzip', 0, Buffer.from([0x1f, 0x8b])],
  ['application/zip', 0, Buffer.from('PK\x03\x04', 'latin1')],
  ['application/x-tar', 257, Buffer.from('ustar', 'latin1')],
];

/**
 * What an OpenPGP message may begin with (RFC 9580 §10.3): a session key for a public key or a passphrase, encrypted data
 * of three kinds, a marker; and a message that is only signed or compressed, of which the reader can say what is wrong.
 */
const OPENPGP_TAGS: ReadonlySet<number> = new Set([1, 3, 9, 18, 20, 10, 2, 4, 8]);
const ARMOUR = Buffer.from('-----BEGIN PGP MESSAGE-----', 'latin1');

/** How many bytes `detectMediaType` wants to see. */
export const MAGIC_BYTES = 262;

/** The media type that the first bytes of a file speak of; undefined when they speak of none. */
export function detectMediaType(head: Buffer): ArchiveMediaType | undefined {
  const found = MAGIC.find(([, offset, magic]) => head.subarray(offset, offset + magic.length).equals(magic));
  if (found !== undefined) return found[0];
  return isOpenpgp(head) ? OPENPGP_MEDIA_TYPE : undefined;
}

/** After the archives: the name at the start of a tar may begin with any byte. */
function isOpenpgp(head: Buffer): boolean {
  if (head.subarray(0, ARMOUR.length).equals(ARMOUR)) return true;
  const [first = 0] = head;
  if ((first & 0x80) === 0) return false;
  // RFC 9580 §4.2: bit 6 tells the new format, with six bits of tag, from the old one, with four.
  return OPENPGP_TAGS.has((first & 0x40) !== 0 ? first & 0x3f : (first & 0x3c) >> 2);
}
