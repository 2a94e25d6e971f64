/**
 * What stands behind the two HTTP faces, in memory: records that tests put in by hand, and an API for peers that
 * says what it is told to say. The domain's own functions move the records, so no test shows a state that cannot be.
 */
import { randomUUID } from 'node:crypto';
import type { Readable } from 'node:stream';
import { advanceDelivery, type Delivery, deliveryState } from '../../src/domain/delivery.js';
import { type EnvelopeId, parseEnvelopeId } from '../../src/domain/envelope-id.js';
import { advanceReception, type Reception, receptionState } from '../../src/domain/reception.js';
import { parseUid } from '../../src/domain/uid.js';
import { CODES } from '../../src/errors/codes.js';
import { GatewayError } from '../../src/errors/gateway-error.js';
import type { AssociationView, RefusalView } from '../../src/http/association-ports.js';
import type {
  DeliveryView,
  Operations,
  Overview,
  PeerApi,
  PeerCertificate,
  ReceptionView,
  StudyView,
} from '../../src/http/ports.js';
import type { PeerView } from '../../src/trust/peer-view.js';

export interface FakeOperations extends Operations {
  /** Everything may be changed by tests; `changed` tells those who watch. */
  readonly records: {
    deliveries: Delivery[];
    receptions: Reception[];
    studies: StudyView[];
    associations: AssociationView[];
    refusals: RefusalView[];
    peers: PeerView[];
    overview: Partial<Overview>;
    /** The exchange that all deliveries go over. */
    via?: string;
  };
  readonly completed: string[];
  readonly attached: { key: string; name: string; kind: string; bytes: Buffer }[];
  readonly described: Map<string, unknown>;
  changed(): void;
  /** How many watch. */
  watchers(): number;
}

/** A delivery that was just accepted; `overrides` say what is different. */
export function fakeDelivery(overrides: Partial<Delivery> = {}): Delivery {
  return {
    id: parseEnvelopeId(randomUUID()),
    revision: 1,
    peerId: 'site-b',
    studyKey: '4f2a9c0d11e3',
    studyInstanceUid: parseUid('1.2.826.0.1.3680043.10.543.1', 'Study Instance UID'),
    freezeNumber: 1,
    modalities: ['CT'],
    instanceCount: 24,
    dataSetBytes: 12_650_000,
    createdAtMs: Date.now() - 120_000,
    carriage: 'accepted',
    receipt: 'awaited',
    steps: [],
    ...overrides,
  };
}

/** A reception that has just arrived. */
export function fakeReception(overrides: Partial<Reception> = {}): Reception {
  return {
    id: parseEnvelopeId(randomUUID()),
    revision: 1,
    senderId: 'site-c',
    senderName: 'site-c',
    fromPeerId: 'site-c',
    manifestSha256: 'ab'.repeat(32),
    sizeBytes: 12_700_000,
    receivedAtMs: Date.now() - 60_000,
    progress: 'received',
    pacs: {},
    steps: [],
    ...overrides,
  };
}

export function createFakeOperations(peerNames: Readonly<Record<string, string>> = {}): FakeOperations {
  const records: FakeOperations['records'] = {
    deliveries: [],
    receptions: [],
    studies: [],
    associations: [],
    refusals: [],
    peers: [],
    overview: {},
  };
  const completed: string[] = [];
  const attached: FakeOperations['attached'] = [];
  const described: FakeOperations['described'] = new Map();
  const listeners = new Set<() => void>();
  const changed = () => {
    for (const listener of listeners) listener();
  };
  const viewDelivery = (record: Delivery): DeliveryView => ({
    ...record,
    state: deliveryState(record),
    peerName: peerNames[record.peerId] ?? record.peerId,
    ...(records.via === undefined ? {} : { via: records.via }),
    advice: adviceFor(record.parked?.code ?? record.refusal?.code ?? record.lastError?.code),
  });
  const viewReception = (record: Reception): ReceptionView => ({
    ...record,
    state: receptionState(record),
    advice: adviceFor(record.quarantined?.code ?? record.parked?.code ?? record.lastError?.code),
  });

  return {
    records,
    completed,
    attached,
    described,
    changed,
    watchers: () => listeners.size,
    peers: () => records.peers,
    async overview() {
      const nowMs = Date.now();
      return {
        site: { id: 'site-a', name: 'Hospital A' },
        version: '0.0.0',
        startedAtMs: nowMs - 3_600_000,
        nowMs,
        dimse: { aeTitles: ['DRAWBRIDGE'], port: 11112 },
        redis: { kind: 'private', up: true },
        disk: { freeBytes: 412e9, totalBytes: 1e12, state: 'ok' },
        overdue: [],
        custodyBroken: [],
        workers: { up: true },
        exchanges: [],
        ...records.overview,
        counts: {
          deliveries: count(
            ['accepted', 'sent', 'acknowledged', 'handed-over', 'verified', 'refused', 'parked'] as const,
            records.deliveries.map(deliveryState),
          ),
          receptions: count(
            [
              ...(['received', 'opened', 'verified', 'delivered', 'confirmed'] as const),
              ...(['quarantined', 'refused', 'dismissed', 'parked'] as const),
            ],
            records.receptions.map(receptionState),
          ),
          conflicts: records.studies.reduce((sum, study) => sum + study.conflictCount, 0),
        },
      };
    },
    studies: () => records.studies,
    associations: () => records.associations,
    refusals: () => records.refusals,
    deliveries: ({ state, limit }) =>
      records.deliveries
        .map(viewDelivery)
        .filter((view) => state === undefined || view.state === state)
        .slice(0, limit),
    delivery: (id) => viewDelivery(found(records.deliveries, id)),
    receptions: ({ state, limit }) =>
      records.receptions
        .map(viewReception)
        .filter((view) => state === undefined || view.state === state)
        .slice(0, limit),
    reception: (id) => viewReception(found(records.receptions, id)),
    async completeStudy(key) {
      if (!records.studies.some((study) => study.key === key)) {
        throw new GatewayError('STUDY_NOT_FOUND', 'there is no such study');
      }
      completed.push(key);
      records.studies = records.studies.filter((study) => study.key !== key);
      changed();
      return { deliveries: [] };
    },
    async retryDelivery(id) {
      const record = found(records.deliveries, id);
      if (deliveryState(record) === 'refused' && record.replacedBy === undefined) {
        const next = fakeDelivery({ peerId: record.peerId, replaces: id });
        records.deliveries = [
          ...records.deliveries.map((other) => (other.id === id ? { ...other, replacedBy: next.id } : other)),
          next,
        ];
        changed();
        return { id: next.id };
      }
      if (record.parked === undefined && deliveryState(record) !== 'acknowledged') {
        throw new GatewayError('STATE_INVALID', `a delivery that is ${deliveryState(record)} needs no retry`);
      }
      const retried = advanceDelivery(record, { type: 'retried' }, Date.now());
      records.deliveries = records.deliveries.map((other) => (other.id === id ? retried : other));
      changed();
      return { id };
    },
    async retryReception(id) {
      const retried = advanceReception(found(records.receptions, id), { type: 'retried' }, Date.now());
      records.receptions = records.receptions.map((other) => (other.id === id ? retried : other));
      changed();
      return { id };
    },
    async dismissReception(id, by) {
      const dismissed = advanceReception(
        found(records.receptions, id),
        { type: 'dismissed', by },
        Date.now(),
      );
      records.receptions = records.receptions.map((other) => (other.id === id ? dismissed : other));
      changed();
      return { id };
    },
    admission: () => undefined,
    async attach(key, { name, kind, body }) {
      if (!records.studies.some((study) => study.key === key)) {
        throw new GatewayError('STUDY_NOT_FOUND', 'there is no such study');
      }
      const chunks: Buffer[] = [];
      for await (const chunk of body) chunks.push(chunk);
      attached.push({ key, name, kind, bytes: Buffer.concat(chunks) });
      changed();
      return { created: true };
    },
    async describeStudy(key, extensions) {
      described.set(key, extensions);
      changed();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

export interface FakePeerApi extends PeerApi {
  /** Fingerprint → peer. */
  readonly pinned: Map<string, string>;
  readonly certificates: PeerCertificate[];
  readonly receipts: Map<string, Buffer>;
  readonly accepted: { peerId: string; id: EnvelopeId; receipt: Buffer }[];
  /** Why nothing new is taken. */
  refusal: GatewayError | undefined;
  /** What becomes of a body; counts its bytes and says `created` unless a test says otherwise. */
  take: (body: Readable, signal: AbortSignal) => Promise<{ id: EnvelopeId; created: boolean }>;
  /** Uploads that have begun, the bytes that came, and why the last signal fired. */
  readonly seen: { uploads: number; bytes: number; mediaType?: string; peerId?: string; aborted?: unknown };
}

export const ENVELOPE_ID = parseEnvelopeId('0f8b7c1e-5d0a-4c1b-9e55-6f0e6c7a9b01');

export function createFakePeerApi(): FakePeerApi {
  const seen: FakePeerApi['seen'] = { uploads: 0, bytes: 0 };
  const api: FakePeerApi = {
    pinned: new Map(),
    certificates: [],
    receipts: new Map(),
    accepted: [],
    refusal: undefined,
    seen,
    async take(body) {
      for await (const chunk of body as AsyncIterable<Buffer>) seen.bytes += chunk.length;
      return { id: ENVELOPE_ID, created: true };
    },
    identify(certificate) {
      api.certificates.push(certificate);
      return api.pinned.get(certificate.fingerprint);
    },
    admission: () => api.refusal,
    receive({ peerId, body, mediaType, signal }) {
      Object.assign(seen, { uploads: seen.uploads + 1, mediaType, peerId });
      signal.addEventListener('abort', () => Object.assign(seen, { aborted: signal.reason }));
      return api.take(body, signal);
    },
    probe: async (_peerId, id) => (id === ENVELOPE_ID ? { manifestSha256: 'cd'.repeat(32) } : undefined),
    receiptFor: async (_peerId, id) => api.receipts.get(id),
    async acceptReceipt(peerId, id, receipt) {
      api.accepted.push({ peerId, id, receipt });
    },
    keySet: async () => JSON.stringify({ keys: [] }),
  };
  return api;
}

function count<S extends string>(states: readonly S[], found: readonly S[]): Record<S, number> {
  return Object.fromEntries(
    states.map((state) => [state, found.filter((other) => other === state).length]),
  ) as Record<S, number>;
}

function found<R extends { readonly id: EnvelopeId }>(list: readonly R[], id: EnvelopeId): R {
  const record = list.find((one) => one.id === id);
  if (record === undefined) throw new GatewayError('ENVELOPE_NOT_FOUND', 'there is nothing with this id');
  return record;
}

function adviceFor(code: keyof typeof CODES | string | undefined): string {
  return code !== undefined && Object.hasOwn(CODES, code) ? CODES[code as keyof typeof CODES].advice : '';
}
