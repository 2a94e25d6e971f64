/**
 * The attributes that the bridge reads, by keyword (PS3.6 §6). A data set holds hundreds; nothing else in it is ever
 * looked at, so nothing else can reach a log or a record.
 */

/** Tag of each attribute: group in the upper 16 bits, element in the lower. */
export const TAGS = {
  SpecificCharacterSet: 0x0008_0005,
  SOPClassUID: 0x0008_0016,
  SOPInstanceUID: 0x0008_0018,
  StudyDate: 0x0008_0020,
  AccessionNumber: 0x0008_0050,
  Modality: 0x0008_0060,
  StudyDescription: 0x0008_1030,
  SeriesDescription: 0x0008_103e,
  PatientName: 0x0010_0010,
  PatientID: 0x0010_0020,
  IssuerOfPatientID: 0x0010_0021,
  PatientBirthDate: 0x0010_0030,
  PatientSex: 0x0010_0040,
  BodyPartExamined: 0x0018_0015,
  StudyInstanceUID: 0x0020_000d,
  SeriesInstanceUID: 0x0020_000e,
  NumberOfFrames: 0x0028_0008,
} as const;

export type Tag = (typeof TAGS)[keyof typeof TAGS];

/** The VRs of these attributes, needed where the encoding does not carry them. */
type HeaderVr = 'CS' | 'DA' | 'IS' | 'LO' | 'PN' | 'SH' | 'UI';

/** VR of each attribute (PS3.6 §6): decides which padding is dropped and whether the character set applies. */
export const TAG_VRS: Readonly<Record<Tag, HeaderVr>> = {
  [TAGS.SpecificCharacterSet]: 'CS',
  [TAGS.SOPClassUID]: 'UI',
  [TAGS.SOPInstanceUID]: 'UI',
  [TAGS.StudyDate]: 'DA',
  [TAGS.AccessionNumber]: 'SH',
  [TAGS.Modality]: 'CS',
  [TAGS.StudyDescription]: 'LO',
  [TAGS.SeriesDescription]: 'LO',
  [TAGS.PatientName]: 'PN',
  [TAGS.PatientID]: 'LO',
  [TAGS.IssuerOfPatientID]: 'LO',
  [TAGS.PatientBirthDate]: 'DA',
  [TAGS.PatientSex]: 'CS',
  [TAGS.BodyPartExamined]: 'CS',
  [TAGS.StudyInstanceUID]: 'UI',
  [TAGS.SeriesInstanceUID]: 'UI',
  [TAGS.NumberOfFrames]: 'IS',
};

/** `(0008,0018)`, as PS3.5 §7.1 writes tags. */
export function formatTag(tag: number): string {
  const hex = tag.toString(16).padStart(8, '0');
  return `(${hex.slice(0, 4)},${hex.slice(4)})`;
}
