/**
 * verify: do the instances say of themselves what the payload says of them? Then staging becomes `opened/<id>`, which
 * others may read. Commit point: the record says `verified`, with the PACS that get the study.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { advanceReception, type Reception } from '../domain/reception.js';
import type { Uid } from '../domain/uid.js';
import { GatewayError, toGatewayError } from '../errors/gateway-error.js';
import { METADATA_FILE } from '../jmix/metadata.js';
import { discardFolder, folderExists, moveFolder } from '../spool/envelope-store.js';
import { type InspectedInstance, inspectInstances, type OpenedInstance } from './inspect-instances.js';
import { findReceipt } from './mail-receipt.js';
import { takePairingTest } from './pairing-test.js';
import { enqueueNext, type InboundParts, isHalted } from './parts.js';
import { readReceivedMetadata } from './received-metadata.js';

/** The document beside a reception record that lists what goes to the PACS. */
export const INSTANCES_DOCUMENT = 'instances.json';

/** Where a payload's other files lie. */
const ATTACHMENT_FOLDERS = ['files', 'preview'];

/**
 * @throws PAYLOAD_INCONSISTENT; ARCHIVE_UNSAFE for a foreign preamble, unless they are kept; ROUTE_MISSING when no PACS
 *   is configured for this sender
 */
export async function verify(parts: InboundParts, id: EnvelopeId, signal: AbortSignal): Promise<void> {
  const reception = await parts.receptions.read(id);
  if (reception?.progress === 'opened' && !isHalted(reception)) {
    if (await takeReceipt(parts, reception)) return;
    if (await takePairingTest(parts, reception)) return enqueueNext(parts, await parts.receptions.read(id));
    const pacs = pacsFor(parts, reception);
    const staging = parts.layout.stagingOf(id);
    const opened = parts.layout.openedOf(id);
    // A run that died after the rename finds its folder there already; then look at it where it is.
    const folder = await moveless(staging, opened);
    const found = await inspectInstances(folder, parts.preamble, signal);
    const studyInstanceUid = onlyStudy(found);
    const metadata = await readReceivedMetadata(join(folder, METADATA_FILE));
    if (metadata.studyInstanceUid !== undefined && metadata.studyInstanceUid !== studyInstanceUid) {
      throw inconsistent('metadata.json names another study than the instances');
    }
    const blanked = found.filter(({ preambleBlanked }) => preambleBlanked === true).length;
    if (blanked > 0) parts.log.warn({ event: 'preambles.blanked', reception: id, instances: blanked });
    await parts.receptions.writeDocument(id, INSTANCES_DOCUMENT, JSON.stringify(found.map(toOpenedInstance)));
    await moveFolder(staging, opened);
    const attachmentCount = await countAttachments(opened);
    await parts.receptions.update(id, (record) =>
      advanceReception(
        record,
        {
          type: 'verified',
          instanceCount: found.length,
          attachmentCount,
          studyInstanceUid,
          modalities: [...new Set(found.map((instance) => instance.modality))]
            .filter((each) => each !== '')
            .sort(),
          pacs,
          priority: metadata.priority,
        },
        parts.clock.now(),
      ),
    );
    parts.log.info({ event: 'reception.verified', reception: id, instances: found.length });
  }
  await enqueueNext(parts, await parts.receptions.read(id));
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
  await parts.receptions.update(id, (record) =>
    advanceReception(
      record,
      {
        type: 'receipt',
        receiptFor: found.id,
        ...(problem === undefined
          ? {}
          : {
              problem: { code: problem.code, message: problem.message, stage: 'verify', atMs: clock.now() },
            }),
      },
      clock.now(),
    ),
  );
  if (problem !== undefined) {
    await moveFolder(layout.inboxEnvelope(id), layout.quarantinedEnvelope(id));
    parts.log.warn({ event: 'receipt.refused', reception: id, sender: senderId, code: problem.code });
  }
  await discardFolder(layout, layout.inboxEnvelope(id));
  await discardFolder(layout, layout.stagingOf(id));
  return true;
}

function pacsFor(parts: InboundParts, reception: Reception): readonly string[] {
  const names = parts.peers.get(reception.senderId)?.deliverTo ?? [];
  if (names.length === 0)
    throw new GatewayError('ROUTE_MISSING', 'no PACS is configured for what this peer sends');
  return names;
}

async function moveless(staging: string, opened: string): Promise<string> {
  return (await readdir(staging).catch(() => undefined)) === undefined ? opened : staging;
}

/** What is no instance is kept as it came, for whoever fetches it there; no PACS gets it. */
async function countAttachments(folder: string): Promise<number> {
  const counts = await Promise.all(
    ATTACHMENT_FOLDERS.map(async (name) => {
      const path = join(folder, name);
      if (!(await folderExists(path))) return 0;
      const entries = await readdir(path, { recursive: true, withFileTypes: true });
      return entries.filter((entry) => entry.isFile()).length;
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

function onlyStudy(found: readonly InspectedInstance[]): Uid {
  const [first, ...more] = new Set(found.map((instance) => instance.studyInstanceUid));
  if (first === undefined || more.length > 0) throw inconsistent('the instances belong to several studies');
  return first;
}

function toOpenedInstance({
  studyInstanceUid: _study,
  modality: _modality,
  ...instance
}: InspectedInstance): OpenedInstance {
  return instance;
}

function inconsistent(message: string): GatewayError {
  return new GatewayError('PAYLOAD_INCONSISTENT', message);
}
