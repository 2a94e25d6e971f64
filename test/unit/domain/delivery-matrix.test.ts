/** The whole state matrix of a delivery: which event is legal in which state, both lists written out. */
import { describe, expect, it } from 'vitest';
import {
  advanceDelivery,
  type Delivery,
  type DeliveryEvent,
  deliveryState,
  envelopeIdOf,
  envelopesOf,
  nextDeliveryStage,
} from '../../../src/domain/delivery.js';
import { parseEnvelopeId } from '../../../src/domain/envelope-id.js';
import { parseUid } from '../../../src/domain/uid.js';

const START: Delivery = {
  id: parseEnvelopeId('3f0c2b0e-8a53-4d0e-9f4e-0d3c5d9a7b11'),
  revision: 1,
  peerId: 'b',
  studyKey: '0'.repeat(32),
  studyInstanceUid: parseUid('1.2.3', 'StudyInstanceUID'),
  freezeNumber: 1,
  modalities: ['CT'],
  instanceCount: 1,
  dataSetBytes: 10,
  createdAtMs: 1,
  carriage: 'accepted',
  receipt: 'awaited',
  steps: [],
};

const PARKING = { code: 'PEER_REFUSED', message: 'no', stage: 'ship', atMs: 2 } as const;
const EVENTS: Readonly<Record<DeliveryEvent['type'], DeliveryEvent>> = {
  packed: { type: 'packed' },
  sealed: { type: 'sealed', sealed: { sizeBytes: 5, manifestSha256: 'ab' } },
  withdrawn: { type: 'withdrawn', resealAs: parseEnvelopeId('00000000-0000-4000-8000-000000000001') },
  sent: { type: 'sent' },
  acknowledged: { type: 'acknowledged' },
  verified: { type: 'verified' },
  waived: { type: 'waived' },
  refused: { type: 'refused', code: 'X', message: 'x' },
  failed: { type: 'failed', error: { ...PARKING, attempt: 1 } },
  parked: { type: 'parked', parking: PARKING },
  retried: { type: 'retried' },
};

const through = (...types: DeliveryEvent['type'][]) =>
  types.reduce((record, type) => advanceDelivery(record, EVENTS[type], 3), START);

const STATES: Readonly<Record<string, Delivery>> = {
  accepted: START,
  packed: through('packed'),
  sealed: through('packed', 'sealed'),
  sent: through('packed', 'sealed', 'sent'),
  acknowledged: through('packed', 'sealed', 'sent', 'acknowledged'),
  verified: through('packed', 'sealed', 'acknowledged', 'verified'),
  refused: through('packed', 'sealed', 'acknowledged', 'refused'),
  'handed-over': through('packed', 'sealed', 'acknowledged', 'waived'),
  withdrawn: through('packed', 'sealed', 'withdrawn'),
  parked: through('packed', 'parked'),
};

const LEGAL: Readonly<Record<string, readonly DeliveryEvent['type'][]>> = {
  // Another delivery may seal for this one before it is packed itself.
  accepted: ['packed', 'sealed', 'failed', 'parked'],
  packed: ['packed', 'sealed', 'failed', 'parked'],
  sealed: ['sent', 'acknowledged', 'withdrawn', 'verified', 'refused', 'failed', 'parked'],
  sent: ['sent', 'acknowledged', 'withdrawn', 'verified', 'refused', 'failed', 'parked'],
  acknowledged: ['verified', 'waived', 'refused', 'failed', 'parked', 'retried'],
  verified: ['verified', 'failed', 'parked'],
  // None is expected; one that comes after all counts.
  'handed-over': ['verified', 'refused', 'failed', 'parked'],
  // The other site may mend the cause, and then say that it has the study after all.
  refused: ['verified', 'refused', 'failed', 'parked'],
  // What we took for lost may have arrived all the same.
  withdrawn: ['packed', 'sealed', 'verified', 'refused', 'failed', 'parked'],
  parked: ['packed', 'sealed', 'failed', 'parked', 'retried'],
};

describe.each(Object.keys(STATES))('a delivery that is %s', (name) => {
  const record = STATES[name];
  it.each(Object.keys(EVENTS) as DeliveryEvent['type'][])('and the event %s', (type) => {
    if (record === undefined) throw new Error('no such state');
    if (LEGAL[name]?.includes(type)) expect(() => advanceDelivery(record, EVENTS[type], 9)).not.toThrow();
    else
      expect(() => advanceDelivery(record, EVENTS[type], 9)).toThrow(
        expect.objectContaining({ code: 'FAULT' }),
      );
  });
});

it.each([
  ['accepted', 'accepted', 'pack'],
  ['packed', 'accepted', 'seal'],
  ['sealed', 'accepted', 'ship'],
  ['sent', 'sent', 'ship'],
  ['acknowledged', 'acknowledged', 'receipt'],
  ['verified', 'verified', undefined],
  ['handed-over', 'handed-over', undefined],
  ['refused', 'refused', undefined],
  ['withdrawn', 'accepted', 'seal'],
  ['parked', 'parked', undefined],
])('%s is shown as %s, and waits for %s', (name, state, stage) => {
  const record = STATES[name];
  if (record === undefined) throw new Error('no such state');
  expect([deliveryState(record), nextDeliveryStage(record)]).toEqual([state, stage]);
});

it('a retry where no receipt comes asks whether the envelope is still there, and sends it again if not', () => {
  for (const record of [
    through('packed', 'sealed', 'acknowledged', 'retried'),
    through('packed', 'sealed', 'acknowledged', 'parked', 'retried'),
  ]) {
    expect([record.carriage, nextDeliveryStage(record)]).toEqual(['sent', 'ship']);
  }
});

it('a retry lets a parked delivery go on where it stopped', () => {
  const parked = through('packed', 'sealed', 'sent', 'parked', 'retried');
  expect([parked.carriage, parked.parked, nextDeliveryStage(parked)]).toEqual(['sent', undefined, 'ship']);
});

it('a withdrawn envelope is sealed again under another id, and a receipt for either of the two counts', () => {
  const withdrawn = through('packed', 'sealed', 'sent', 'withdrawn');
  expect(withdrawn.sealed).toBeUndefined();
  expect(envelopeIdOf(withdrawn)).not.toBe(START.id);
  const again = advanceDelivery(
    withdrawn,
    { type: 'sealed', sealed: { sizeBytes: 5, manifestSha256: 'cd' } },
    4,
  );
  expect(envelopesOf(again)).toEqual([
    { id: START.id, manifestSha256: 'ab' },
    { id: envelopeIdOf(withdrawn), manifestSha256: 'cd' },
  ]);
});
