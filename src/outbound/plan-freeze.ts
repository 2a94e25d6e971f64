/**
 * What the next freeze of a study would be: its content, and the deliveries that would carry it. Two plans with the same
 * basis seal to the same envelope, but for the ids that each draws anew.
 */
import { createHash } from 'node:crypto';
import type { Delivery } from '../domain/delivery.js';
import { withStudyExtensions } from '../domain/extensions.js';
import type { ReceivedInstance } from '../domain/instance.js';
import { type Destination, routePeers } from '../domain/route.js';
import { type Freeze, firstEnvelopes, type PlannedDelivery, type Study } from '../domain/study.js';
import type { Uid } from '../domain/uid.js';
import { GatewayError } from '../errors/gateway-error.js';
import { jwkThumbprint } from '../jmix/jwk-thumbprint.js';
import type { FrozenContent } from './frozen-content.js';
import type { FreezeParts } from './parts.js';
import { planDeliveries, sharedEnvelopeOf } from './sharing.js';

/** A freeze that has not been decided on. */
export interface FreezePlan extends Omit<Freeze, 'frozenAtMs' | 'reason'> {
  /** A hash over all that an envelope of it says, and over the keys that it would be sealed to and signed with. */
  readonly basis: string;
}

/** @throws ROUTE_MISSING when no route fits */
export function planFreeze(parts: FreezeParts, study: Study): FreezePlan {
  const { instances, attachments, routed } = nextContent(study);
  const destinations = routePeers(parts.routes, routed).map((destination) => ({
    ...destination,
    extensions: withStudyExtensions(destination.extensions, study.extensions),
  }));
  if (destinations.length === 0) throw new GatewayError('ROUTE_MISSING', 'no route fits this study');
  const first = firstEnvelopes(study);
  const content = {
    number: study.freezes.length + 1,
    sopInstanceUids: instances.map((instance) => instance.sopInstanceUid),
    ...(attachments.length === 0 ? {} : { attachments }),
  };
  return {
    ...content,
    deliveries: planDeliveries(parts, destinations, first),
    basis: basisOf(parts, study, [content, destinations, [...first]], destinations),
  };
}

/** What a freeze carries. @throws FAULT when the spool lacks it */
export function contentOf(
  study: Study,
  { sopInstanceUids, attachments = [] }: Pick<Freeze, 'sopInstanceUids' | 'attachments'>,
): FrozenContent {
  return {
    instances: instancesOf(study, sopInstanceUids),
    attachments: attachments.map((name) => {
      const attachment = study.attachments.get(name);
      if (attachment === undefined)
        throw new GatewayError('FAULT', 'a frozen attachment is not in the spool');
      return attachment;
    }),
  };
}

/** As a freeze opens it. */
export function newDelivery(
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

function instancesOf(study: Study, uids: readonly Uid[]): ReceivedInstance[] {
  return uids.map((uid) => {
    const instance = study.instances.get(uid);
    if (instance === undefined) throw new GatewayError('FAULT', 'a frozen instance is not in the spool');
    return instance;
  });
}

function basisOf(
  { peers, keys, hubTo }: FreezeParts,
  study: Study,
  said: unknown,
  destinations: readonly Destination[],
): string {
  const receivers = destinations.map(({ peerId }) => {
    const { encryptionKey, name, contact, dialect, seal } = peers.get(peerId) ?? {};
    const key = encryptionKey === undefined ? undefined : jwkThumbprint(encryptionKey);
    return [peerId, key, name, contact, dialect, seal, hubTo(peerId)?.id];
  });
  const basis = [study.key, said, receivers, jwkThumbprint(keys.signing.publicKey), keys.announcements];
  return createHash('sha256').update(JSON.stringify(basis)).digest('hex');
}
