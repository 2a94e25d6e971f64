/**
 * The 128 bytes in front of `DICM` (PS3.10 §7.1), which no DICOM reader looks at. Whatever stands there decides what
 * the file is to everything else: with the head of a program in it, a valid image is also that program (the polyglots
 * of CVE-2019-11687). The standard has two honest contents: zeros, and the head of a TIFF in files that are both
 * (PS3.10 §7.1, whole slide images). What follows the preamble is not looked at here.
 */
export const PREAMBLE_BYTES = 128;

/** Heads of TIFF and BigTIFF in either byte order. */
const TIFF_HEADS = ['II*\0', 'MM\0*', 'II+\0', 'MM\0+'];

/** What the common loaders and openers know their files by; for the message alone, since all but the above is foreign. */
const FOREIGN_HEADS: readonly (readonly [head: string, what: string])[] = [
  ['MZ', 'a Windows program'],
  ['\x7fELF', 'an ELF program'],
  ['\xfe\xed\xfa\xce', 'a Mach-O program'],
  ['\xfe\xed\xfa\xcf', 'a Mach-O program'],
  ['\xce\xfa\xed\xfe', 'a Mach-O program'],
  ['\xcf\xfa\xed\xfe', 'a Mach-O program'],
  ['\xca\xfe\xba\xbe', 'a Mach-O program or a Java class'],
  ['#!', 'a script'],
  ['PK', 'a zip archive'],
  ['%PDF', 'a PDF document'],
];

/**
 * What a preamble makes of its file, if not DICOM alone.
 * @param preamble at least the first 128 bytes of a Part 10 file
 * @returns undefined for zeros and TIFF; else a few fixed words, none of them from the file
 */
export function foreignPreamble(preamble: Buffer): string | undefined {
  if (preamble.subarray(0, PREAMBLE_BYTES).every((byte) => byte === 0)) return undefined;
  const head = preamble.toString('latin1', 0, 4);
  if (TIFF_HEADS.includes(head)) return undefined;
  return FOREIGN_HEADS.find(([start]) => head.startsWith(start))?.[1] ?? 'something else';
}
