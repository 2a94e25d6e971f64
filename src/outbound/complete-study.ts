/**
 * A study is complete: fix the list of its instances and the deliveries that carry it (the freeze, which is the
 * commit point), then write one delivery record per peer and put each to work. What a crash leaves undone after the
 * freeze, `openDeliveries` makes up for: it derives everything from the freeze.
 */
import { randomUUID } from 'node:crypto';
import type { Delivery } from '../domain/delivery.js';
import { type EnvelopeId, parseEnvelopeId } from '../domain/envelope-id.js';
import type { Instance } from '../domain/instance.js';
import { type Destination, type Route, routePeers } from '../domain/route.js';
import {
  type CompletionReason,
  type Freeze,
  firstEnvelopes,
  type PlannedDelivery,
  type Study,
} from '../domain/study.js';
import type { Uid } from '../domain/uid.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { StudyStore } from '../spool/study-store.js';
import type { OutboundParts } from './parts.js';

export interface CompletionParts extends OutboundParts {
  readonly studies: StudyStore;
  readonly routes: readonly Route[];
}

/** The document beside a delivery record that holds its frozen list. */
export const INSTANCES_DOCUMENT = 'instances.json';

/**
 * Freezes what has gathered, and starts its deliveries.
 * @throws ROUTE_MISSING when no route fits (the study stays as it is), STATE_INVALID when nothing has gathered
 */
export async function completeStudy(
  parts: CompletionParts,
  study: Study,
  reason: CompletionReason,
): Promise<readonly EnvelopeId[]> {
  const instances = gathered(study);
  if (instances.length === 0) throw new GatewayError('STATE_INVALID', 'no instance of this study waits');
  const destinations = routePeers(parts.routes, instances);
  if (destinations.length === 0) throw new GatewayError('ROUTE_MISSING', 'no route fits this study');
  const first = firstEnvelopes(study);
  const freeze: Freeze = {
    number: study.freezes.length + 1,
    frozenAtMs: parts.clock.now(),
    reason,
    sopInstanceUids: instances.map((instance) => instance.sopInstanceUid),
    deliveries: destinations.map((destination) => plan(destination, first.get(destination.peerId))),
  };
  await parts.studies.freeze(study.key, freeze);
  parts.log.info({
    event: 'study.completed',
    study: study.key,
    reason,
    instances: instances.length,
    deliveries: freeze.deliveries.map((delivery) => delivery.id),
  });
  await openDeliveries(parts, study, freeze);
  return freeze.deliveries.map((delivery) => delivery.id);
}

/** Writes the delivery records of a freeze that are not there yet, and puts them to work. Safe to repeat. */
export async function openDeliveries(parts: CompletionParts, study: Study, freeze: Freeze): Promise<void> {
  const instances = instancesOf(study, freeze.sopInstanceUids);
  for (const planned of freeze.deliveries) {
    if ((await parts.deliveries.read(planned.id)) !== undefined) continue;
    await openDelivery(parts, newDelivery(study, freeze, planned, instances), instances);
  }
}

/** Commits one delivery: its frozen list first, then its record. */
export async function openDelivery(
  parts: OutboundParts,
  delivery: Delivery,
  instances: readonly Instance[],
): Promise<void> {
  await parts.deliveries.writeDocument(delivery.id, INSTANCES_DOCUMENT, `${JSON.stringify(instances)}\n`);
  if (!(await parts.deliveries.create(delivery))) return;
  parts.log.info({ event: 'delivery.opened', delivery: delivery.id, peer: delivery.peerId });
  await parts.enqueue('pack', delivery.id);
}

/** The frozen list of a delivery. @throws FAULT when it is missing */
export async function readFrozenList(parts: OutboundParts, id: EnvelopeId): Promise<readonly Instance[]> {
  const bytes = await parts.deliveries.readDocument(id, INSTANCES_DOCUMENT);
  if (bytes === undefined) throw new GatewayError('FAULT', 'the frozen list of this delivery is missing');
  return JSON.parse(bytes.toString('utf8')) as readonly Instance[];
}

function gathered(study: Study) {
  return instancesOf(study, [...study.gathering.instances]);
}

function instancesOf(study: Study, uids: readonly Uid[]) {
  return uids.map((uid) => {
    const instance = study.instances.get(uid);
    if (instance === undefined) throw new GatewayError('FAULT', 'a frozen instance is not in the spool');
    return instance;
  });
}

function plan(destination: Destination, addendumTo: EnvelopeId | undefined): PlannedDelivery {
  const id = parseEnvelopeId(randomUUID());
  return { id, ...destination, ...(addendumTo === undefined ? {} : { addendumTo }) };
}

function newDelivery(
  study: Study,
  freeze: Freeze,
  planned: PlannedDelivery,
  instances: readonly Instance[],
): Delivery {
  return {
    id: planned.id,
    revision: 1,
    peerId: planned.peerId,
    studyKey: study.key,
    studyInstanceUid: study.studyInstanceUid,
    freezeNumber: freeze.number,
    ...(planned.addendumTo === undefined ? {} : { addendumTo: planned.addendumTo }),
    priority: planned.priority ?? 'routine',
    modalities: [...new Set(instances.map((instance) => instance.modality))]
      .filter((each) => each !== '')
      .sort(),
    instanceCount: instances.length,
    dataSetBytes: instances.reduce((sum, instance) => sum + instance.dataSetBytes, 0),
    createdAtMs: freeze.frozenAtMs,
    carriage: 'accepted',
    receipt: 'awaited',
    steps: [],
  };
}
