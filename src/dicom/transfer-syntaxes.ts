/**
 * Transfer syntaxes (PS3.5 §10 and Annex A, UIDs in PS3.6 Table A-1). The bridge never decodes pixels: all that it
 * needs to know is how the elements of a data set are encoded, so that it can read the first few of them.
 */

/** How elements are encoded. `deflated-le` is Explicit VR Little Endian inside a raw deflate stream. */
export type Encoding = 'implicit-le' | 'explicit-le' | 'explicit-be' | 'deflated-le';

export interface TransferSyntax {
  readonly name: string;
  readonly encoding: Encoding;
  /** Pixel Data is a sequence of fragments (PS3.5 §A.4). */
  readonly encapsulated: boolean;
  /** The compression may lose information; absent where it cannot. */
  readonly lossy?: true;
}

export const IMPLICIT_VR_LITTLE_ENDIAN = '1.2.840.10008.1.2';
export const EXPLICIT_VR_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';

const native = (name: string, encoding: Encoding): TransferSyntax => ({
  name,
  encoding,
  encapsulated: false,
});
const lossless = (name: string): TransferSyntax => ({ name, encoding: 'explicit-le', encapsulated: true });
const lossy = (name: string): TransferSyntax => ({ ...lossless(name), lossy: true });
const referenced = (name: string, encoding: Encoding): TransferSyntax => ({
  name,
  encoding,
  encapsulated: false,
});

export const TRANSFER_SYNTAXES: ReadonlyMap<string, TransferSyntax> = new Map([
  [IMPLICIT_VR_LITTLE_ENDIAN, native('Implicit VR Little Endian', 'implicit-le')],
  [EXPLICIT_VR_LITTLE_ENDIAN, native('Explicit VR Little Endian', 'explicit-le')],
  ['1.2.840.10008.1.2.1.98', lossless('Encapsulated Uncompressed Explicit VR Little Endian')],
  ['1.2.840.10008.1.2.1.99', native('Deflated Explicit VR Little Endian', 'deflated-le')],
  ['1.2.840.10008.1.2.2', native('Explicit VR Big Endian', 'explicit-be')],
  ['1.2.840.10008.1.2.4.50', lossy('JPEG Baseline (Process 1)')],
  ['1.2.840.10008.1.2.4.51', lossy('JPEG Extended (Process 2 and 4)')],
  ['1.2.840.10008.1.2.4.52', lossy('JPEG Extended (Process 3 and 5)')],
  ['1.2.840.10008.1.2.4.53', lossy('JPEG Spectral Selection, Non-Hierarchical (Process 6 and 8)')],
  ['1.2.840.10008.1.2.4.54', lossy('JPEG Spectral Selection, Non-Hierarchical (Process 7 and 9)')],
  ['1.2.840.10008.1.2.4.55', lossy('JPEG Full Progression, Non-Hierarchical (Process 10 and 12)')],
  ['1.2.840.10008.1.2.4.56', lossy('JPEG Full Progression, Non-Hierarchical (Process 11 and 13)')],
  ['1.2.840.10008.1.2.4.57', lossless('JPEG Lossless, Non-Hierarchical (Process 14)')],
  ['1.2.840.10008.1.2.4.58', lossless('JPEG Lossless, Non-Hierarchical (Process 15)')],
  ['1.2.840.10008.1.2.4.59', lossy('JPEG Extended, Hierarchical (Process 16 and 18)')],
  ['1.2.840.10008.1.2.4.60', lossy('JPEG Extended, Hierarchical (Process 17 and 19)')],
  ['1.2.840.10008.1.2.4.61', lossy('JPEG Spectral Selection, Hierarchical (Process 20 and 22)')],
  ['1.2.840.10008.1.2.4.62', lossy('JPEG Spectral Selection, Hierarchical (Process 21 and 23)')],
  ['1.2.840.10008.1.2.4.63', lossy('JPEG Full Progression, Hierarchical (Process 24 and 26)')],
  ['1.2.840.10008.1.2.4.64', lossy('JPEG Full Progression, Hierarchical (Process 25 and 27)')],
  ['1.2.840.10008.1.2.4.65', lossless('JPEG Lossless, Hierarchical (Process 28)')],
  ['1.2.840.10008.1.2.4.66', lossless('JPEG Lossless, Hierarchical (Process 29)')],
  [
    '1.2.840.10008.1.2.4.70',
    lossless('JPEG Lossless, First-Order Prediction (Process 14, Selection Value 1)'),
  ],
  ['1.2.840.10008.1.2.4.80', lossless('JPEG-LS Lossless')],
  ['1.2.840.10008.1.2.4.81', lossy('JPEG-LS Lossy (Near-Lossless)')],
  ['1.2.840.10008.1.2.4.90', lossless('JPEG 2000 (Lossless Only)')],
  ['1.2.840.10008.1.2.4.91', lossy('JPEG 2000')],
  ['1.2.840.10008.1.2.4.92', lossless('JPEG 2000 Part 2 Multi-component (Lossless Only)')],
  ['1.2.840.10008.1.2.4.93', lossy('JPEG 2000 Part 2 Multi-component')],
  ['1.2.840.10008.1.2.4.94', referenced('JPIP Referenced', 'explicit-le')],
  ['1.2.840.10008.1.2.4.95', referenced('JPIP Referenced Deflate', 'deflated-le')],
  ['1.2.840.10008.1.2.4.100', lossy('MPEG2 Main Profile / Main Level')],
  ['1.2.840.10008.1.2.4.100.1', lossy('Fragmentable MPEG2 Main Profile / Main Level')],
  ['1.2.840.10008.1.2.4.101', lossy('MPEG2 Main Profile / High Level')],
  ['1.2.840.10008.1.2.4.101.1', lossy('Fragmentable MPEG2 Main Profile / High Level')],
  ['1.2.840.10008.1.2.4.102', lossy('MPEG-4 AVC/H.264 High Profile / Level 4.1')],
  ['1.2.840.10008.1.2.4.102.1', lossy('Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1')],
  ['1.2.840.10008.1.2.4.103', lossy('MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1')],
  [
    '1.2.840.10008.1.2.4.103.1',
    lossy('Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1'),
  ],
  ['1.2.840.10008.1.2.4.104', lossy('MPEG-4 AVC/H.264 High Profile / Level 4.2 for 2D Video')],
  ['1.2.840.10008.1.2.4.104.1', lossy('Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 for 2D Video')],
  ['1.2.840.10008.1.2.4.105', lossy('MPEG-4 AVC/H.264 High Profile / Level 4.2 for 3D Video')],
  ['1.2.840.10008.1.2.4.105.1', lossy('Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 for 3D Video')],
  ['1.2.840.10008.1.2.4.106', lossy('MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2')],
  ['1.2.840.10008.1.2.4.106.1', lossy('Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2')],
  ['1.2.840.10008.1.2.4.107', lossy('HEVC/H.265 Main Profile / Level 5.1')],
  ['1.2.840.10008.1.2.4.108', lossy('HEVC/H.265 Main 10 Profile / Level 5.1')],
  ['1.2.840.10008.1.2.4.110', lossless('JPEG XL Lossless')],
  ['1.2.840.10008.1.2.4.111', lossy('JPEG XL JPEG Recompression')],
  ['1.2.840.10008.1.2.4.112', lossy('JPEG XL')],
  ['1.2.840.10008.1.2.4.201', lossless('High-Throughput JPEG 2000 (Lossless Only)')],
  ['1.2.840.10008.1.2.4.202', lossless('High-Throughput JPEG 2000 with RPCL Options (Lossless Only)')],
  ['1.2.840.10008.1.2.4.203', lossy('High-Throughput JPEG 2000')],
  ['1.2.840.10008.1.2.4.204', referenced('JPIP HTJ2K Referenced', 'explicit-le')],
  ['1.2.840.10008.1.2.4.205', referenced('JPIP HTJ2K Referenced Deflate', 'deflated-le')],
  ['1.2.840.10008.1.2.5', lossless('RLE Lossless')],
  ['1.2.840.10008.1.2.6.1', native('RFC 2557 MIME Encapsulation', 'explicit-le')],
  ['1.2.840.10008.1.2.6.2', native('XML Encoding', 'explicit-le')],
  ['1.2.840.10008.1.2.7.1', lossless('SMPTE ST 2110-20 Uncompressed Progressive Active Video')],
  ['1.2.840.10008.1.2.7.2', lossless('SMPTE ST 2110-20 Uncompressed Interlaced Active Video')],
  ['1.2.840.10008.1.2.7.3', lossless('SMPTE ST 2110-30 PCM Digital Audio')],
  ['1.2.840.10008.1.2.8.1', lossless('Deflated Image Frame Compression')],
  ['1.2.840.10008.1.20', native('Papyrus 3 Implicit VR Little Endian', 'implicit-le')],
]);

/**
 * What a transfer syntax is. Private and future ones are taken for explicit and encapsulated, since every syntax
 * that was added after 1996 is (PS3.5 §A.4). Cannot fail.
 */
export function transferSyntax(uid: string): TransferSyntax {
  return (
    TRANSFER_SYNTAXES.get(uid) ?? {
      name: `transfer syntax ${uid}`,
      encoding: 'explicit-le',
      encapsulated: true,
    }
  );
}
