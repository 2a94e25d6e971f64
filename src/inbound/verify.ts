/**
 * verify: do the instances say of themselves what the payload says of them? Then staging becomes `opened/<id>`, which
 * others may read. Commit point: the record says `verified`, with the PACS that get the study.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { TAGS } from '../dicom/tags.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { advanceReception, type Reception } from '../domain/reception.js';
import { parseUid, type Uid } from '../domain/uid.js';
import { GatewayError, isGatewayError, toGatewayError } from '../errors/gateway-error.js';
import { METADATA_FILE } from '../jmix/metadata.js';
import { discardFolder, moveFolder } from '../spool/envelope-store.js';
import { readInstanceFile } from '../spool/instance-file.js';
import { findReceipt } from './mail-receipt.js';
import { enqueueNext, type InboundParts, isHalted } from './parts.js';
import { readReceivedMetadata } from './received-metadata.js';

/** The document beside a reception record that lists what goes to the PACS. */
export const INSTANCES_DOCUMENT = 'instances.json';

/** One instance of an opened envelope. */
export interface OpenedInstance {
  /** Below `opened/<id>`. */
  readonly file: string;
  readonly sopInstanceUid: Uid;
  readonly sopClassUid: Uid;
  readonly transferSyntaxUid: Uid;
  readonly dataSetOffset: number;
  readonly dataSetBytes: number;
}

interface Found extends OpenedInstance {
  readonly studyInstanceUid: Uid;
  readonly modality: string;
}

const WANTED = [TAGS.SOPClassUID, TAGS.SOPInstanceUID, TAGS.Modality, TAGS.StudyInstanceUID];
const DICOM_FOLDER = 'dicom';

/**
 * @throws PAYLOAD_INCONSISTENT; ARCHIVE_UNSAFE for a foreign preamble, unless they are kept; ROUTE_MISSING when no PACS
 *   is configured for this sender
 */
export async function verify(parts: InboundParts, id: EnvelopeId, signal: AbortSignal): Promise<void> {
  const reception = await parts.receptions.read(id);
  if (reception?.progress === 'opened' && !isHalted(reception)) {
    if (await takeReceipt(parts, reception)) return;
    const pacs = pacsFor(parts, reception);
    const staging = parts.layout.stagingOf(id);
    const opened = parts.layout.openedOf(id);
    // A run that died after the rename finds its folder there already; then look at it where it is.
    const folder = await moveless(staging, opened);
    const found = await inspect(folder, parts.preamble, signal);
    const studyInstanceUid = onlyStudy(found);
    const metadata = await readReceivedMetadata(join(folder, METADATA_FILE));
    if (metadata.studyInstanceUid !== undefined && metadata.studyInstanceUid !== studyInstanceUid) {
      throw inconsistent('metadata.json names another study than the instances');
    }
    await parts.receptions.writeDocument(id, INSTANCES_DOCUMENT, JSON.stringify(found.map(toOpenedInstance)));
    await moveFolder(staging, opened);
    await parts.receptions.update(id, (record) =>
      advanceReception(
        record,
        {
          type: 'verified',
          instanceCount: found.length,
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

async function inspect(
  folder: string,
  preamble: InboundParts['preamble'],
  signal: AbortSignal,
): Promise<readonly Found[]> {
  const found: Found[] = [];
  const uids = new Set<Uid>();
  for (const name of (
    await readdir(join(folder, DICOM_FOLDER), { recursive: true, withFileTypes: true })
  ).sort(byPath)) {
    if (!name.isFile()) continue;
    signal.throwIfAborted();
    const path = join(name.parentPath, name.name);
    const instance = await inspectInstance(path, path.slice(folder.length + 1), preamble);
    if (uids.has(instance.sopInstanceUid)) throw inconsistent('two files hold the same SOP Instance UID');
    uids.add(instance.sopInstanceUid);
    found.push(instance);
  }
  if (found.length === 0) throw inconsistent('the payload holds no instance');
  return found;
}

function byPath(a: { parentPath: string; name: string }, b: { parentPath: string; name: string }): number {
  return join(a.parentPath, a.name) < join(b.parentPath, b.name) ? -1 : 1;
}

async function inspectInstance(
  path: string,
  file: string,
  preamble: InboundParts['preamble'],
): Promise<Found> {
  try {
    const { meta, dataSetBytes, header, foreignPreamble } = await readInstanceFile(path, WANTED);
    if (preamble === 'refuse') assertNoForeign(foreignPreamble);
    const sopInstanceUid = parseUid(header.string(TAGS.SOPInstanceUID) ?? '', 'SOPInstanceUID');
    const sopClassUid = parseUid(header.string(TAGS.SOPClassUID) ?? '', 'SOPClassUID');
    if (meta.sopInstanceUid !== sopInstanceUid || meta.sopClassUid !== sopClassUid) {
      throw inconsistent('file meta information and data set name different SOP instances');
    }
    return {
      file,
      sopInstanceUid,
      sopClassUid,
      transferSyntaxUid: parseUid(meta.transferSyntaxUid, 'TransferSyntaxUID'),
      dataSetOffset: meta.dataSetOffset,
      dataSetBytes,
      studyInstanceUid: parseUid(header.string(TAGS.StudyInstanceUID) ?? '', 'StudyInstanceUID'),
      modality: header.string(TAGS.Modality) ?? '',
    };
  } catch (error) {
    if (isGatewayError(error) && error.code === 'DATASET_UNREADABLE') {
      throw new GatewayError('PAYLOAD_INCONSISTENT', `an instance cannot be read: ${error.message}`, {
        cause: error,
      });
    }
    throw error;
  }
}

/**
 * Not for the PACS: a C-STORE carries the data set without the preamble. It is for `opened/`, where people and scripts
 * find whole files that a shell would run. Nothing is blanked, because these are the bytes that the sender signed.
 */
function assertNoForeign(foreignPreamble: string | undefined): void {
  if (foreignPreamble === undefined) return;
  throw new GatewayError(
    'ARCHIVE_UNSAFE',
    `the preamble of an instance is neither zeros nor TIFF, but that of ${foreignPreamble}`,
  );
}

function onlyStudy(found: readonly Found[]): Uid {
  const [first, ...more] = new Set(found.map((instance) => instance.studyInstanceUid));
  if (first === undefined || more.length > 0) throw inconsistent('the instances belong to several studies');
  return first;
}

function toOpenedInstance({
  studyInstanceUid: _study,
  modality: _modality,
  ...instance
}: Found): OpenedInstance {
  return instance;
}

function inconsistent(message: string): GatewayError {
  return new GatewayError('PAYLOAD_INCONSISTENT', message);
}
