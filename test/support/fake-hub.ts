/**
 * A hub without disk and sockets: its parcels are records that tests put in by hand, moved by the domain's own
 * functions, and seen through the very operations that a real hub has.
 */
import { randomUUID } from 'node:crypto';
import { createHubOperations } from '../../src/compose/hub-operations.js';
import { type Settings, settingsSchema } from '../../src/config/settings.js';
import { type EnvelopeId, parseEnvelopeId } from '../../src/domain/envelope-id.js';
import { advanceParcel, type Box, type Parcel } from '../../src/domain/parcel.js';
import { GatewayError } from '../../src/errors/gateway-error.js';
import type { HubOperations } from '../../src/http/ports.js';
import type { Space } from '../../src/spool/space.js';

export interface FakeHub {
  readonly operations: HubOperations;
  /** Newest first. */
  parcels: Parcel[];
  space: Space;
  /** Tells those who watch. */
  changed(): void;
  watchers(): number;
}

const HOUR_MS = 3_600_000;

/** A parcel from site-a that waits for site-b; `boxes` and `overrides` say what is different. */
export function fakeParcel(overrides: Partial<Parcel> = {}): Parcel {
  const receivedAtMs = overrides.receivedAtMs ?? Date.now() - HOUR_MS;
  return {
    id: parseEnvelopeId(randomUUID()),
    revision: 1,
    senderId: 'site-a',
    manifestSha256: 'ab'.repeat(32),
    archiveBytes: 12_700_000,
    receivedAtMs,
    boxes: { 'site-b': fakeBox('waiting', receivedAtMs) },
    ...overrides,
  };
}

export function fakeBox(state: Box['state'], atMs: number, more: Partial<Box> = {}): Box {
  return { state, atMs, ...more };
}

export function createFakeHub(more: object = {}): FakeHub {
  const settings: Settings = settingsSchema.parse({
    role: 'hub',
    site: { id: 'hub', name: 'Hub of the North', contact: 'hub@example.org' },
    dataDir: '/nowhere',
    peers: [
      { id: 'site-a', name: 'St. Mary Hospital', quotaBytes: 100e9 },
      { id: 'site-b', name: 'Town Clinic', quotaBytes: 50e9 },
    ].map((peer) => ({ ...peer, certificateFingerprints: ['ab'.repeat(32)] })),
    ...more,
  });
  const listeners = new Set<() => void>();
  const replace = (id: EnvelopeId, next: (parcel: Parcel) => Parcel) => {
    const found = hub.parcels.find((parcel) => parcel.id === id);
    if (found === undefined) throw new GatewayError('ENVELOPE_NOT_FOUND', 'there is no such parcel');
    if (found.removed !== undefined)
      throw new GatewayError('STATE_INVALID', 'the envelope is not held any more');
    const parcel = next(found);
    hub.parcels = hub.parcels.map((other) => (other.id === id ? parcel : other));
    hub.changed();
  };
  const hub: FakeHub = {
    parcels: [],
    space: { freeBytes: 412e9, totalBytes: 1e12, state: 'ok' },
    changed() {
      for (const listener of listeners) listener();
    },
    watchers: () => listeners.size,
    operations: createHubOperations({
      hub: {
        ports: { https: 8443 },
        parcels: () => hub.parcels,
        retry: async (id) => replace(id, (parcel) => advanceParcel(parcel, { type: 'retried' }, Date.now())),
        discard: async (id) =>
          replace(id, (parcel) => advanceParcel(parcel, { type: 'removed', why: 'discarded' }, Date.now())),
        space: () => hub.space,
        subscribe(listener) {
          listeners.add(listener);
          return () => listeners.delete(listener);
        },
      },
      settings,
      startedAtMs: Date.now() - HOUR_MS,
      now: Date.now,
    }),
  };
  return hub;
}
