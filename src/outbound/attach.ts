/**
 * What people add to a study that lies in the spool: attachments, and what its manifests shall say. Both wait for the
 * study's completion. An attachment that comes after it travels in an envelope of its own, with the quiet time that
 * instances have; words alone would reach nobody then, so they are refused.
 */
import type { Attachment, AttachmentKind } from '../domain/attachment.js';
import type { Extensions } from '../domain/extensions.js';
import { isGathering, type Study } from '../domain/study.js';
import { GatewayError } from '../errors/gateway-error.js';
import { attachmentName, previewedSeries } from '../spool/attachments.js';
import type { StagedFile } from '../spool/staged-file.js';
import type { CompletionParts } from './complete-study.js';

/** Of one study; a mistake in a script shall not fill the disk with small files. */
const MAX_ATTACHMENTS = 1_000;

export interface NewAttachment {
  /** A file name without folders. */
  readonly name: string;
  readonly kind: AttachmentKind;
  readonly body: AsyncIterable<Buffer>;
  readonly maxBytes: number;
}

/**
 * Resolves when the attachment is durable. The same again is a success.
 * @returns false when it was here before
 * @throws STUDY_NOT_FOUND; ARCHIVE_UNSAFE when a payload cannot hold the name; STATE_INVALID when the name stands for
 *   another file, or the study has a report that waits; REQUEST_INVALID when it is empty, or a preview of no series of
 *   the study; ENVELOPE_TOO_LARGE; SPOOL_WRITE_FAILED; and what `body` throws
 */
export async function attach(
  parts: CompletionParts,
  key: string,
  { name: given, kind, body, maxBytes }: NewAttachment,
): Promise<boolean> {
  const name = attachmentName(kind, given);
  assertFits(await findStudy(parts, key), name, kind);
  const staged = await parts.studies.stage(Buffer.alloc(0));
  try {
    await pour(body, staged, maxBytes);
    const { sizeBytes } = staged.finish();
    if (sizeBytes === 0) throw new GatewayError('REQUEST_INVALID', 'the attachment is empty');
    // Another one may have come meanwhile.
    assertFits(await findStudy(parts, key), name, kind);
    const sha256 = await staged.sha256();
    const attachment: Attachment = { name, kind, sizeBytes, sha256, addedAtMs: parts.clock.now() };
    const outcome = await parts.studies.attach(staged, key, attachment);
    if (outcome === 'conflict')
      throw new GatewayError('STATE_INVALID', 'the study has another attachment of this name');
    parts.log.info({ event: `attachment.${outcome}`, study: key, kind, bytes: sizeBytes });
    return outcome === 'stored';
  } finally {
    await staged.discard();
  }
}

/**
 * Says something of one study alone, in all manifests to come.
 * @throws STUDY_NOT_FOUND, STATE_INVALID when nothing waits that could carry it, SPOOL_WRITE_FAILED
 */
export async function describe(parts: CompletionParts, key: string, extensions: Extensions): Promise<void> {
  if (!isGathering(await findStudy(parts, key))) {
    throw new GatewayError(
      'STATE_INVALID',
      'all of this study is on its way already; attach first what these words are to go with',
    );
  }
  await parts.studies.describe(key, extensions);
  parts.log.info({ event: 'study.described', study: key });
}

async function findStudy(parts: CompletionParts, key: string): Promise<Study> {
  const study = await parts.studies.find(key);
  if (study === undefined) throw new GatewayError('STUDY_NOT_FOUND', 'there is no such study in the spool');
  return study;
}

function assertFits(study: Study, name: string, kind: AttachmentKind): void {
  // A name that is there is the same file again, or a conflict; the bytes decide.
  if (study.attachments.has(name)) return;
  if (study.attachments.size >= MAX_ATTACHMENTS)
    throw new GatewayError('STATE_INVALID', `a study has at most ${MAX_ATTACHMENTS} attachments`);
  if (kind === 'preview') {
    const series = previewedSeries(name);
    if ([...study.instances.values()].some(({ seriesInstanceUid }) => seriesInstanceUid === series)) return;
    throw new GatewayError(
      'REQUEST_INVALID',
      'a preview is named after the SeriesInstanceUID of a series of the study, with an ending such as .jpg',
    );
  }
  const waits = [...study.gathering.attachments].some(
    (each) => study.attachments.get(each)?.kind === 'report',
  );
  if (kind === 'report' && waits)
    throw new GatewayError('STATE_INVALID', 'the study has a report already that waits to be sent');
}

async function pour(body: AsyncIterable<Buffer>, staged: StagedFile, maxBytes: number): Promise<void> {
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > maxBytes) {
      throw new GatewayError(
        'ENVELOPE_TOO_LARGE',
        `the attachment is larger than the limit of ${maxBytes} bytes`,
      );
    }
    await staged.write(chunk);
  }
}
