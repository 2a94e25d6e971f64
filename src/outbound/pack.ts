/**
 * pack: describes the frozen instances, and checks that every one of them is where it was committed. Commit point:
 * the draft, written whole. Nothing is copied: seal reads the instances where they lie.
 */
import { advanceDelivery, type Delivery } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Instance } from '../domain/instance.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { JmixMetadata } from '../jmix/metadata.js';
import { classifyDiskError, isErrno, writeFileDurably } from '../spool/atomic.js';
import { fileSize } from '../spool/instance-file.js';
import { readFrozenList } from './complete-study.js';
import { describeStudy } from './describe-study.js';
import { dueDelivery, type OutboundParts } from './parts.js';

/** What pack hands to seal. Lies in the spool only: it names the patient. */
export interface Draft {
  readonly metadata: JmixMetadata;
  readonly instances: readonly Instance[];
}

/** @throws SPOOL_CORRUPT when an instance is gone or has another size, SPOOL_WRITE_FAILED */
export async function pack(parts: OutboundParts, id: EnvelopeId, signal: AbortSignal): Promise<void> {
  const delivery = dueDelivery(await parts.deliveries.read(id), ['accepted']);
  if (delivery !== undefined) {
    await writeDraft(parts, delivery, signal);
    await parts.deliveries.update(id, (record) =>
      advanceDelivery(record, { type: 'packed' }, parts.clock.now()),
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
  const instances = await readFrozenList(parts, delivery.id);
  const pathOf = (instance: Instance) => parts.layout.instance(delivery.studyKey, instance.sopInstanceUid);
  for (const instance of instances) {
    signal.throwIfAborted();
    await assertThere(pathOf(instance), instance);
  }
  const draft: Draft = {
    metadata: await describeStudy(delivery.studyInstanceUid, instances, pathOf),
    instances,
  };
  try {
    await writeFileDurably(parts.layout.draft(delivery.id), JSON.stringify(draft));
  } catch (error) {
    throw classifyDiskError(error);
  }
  return draft;
}

async function assertThere(path: string, instance: Instance): Promise<void> {
  try {
    if ((await fileSize(path)) > instance.dataSetBytes) return;
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
  throw new GatewayError(
    'SPOOL_CORRUPT',
    'an instance of the frozen list is missing or cut short in the spool',
  );
}
