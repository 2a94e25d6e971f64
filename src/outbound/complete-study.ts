/**
 * A study is complete: fix the list of its instances and attachments and the deliveries that carry it (the freeze, which
 * is the commit point), then write one delivery record per peer and put each to work. What a crash leaves undone after
 * the freeze, `openDeliveries` makes up for: it derives everything from the freeze.
 */
import type { Attachment } from '../domain/attachment.js';
import type { Delivery } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { withStudyExtensions } from '../domain/extensions.js';
import type { Instance, ReceivedInstance } from '../domain/instance.js';
import { type Route, routePeers } from '../domain/route.js';
import {
  type CompletionReason,
  type Freeze,
  firstEnvelopes,
  isGathering,
  type PlannedDelivery,
  type Study,
} from '../domain/study.js';
import type { Uid } from '../domain/uid.js';
import { GatewayError } from '../errors/gateway-error.js';
import { writeOwners } from '../spool/envelope-owners.js';
import type { StudyStore } from '../spool/study-store.js';
import type { OutboundParts } from './parts.js';
import { planDeliveries, sharedEnvelopeOf } from './sharing.js';

export interface CompletionParts extends OutboundParts {
  readonly studies: StudyStore;
  readonly routes: readonly Route[];
}

/** The documents beside a delivery record that hold what it carries. */
export const INSTANCES_DOCUMENT = 'instances.json';
const ATTACHMENTS_DOCUMENT = 'attachments.json';

/** What travels together. */
export interface FrozenContent {
  readonly instances: readonly Instance[];
  readonly attachments: readonly Attachment[];
}

/**
 * Freezes what has gathered, and starts its deliveries. Of a study that has gone before, new instances come first; what
 * was attached to it still gathers then, and is the next freeze.
 * @throws ROUTE_MISSING when no route fits (the study stays as it is), STATE_INVALID when nothing has gathered
 */
export async function completeStudy(
  parts: CompletionParts,
  study: Study,
  reason: CompletionReason,
): Promise<readonly EnvelopeId[]> {
  if (!isGathering(study)) throw new GatewayError('STATE_INVALID', 'nothing of this study waits');
  const { instances, attachments, routed } = nextContent(study);
  const destinations = routePeers(parts.routes, routed).map((destination) => ({
    ...destination,
    extensions: withStudyExtensions(destination.extensions, study.extensions),
  }));
  if (destinations.length === 0) throw new GatewayError('ROUTE_MISSING', 'no route fits this study');
  const freeze: Freeze = {
    number: study.freezes.length + 1,
    frozenAtMs: parts.clock.now(),
    reason,
    sopInstanceUids: instances.map((instance) => instance.sopInstanceUid),
    ...(attachments.length === 0 ? {} : { attachments }),
    deliveries: planDeliveries(parts, destinations, firstEnvelopes(study)),
  };
  await parts.studies.freeze(study.key, freeze);
  parts.log.info({
    event: 'study.completed',
    study: study.key,
    reason,
    instances: instances.length,
    attachments: attachments.length,
    deliveries: freeze.deliveries.map((delivery) => delivery.id),
  });
  await openDeliveries(parts, study, freeze);
  return freeze.deliveries.map((delivery) => delivery.id);
}

/**
 * What the next freeze takes, and the instances by which it is routed. What is attached to a study that has gone goes to
 * all that get the study, so it travels apart from new instances, in a freeze behind theirs. The smallest instance goes
 * along once more: every reader knows by it whose study this adds to, and its receipt says that the rest has come too.
 */
function nextContent(study: Study): {
  readonly instances: readonly ReceivedInstance[];
  readonly attachments: readonly string[];
  readonly routed: Iterable<ReceivedInstance>;
} {
  const instances = instancesOf(study, [...study.gathering.instances]);
  const attachments = [...study.gathering.attachments];
  if (study.freezes.length === 0) return { instances, attachments, routed: instances };
  if (instances.length > 0) return { instances, attachments: [], routed: instances };
  const all = [...study.instances.values()];
  const smallest = all.reduce((least, each) => (each.dataSetBytes < least.dataSetBytes ? each : least));
  return { instances: [smallest], attachments, routed: all };
}

/** Writes the delivery records of a freeze that are not there yet, and puts them to work. Safe to repeat. */
export async function openDeliveries(parts: CompletionParts, study: Study, freeze: Freeze): Promise<void> {
  const content = {
    instances: instancesOf(study, freeze.sopInstanceUids),
    attachments: attachmentsOf(study, freeze.attachments ?? []),
  };
  for (const planned of freeze.deliveries) {
    if ((await parts.deliveries.read(planned.id)) !== undefined) continue;
    const delivery = newDelivery(study, freeze, planned, content);
    if (delivery.shared !== undefined)
      await writeOwners(parts.layout, delivery.shared.id, delivery.shared.members);
    await openDelivery(parts, delivery, content);
  }
}

/** Commits one delivery: what it carries first, then its record. */
export async function openDelivery(
  parts: OutboundParts,
  delivery: Delivery,
  { instances, attachments }: FrozenContent,
): Promise<void> {
  const write = (name: string, value: unknown) =>
    parts.deliveries.writeDocument(delivery.id, name, `${JSON.stringify(value)}\n`);
  await write(INSTANCES_DOCUMENT, instances);
  if (attachments.length > 0) await write(ATTACHMENTS_DOCUMENT, attachments);
  if (!(await parts.deliveries.create(delivery))) return;
  parts.log.info({ event: 'delivery.opened', delivery: delivery.id, peer: delivery.peerId });
  await parts.enqueue('pack', delivery.id);
}

/** The instances of a delivery. @throws FAULT when their list is missing */
export async function readFrozenList(parts: OutboundParts, id: EnvelopeId): Promise<readonly Instance[]> {
  const bytes = await parts.deliveries.readDocument(id, INSTANCES_DOCUMENT);
  if (bytes === undefined) throw new GatewayError('FAULT', 'the frozen list of this delivery is missing');
  return JSON.parse(bytes.toString('utf8')) as readonly Instance[];
}

/** All that a delivery carries. @throws FAULT when the list of its instances is missing */
export async function readFrozenContent(parts: OutboundParts, id: EnvelopeId): Promise<FrozenContent> {
  const attachments = await parts.deliveries.readDocument(id, ATTACHMENTS_DOCUMENT);
  return {
    instances: await readFrozenList(parts, id),
    attachments:
      attachments === undefined ? [] : (JSON.parse(attachments.toString('utf8')) as readonly Attachment[]),
  };
}

function instancesOf(study: Study, uids: readonly Uid[]) {
  return uids.map((uid) => {
    const instance = study.instances.get(uid);
    if (instance === undefined) throw new GatewayError('FAULT', 'a frozen instance is not in the spool');
    return instance;
  });
}

function attachmentsOf(study: Study, names: readonly string[]) {
  return names.map((name) => {
    const attachment = study.attachments.get(name);
    if (attachment === undefined) throw new GatewayError('FAULT', 'a frozen attachment is not in the spool');
    return attachment;
  });
}

function newDelivery(
  study: Study,
  freeze: Freeze,
  planned: PlannedDelivery,
  { instances, attachments }: FrozenContent,
): Delivery {
  const shared = sharedEnvelopeOf(planned, freeze.deliveries);
  return {
    id: planned.id,
    revision: 1,
    peerId: planned.peerId,
    studyKey: study.key,
    studyInstanceUid: study.studyInstanceUid,
    freezeNumber: freeze.number,
    ...(shared === undefined ? {} : { shared }),
    ...(planned.addendumTo === undefined ? {} : { addendumTo: planned.addendumTo }),
    priority: planned.priority ?? 'routine',
    ...(planned.classification === undefined ? {} : { classification: planned.classification }),
    ...(planned.extensions === undefined ? {} : { extensions: planned.extensions }),
    modalities: [...new Set(instances.map((instance) => instance.modality))]
      .filter((each) => each !== '')
      .sort(),
    instanceCount: instances.length,
    ...(attachments.length === 0 ? {} : { attachmentCount: attachments.length }),
    dataSetBytes: instances.reduce((sum, instance) => sum + instance.dataSetBytes, 0),
    createdAtMs: freeze.frozenAtMs,
    carriage: 'accepted',
    receipt: 'awaited',
    steps: [],
  };
}
