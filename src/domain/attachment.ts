/** A file that travels with a study and is no DICOM instance: a report, a picture, a video (JMIX envelope). */

/** `file` and `report` lie under `files/`, and metadata.json names the report; `preview` is a series at a glance. */
export const ATTACHMENT_KINDS = ['file', 'preview', 'report'] as const;
export type AttachmentKind = (typeof ATTACHMENT_KINDS)[number];

export interface Attachment {
  /** Payload-relative: `files/report.pdf`, `preview/1.2.3.jpg`. May name a person: never to be logged. */
  readonly name: string;
  readonly kind: AttachmentKind;
  readonly sizeBytes: number;
  /** Lower hex. */
  readonly sha256: string;
  readonly addedAtMs: number;
}
