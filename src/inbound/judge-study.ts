/** What an opened payload holds, if it is one study that agrees with itself, and where it goes. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Priority } from '../domain/priority.js';
import type { ReceptionEvent } from '../domain/reception.js';
import type { Uid } from '../domain/uid.js';
import { GatewayError } from '../errors/gateway-error.js';
import { METADATA_FILE } from '../jmix/metadata.js';
import { folderExists } from '../spool/envelope-store.js';
import { type InspectedInstance, inspectInstances } from './inspect-instances.js';
import type { InboundParts } from './parts.js';
import { readReceivedMetadata } from './received-metadata.js';

/** Where a payload's other files lie. */
const ATTACHMENT_FOLDERS = ['files', 'preview'];

export interface JudgedStudy {
  readonly instances: readonly InspectedInstance[];
  readonly attachmentCount: number;
  readonly studyInstanceUid: Uid;
  readonly priority: Priority;
  /** The PACS that get it. */
  readonly pacs: readonly string[];
  /** Preambles that were blanked. */
  readonly blanked: number;
}

/**
 * @param folder where it lies
 * @param known instances that were inspected before, by path
 * @throws PAYLOAD_INCONSISTENT; ARCHIVE_UNSAFE for a foreign preamble, unless they are kept; ROUTE_MISSING when no PACS
 *   is configured for this sender
 */
export async function judgeStudy(
  parts: InboundParts,
  senderId: string,
  folder: string,
  signal: AbortSignal,
  known?: ReadonlyMap<string, InspectedInstance>,
): Promise<JudgedStudy> {
  const pacs = pacsFor(parts, senderId);
  const instances = await inspectInstances(folder, parts.preamble, signal, known);
  const studyInstanceUid = onlyStudy(instances);
  const metadata = await readReceivedMetadata(join(folder, METADATA_FILE));
  if (metadata.studyInstanceUid !== undefined && metadata.studyInstanceUid !== studyInstanceUid) {
    throw inconsistent('metadata.json names another study than the instances');
  }
  return {
    instances,
    attachmentCount: await countAttachments(folder),
    studyInstanceUid,
    priority: metadata.priority,
    pacs,
    blanked: instances.filter(({ preambleBlanked }) => preambleBlanked === true).length,
  };
}

/** What the record says of it. */
export function verifiedEvent({ instances, blanked: _blanked, ...study }: JudgedStudy): ReceptionEvent {
  return {
    type: 'verified',
    ...study,
    instanceCount: instances.length,
    modalities: [...new Set(instances.map((instance) => instance.modality))]
      .filter((each) => each !== '')
      .sort(),
  };
}

function pacsFor(parts: InboundParts, senderId: string): readonly string[] {
  const names = parts.peers.get(senderId)?.deliverTo ?? [];
  if (names.length === 0)
    throw new GatewayError('ROUTE_MISSING', 'no PACS is configured for what this peer sends');
  return names;
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

function inconsistent(message: string): GatewayError {
  return new GatewayError('PAYLOAD_INCONSISTENT', message);
}
