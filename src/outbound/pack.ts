/**
 * pack: describes the frozen instances, and checks that every one of them, and every attachment, is where it was
 * committed. Commit point: the draft, written whole. Nothing is copied: seal reads the files where they lie.
 */
import type { Attachment } from '../domain/attachment.js';
import { advanceDelivery, type Delivery } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Described, Instance } from '../domain/instance.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { JmixMetadata } from '../jmix/metadata.js';
import { classifyDiskError, isErrno, writeFileDurably } from '../spool/atomic.js';
import { fileSize } from '../spool/instance-file.js';
import type { LoggedFile } from '../spool/logged-file.js';
import { describeStudy } from './describe-study.js';
import { type FrozenContent, readFrozenContent } from './frozen-content.js';
import { PAIRING_TEST_METADATA } from './pairing-test.js';
import { dueDelivery, type OutboundParts } from './parts.js';

/** What pack hands to seal. Lies in the spool only: it names the patient. */
export interface Draft {
  readonly metadata: JmixMetadata;
  readonly instances: readonly Instance[];
  readonly attachments: readonly Attachment[];
}

/** @throws SPOOL_CORRUPT when a file is gone or has another size, SPOOL_WRITE_FAILED */
export async function pack(parts: OutboundParts, id: EnvelopeId, signal: AbortSignal): Promise<void> {
  const delivery = dueDelivery(await parts.deliveries.read(id), ['accepted']);
  if (delivery !== undefined) {
    await writeDraft(parts, delivery, signal);
    await parts.deliveries.update(id, (record) =>
      // Another delivery may have sealed for this one meanwhile.
      record.carriage === 'accepted'
        ? advanceDelivery(record, { type: 'packed' }, parts.clock.now())
        : record,
    );
  }
  await parts.enqueue('seal', id);
}

/** Makes the draft anew from the frozen list. */
export async function writeDraft(
  parts: OutboundParts,
  delivery: Delivery,
  signal: AbortSignal,
): Promise<Draft> {
  const draft = await makeDraft(parts, delivery, await readFrozenContent(parts, delivery.id), signal);
  try {
    await writeFileDurably(parts.layout.draft(delivery.id), JSON.stringify(draft));
  } catch (error) {
    throw classifyDiskError(error);
  }
  return draft;
}

/**
 * Looks at every file, and describes them.
 * @param unfiled those of them that lie in the reception log, by their names
 * @throws SPOOL_CORRUPT when one is gone or has another size
 */
export async function makeDraft(
  parts: Pick<OutboundParts, 'layout'>,
  delivery: Delivery,
  { instances, attachments }: FrozenContent,
  signal: AbortSignal,
  unfiled: ReadonlyMap<string, LoggedFile> = new Map(),
): Promise<Draft> {
  const fileOf = ({ sopInstanceUid }: Described) => {
    const path = parts.layout.instance(delivery.studyKey, sopInstanceUid);
    return unfiled.get(path) ?? path;
  };
  for (const instance of instances) {
    signal.throwIfAborted();
    // In front of the data set stands the Part 10 header.
    if ((await sizeOf(fileOf(instance))) <= instance.dataSetBytes) throw corrupt('an instance');
  }
  for (const { sha256, sizeBytes } of attachments) {
    if ((await sizeOf(parts.layout.attachment(delivery.studyKey, sha256))) !== sizeBytes) {
      throw corrupt('an attachment');
    }
  }
  const metadata =
    delivery.purpose === 'pairing-test'
      ? PAIRING_TEST_METADATA
      : await describeStudy(delivery.studyInstanceUid, instances, fileOf);
  const report = attachments.find(({ kind }) => kind === 'report');
  return {
    metadata: report === undefined ? metadata : { ...metadata, report: { file: report.name } },
    instances,
    attachments,
  };
}

/** 0 when there is no such file. */
async function sizeOf(file: string | LoggedFile): Promise<number> {
  if (typeof file !== 'string') return file.sizeBytes;
  try {
    return await fileSize(file);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return 0;
    throw error;
  }
}

function corrupt(what: string): GatewayError {
  return new GatewayError('SPOOL_CORRUPT', `${what} of the frozen list is missing or cut short in the spool`);
}
