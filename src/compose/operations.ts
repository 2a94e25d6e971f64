/** What the dashboard and scripts see and do, over the records in memory and the use cases. */
import { parseExtensions } from '../config/extensions.js';
import { type Delivery, deliveryState, envelopeIdOf } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Exchange } from '../domain/exchange.js';
import type { Peer } from '../domain/peer.js';
import { type Reception, receptionState } from '../domain/reception.js';
import type { Study } from '../domain/study.js';
import { CODES, type ErrorCode, isErrorCode } from '../errors/codes.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { AssociationView, RefusalView } from '../http/association-ports.js';
import type {
  DeliveryView,
  ExchangeView,
  Operations,
  Overview,
  ReceptionView,
  StudyView,
} from '../http/ports.js';
import { dismissReception } from '../inbound/dismiss.js';
import type { InboundParts } from '../inbound/parts.js';
import { retryReception } from '../inbound/retry.js';
import { attach, describe } from '../outbound/attach.js';
import { type CompletionParts, completeStudy } from '../outbound/complete-study.js';
import { type CompletionRules, judgeCompletion } from '../outbound/completion.js';
import type { Feeding } from '../outbound/feeding.js';
import { retryDelivery } from '../outbound/retry.js';
import { exchangeAdvice } from './exchange-board.js';
import type { RecordIndex } from './record-index.js';

export interface OperationsParts {
  readonly outbound: CompletionParts;
  readonly inbound: InboundParts;
  readonly deliveries: RecordIndex<Delivery>;
  readonly receptions: RecordIndex<Reception>;
  readonly rules: CompletionRules;
  readonly feeding: Feeding;
  readonly held: () => ReadonlySet<string>;
  readonly associations: () => readonly AssociationView[];
  readonly refusals: () => readonly RefusalView[];
  readonly status: () => Promise<
    Omit<Overview, 'counts' | 'exchanges' | 'overdue' | 'custodyBroken' | 'nowMs' | 'site'>
  >;
  readonly exchanges: () => Promise<readonly ExchangeView[]>;
  readonly peers: Operations['peers'];
  readonly exchangeTypeOf: (name: string) => Exchange['type'] | undefined;
  readonly admission: Operations['admission'];
  readonly maxAttachmentBytes: number;
  readonly subscribe: Operations['subscribe'];
  /** Tells those who watch. */
  readonly notify: () => void;
}

export function createOperations(parts: OperationsParts): Operations {
  const { outbound, inbound } = parts;
  const viewDelivery = (record: Delivery): DeliveryView => ({
    ...record,
    state: deliveryState(record),
    peerName: outbound.peers.get(record.peerId)?.name ?? record.peerId,
    ...viaOf(outbound.peers.get(record.peerId)),
    advice:
      record.parked === undefined && record.refusal !== undefined
        ? refusalAdvice(outbound.peers.get(record.peerId))
        : isOverdue(record, outbound.clock.now())
          ? overdueAdvice(outbound.peers.get(record.peerId))
          : deliveryAdvice(parts, record),
  });
  // Receipts come in envelopes too; nobody has to look at those that are well.
  const receptions = () =>
    parts.receptions
      .all()
      .filter((record) => record.receiptFor === undefined || record.quarantined !== undefined);
  const viewReception = (record: Reception): ReceptionView => {
    const state = receptionState(record);
    const code =
      record.quarantined?.code ??
      record.parked?.code ??
      Object.values(record.pacs).find((pacs) => pacs.lastError !== undefined)?.lastError?.code ??
      record.lastError?.code;
    return { ...record, state, advice: state === 'dismissed' ? '' : adviceFor(code) };
  };

  return {
    async overview() {
      return {
        ...(await parts.status()),
        exchanges: await parts.exchanges(),
        overdue: parts.deliveries
          .all()
          .filter((record) => isOverdue(record, outbound.clock.now()))
          .slice(-MAX_OVERDUE)
          .reverse()
          .map(viewDelivery),
        custodyBroken: parts.deliveries
          .all()
          .filter((record) => isCustodyNews(record, outbound.clock.now()))
          .slice(0, MAX_OVERDUE)
          .map(viewDelivery),
        site: { id: outbound.site.id, name: outbound.site.name },
        nowMs: outbound.clock.now(),
        counts: {
          deliveries: countBy(parts.deliveries.all().filter(isCounted), deliveryState, DELIVERY_STATES),
          receptions: countBy(receptions().filter(isCounted), receptionState, RECEPTION_STATES),
          conflicts: [...outbound.studies.conflictCounts().values()].reduce((sum, count) => sum + count, 0),
        },
      };
    },
    studies: () => outbound.studies.gathering().map((study) => viewStudy(parts, study)),
    associations: parts.associations,
    peers: parts.peers,
    refusals: parts.refusals,
    deliveries: ({ state, limit }) =>
      parts.deliveries
        .all()
        .filter((record) => state === undefined || deliveryState(record) === state)
        .slice(0, limit)
        .map(viewDelivery),
    delivery: (id) =>
      viewDelivery(
        found(
          parts.deliveries.get(id) ?? parts.deliveries.all().find((record) => envelopeIdOf(record) === id),
        ),
      ),
    receptions: ({ state, limit }) =>
      receptions()
        .filter((record) => state === undefined || receptionState(record) === state)
        .slice(0, limit)
        .map(viewReception),
    reception: (id) => viewReception(found(parts.receptions.get(id))),
    async completeStudy(key) {
      const study = await outbound.studies.find(key);
      if (study === undefined) throw new GatewayError('STUDY_NOT_FOUND', 'there is no such study');
      return { deliveries: await completeStudy(outbound, study, 'requested') };
    },
    admission: parts.admission,
    async attach(key, attachment) {
      const created = await attach(outbound, key, { ...attachment, maxBytes: parts.maxAttachmentBytes });
      parts.notify();
      return { created };
    },
    async describeStudy(key, extensions) {
      await describe(outbound, key, parseExtensions(extensions));
      parts.notify();
    },
    retryDelivery: async (id: EnvelopeId) => ({ id: await retryDelivery(outbound, id) }),
    async retryReception(id) {
      await retryReception(inbound, id);
      return { id };
    },
    async dismissReception(id, by) {
      await dismissReception(inbound, id, by);
      return { id };
    },
    subscribe: parts.subscribe,
  };
}

/** A PACS is restarted within a day, and people come to work. */
const OVERDUE_MS = 24 * 3_600_000;
const MAX_OVERDUE = 20;
/** An altered trail is shown this long. */
const CUSTODY_SHOWN_MS = 14 * 24 * 3_600_000;

const DELIVERY_STATES = [
  'accepted',
  'sent',
  'acknowledged',
  'handed-over',
  'verified',
  'refused',
  'parked',
] as const;
const RECEPTION_STATES = [
  'received',
  'opened',
  'verified',
  'delivered',
  'confirmed',
  'quarantined',
  'refused',
  'dismissed',
  'parked',
] as const;

/** The tests that follow a pairing are no studies, and count only where somebody has to look at them. */
function isCounted(record: Delivery | Reception): boolean {
  if (record.purpose === undefined) return true;
  const state = 'carriage' in record ? deliveryState(record) : receptionState(record);
  return state === 'parked' || state === 'refused' || state === 'quarantined';
}

function countBy<R, S extends string>(
  records: readonly R[],
  stateOf: (record: R) => S,
  states: readonly S[],
) {
  const counts = Object.fromEntries(states.map((state) => [state, 0])) as Record<S, number>;
  for (const record of records) counts[stateOf(record)] += 1;
  return counts;
}

function viewStudy(parts: OperationsParts, study: Study): StudyView {
  const { gathering, key } = study;
  const fed = parts.feeding.isFed(key);
  const held = parts.held().has(key);
  return {
    key,
    state: held ? 'held' : fed ? 'arriving' : 'waiting',
    why: held ? `no route fits. ${CODES.ROUTE_MISSING.advice}` : whyWaiting(parts, study, fed),
    modalities: [...gathering.modalities].sort(),
    callingAes: [...gathering.callingAes].sort(),
    instanceCount: gathering.instances.size,
    attachmentCount: gathering.attachments.size,
    dataSetBytes: gathering.dataSetBytes,
    firstInstanceAtMs: gathering.firstAtMs,
    lastInstanceAtMs: gathering.lastAtMs,
    conflictCount: parts.outbound.studies.conflictCounts().get(key) ?? 0,
  };
}

function whyWaiting(parts: OperationsParts, study: Study, fed: boolean): string {
  const judged = judgeCompletion(study.gathering, fed, parts.rules, parts.outbound.clock.now());
  if (judged.complete) return 'complete, about to be packed';
  if (judged.waitsFor === 'association') return 'an association is open that may send more';
  return `quiet for ${Math.floor(judged.quietMs / 1000)} of ${Math.round(judged.dueMs / 1000)} s`;
}

/** Taken by the far side, and no word since: their PACS may be down, or the envelope was lost where it lay. */
function isOverdue(record: Delivery, nowMs: number): boolean {
  if (deliveryState(record) !== 'acknowledged') return false;
  const sinceMs = record.steps.findLast(({ event }) => event === 'acknowledged')?.atMs;
  return sinceMs !== undefined && nowMs - sinceMs > OVERDUE_MS;
}

/** Shown for as long as somebody may still look into it at the other site. */
function isCustodyNews({ custody, steps, createdAtMs }: Delivery, nowMs: number): boolean {
  return custody === 'broken' && nowMs - (steps.at(-1)?.atMs ?? createdAtMs) < CUSTODY_SHOWN_MS;
}

function overdueAdvice(peer: Peer | undefined): string {
  const whom = peer === undefined ? 'the receiving site' : `${peer.name} (${peer.contact})`;
  return `ask ${whom} whether it arrived; retry sends it again if it is not there any more, which is harmless`;
}

function deliveryAdvice({ outbound, exchangeTypeOf }: OperationsParts, record: Delivery): string {
  if (record.custody === 'broken') return adviceFor('CUSTODY_BROKEN');
  const error = record.parked ?? record.lastError;
  const via = outbound.peers.get(record.peerId)?.via;
  const type = via === undefined ? undefined : exchangeTypeOf(via);
  // At the other stages nothing has been said to the place between.
  const isFromThere = error?.stage === 'ship' || error?.stage === 'receipt';
  if (error === undefined || type === undefined || !isFromThere) return adviceFor(error?.code);
  return exchangeAdvice(type, error.code);
}

function viaOf(peer: Peer | undefined): { via?: string } {
  return peer?.via === undefined ? {} : { via: peer.via };
}

/** What the receiving site can mend, it must mend: the advice of the code is written for them. */
function refusalAdvice(peer: Peer | undefined): string {
  const whom = peer === undefined ? 'the receiving site' : `${peer.name} (${peer.contact})`;
  return `tell ${whom} what stands here; when they have mended it, retry: the study goes out again under a new id`;
}

function adviceFor(code: ErrorCode | string | undefined): string {
  return code !== undefined && isErrorCode(code) ? CODES[code].advice : '';
}

function found<R>(record: R | undefined): R {
  if (record === undefined) throw new GatewayError('ENVELOPE_NOT_FOUND', 'there is nothing with this id');
  return record;
}
