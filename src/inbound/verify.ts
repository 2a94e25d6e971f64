/**
 * verify: do the instances say of themselves what the payload says of them? Then staging becomes `opened/<id>`, which
 * others may read. Commit point: the record says `verified`, with the PACS that get the study.
 */
import type { EnvelopeId } from '../domain/envelope-id.js';
import { advanceReception, type Reception } from '../domain/reception.js';
import { GatewayError, toGatewayError } from '../errors/gateway-error.js';
import { isErrno } from '../spool/atomic.js';
import { discardFolder, folderExists, moveFolder } from '../spool/envelope-store.js';
import type { InspectedInstance, OpenedInstance } from './inspect-instances.js';
import { judgeStudy, verifiedEvent } from './judge-study.js';
import { findReceipt } from './mail-receipt.js';
import { takePairingTest } from './pairing-test.js';
import { enqueueNext, type InboundParts, isHalted } from './parts.js';

/** The document beside a reception record that lists what goes to the PACS. */
const INSTANCES_DOCUMENT = 'instances.json';

/**
 * @throws PAYLOAD_INCONSISTENT; ARCHIVE_UNSAFE for a foreign preamble, unless they are kept; ROUTE_MISSING when no PACS
 *   is configured for this sender
 */
export async function verify(parts: InboundParts, id: EnvelopeId, signal: AbortSignal): Promise<void> {
  const reception = await parts.receptions.read(id);
  if (reception?.progress === 'opened' && !isHalted(reception)) {
    if (await takeReceipt(parts, reception)) return;
    if (await takePairingTest(parts, reception)) return enqueueNext(parts, await parts.receptions.read(id));
    const staging = parts.layout.stagingOf(id);
    const opened = parts.layout.openedOf(id);
    // A run that died after the rename finds its folder there already; then look at it where it is.
    const folder = (await folderExists(staging)) ? staging : opened;
    const study = await judgeStudy(parts, reception.senderId, folder, signal).catch(
      async (error: unknown) => {
        // Another run has taken it away meanwhile: then this one has seen half of it, and judges nothing.
        const isGone = folder === staging && !(await folderExists(staging)) && (await folderExists(opened));
        throw isGone ? new GatewayError('CANCELLED', 'another run was faster', { cause: error }) : error;
      },
    );
    if (study.blanked > 0)
      parts.log.warn({ event: 'preambles.blanked', reception: id, instances: study.blanked });
    await writeOpenedInstances(parts, id, study.instances);
    await moveFolder(staging, opened).catch(async (error: unknown) => {
      if (!isErrno(error, 'ENOTEMPTY', 'EEXIST')) throw error;
      // Opened twice: the one that was verified first stays.
      await discardFolder(parts.layout, staging);
    });
    await parts.receptions.update(id, (record) =>
      record.progress === 'opened' && !isHalted(record)
        ? advanceReception(record, verifiedEvent(study), parts.clock.now())
        : record,
    );
    parts.log.info({ event: 'reception.verified', reception: id, instances: study.instances.length });
  }
  await enqueueNext(parts, await parts.receptions.read(id));
}

export async function writeOpenedInstances(
  parts: InboundParts,
  id: EnvelopeId,
  instances: readonly InspectedInstance[],
): Promise<void> {
  const opened = instances.map(toOpenedInstance);
  await parts.receptions.writeDocument(id, INSTANCES_DOCUMENT, JSON.stringify(opened));
}

export async function readOpenedInstances(
  parts: InboundParts,
  id: EnvelopeId,
): Promise<readonly OpenedInstance[]> {
  const bytes = await parts.receptions.readDocument(id, INSTANCES_DOCUMENT);
  if (bytes === undefined)
    throw new GatewayError('FAULT', 'the list of instances of this reception is missing');
  return JSON.parse(bytes.toString('utf8')) as readonly OpenedInstance[];
}

/**
 * A payload that is no study but the receipt for a delivery of ours. It is settled here, good or bad.
 * @returns false when it is none
 */
async function takeReceipt(parts: InboundParts, reception: Reception): Promise<boolean> {
  const { layout, clock } = parts;
  const { id, senderId } = reception;
  const found = await findReceipt(layout.stagingOf(id));
  if (found === undefined) return false;
  const problem = await parts.acceptReceipt(senderId, found.id, found.jws).then(
    () => undefined,
    (raw: unknown) => toGatewayError(raw),
  );
  if (problem !== undefined && problem.kind !== 'permanent') throw problem;
  const event = {
    type: 'receipt',
    receiptFor: found.id,
    ...(problem === undefined
      ? {}
      : { problem: { code: problem.code, message: problem.message, stage: 'verify', atMs: clock.now() } }),
  } as const;
  await parts.receptions.update(id, (record) =>
    record.progress === 'opened' ? advanceReception(record, event, clock.now()) : record,
  );
  if (problem !== undefined) {
    await moveFolder(layout.inboxEnvelope(id), layout.quarantinedEnvelope(id));
    parts.log.warn({ event: 'receipt.refused', reception: id, sender: senderId, code: problem.code });
  }
  await discardFolder(layout, layout.inboxEnvelope(id));
  await discardFolder(layout, layout.stagingOf(id));
  return true;
}

function toOpenedInstance({
  studyInstanceUid: _study,
  modality: _modality,
  ...instance
}: InspectedInstance): OpenedInstance {
  return instance;
}
