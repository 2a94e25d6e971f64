/** What is added to a study that lies in the spool, as scripts and the command line do it. */
import type { AttachmentKind } from '../domain/attachment.js';
import type { GatewayError } from '../errors/gateway-error.js';

export interface StudyAdditions {
  /** A GatewayError while nothing new is taken (stopping, disk nearly full). */
  admission(): GatewayError | undefined;
  /**
   * Resolves when the file is durable; `created` is false for the same file again.
   * @throws STUDY_NOT_FOUND, ARCHIVE_UNSAFE, STATE_INVALID, REQUEST_INVALID, ENVELOPE_TOO_LARGE, SPOOL_WRITE_FAILED
   */
  attach(key: string, attachment: AttachmentUpload): Promise<{ readonly created: boolean }>;
  /** @param extensions any JSON value @throws STUDY_NOT_FOUND, STATE_INVALID, REQUEST_INVALID, SPOOL_WRITE_FAILED */
  describeStudy(key: string, extensions: unknown): Promise<void>;
}

export interface AttachmentUpload {
  /** A file name without folders. */
  readonly name: string;
  readonly kind: AttachmentKind;
  readonly body: AsyncIterable<Buffer>;
}
