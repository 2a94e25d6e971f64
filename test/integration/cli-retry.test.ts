/** `drawbridge retry --peer`: what was parked for one peer goes on, and nothing else does. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { main } from '../../src/cli/main.js';
import { type Delivery, deliveryState } from '../../src/domain/delivery.js';
import { drawbridge } from '../support/cli.js';
import { type CommandApi, startCommandApi } from '../support/command-api.js';
import {
  createFakeOperations,
  type FakeOperations,
  fakeDelivery,
  fakeReception,
} from '../support/fake-operations.js';

const PARKING = { code: 'PEER_UNTRUSTED', message: 'not the pinned one', stage: 'ship', atMs: 1 } as const;

let operations: FakeOperations;
let api: CommandApi;

beforeEach(async () => {
  operations = createFakeOperations({ 'site-b': 'St. Mary Hospital', 'site-c': 'Southern Clinic' });
  api = await startCommandApi(operations);
});
afterEach(async () => {
  process.exitCode = undefined;
  await api.stop();
});

const parked = (peerId: string) => fakeDelivery({ peerId, carriage: 'sealed', parked: PARKING });
const retry = (...more: string[]) => main(['retry', ...more, ...api.config]);
const states = (records: readonly Delivery[]) => records.map(deliveryState);

it('neither an id nor a peer, or both, is told and changes nothing', async () => {
  operations.records.deliveries = [parked('site-b')];
  expect(await retry()).toBe(1);
  expect(await retry(operations.records.deliveries[0]?.id ?? '', '--peer', 'site-b')).toBe(1);
  expect(states(operations.records.deliveries)).toEqual(['parked']);
});

it('the parked deliveries to one peer go on, those to another stay', async () => {
  operations.records.deliveries = [parked('site-b'), parked('site-c'), parked('site-b')];
  expect(await retry('--peer', 'site-b')).toBe(0);
  expect(states(operations.records.deliveries)).toEqual(['accepted', 'parked', 'accepted']);
});

const refused = (code: string, more: Partial<Delivery> = {}) =>
  fakeDelivery({ carriage: 'acknowledged', receipt: 'refused', refusal: { code, message: 'no' }, ...more });

it('what was refused because of a key goes out again too, once, and what was refused for another reason does not', async () => {
  operations.records.deliveries = [
    parked('site-b'),
    refused('KEY_REVOKED'),
    refused('SIGNER_NOT_PINNED', { peerId: 'site-c' }),
    refused('PAYLOAD_INCONSISTENT'),
    refused('SIGNER_NOT_PINNED'),
    refused('PAYLOAD_DECRYPT_FAILED', { replacedBy: fakeDelivery().id }),
  ];
  const config = [...api.config];
  expect(await drawbridge('retry', '--peer', 'site-b', ...config)).toMatchObject({
    code: 0,
    stdout:
      '1 delivery that was parked; 2 deliveries that were refused because of a key, under new ids: on the way again\n',
  });
  expect(states(operations.records.deliveries)).toEqual([
    'accepted',
    ...['refused', 'refused', 'refused', 'refused', 'refused'],
    ...['accepted', 'accepted'],
  ]);
  expect((await drawbridge('retry', '--peer', 'site-b', ...config)).stdout).toContain('nothing is parked');
});

it('the status of what is in quarantine says why it is there, whatever befell its refusal', async () => {
  const quarantined = {
    ...PARKING,
    code: 'SIGNER_NOT_PINNED',
    message: 'by a stranger',
    stage: 'open',
  } as const;
  operations.records.receptions = [
    fakeReception({ quarantined, parked: PARKING }),
    fakeReception({ purpose: 'pairing-test', progress: 'confirmed' }),
  ];
  const { stdout } = await drawbridge('status', ...api.config);
  expect(stdout).toContain('quarantined: by a stranger');
  expect(stdout).not.toContain('not the pinned one');
  expect(stdout).toMatch(/^receptions .*; and 1 pairing test$/m);
});

it('a peer for which nothing is parked is no error', async () => {
  expect(await retry('--peer', 'site-b', '--json')).toBe(0);
});
