import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createExchangeBoard, viewExchange } from '../../../src/compose/exchange-board.js';
import { parseEnvelopeId } from '../../../src/domain/envelope-id.js';
import type { FolderExchange } from '../../../src/domain/exchange.js';
import { GatewayError } from '../../../src/errors/gateway-error.js';
import { createSpool } from '../../../src/spool/envelope-store.js';
import { createLayout, type Layout } from '../../../src/spool/layout.js';

const FIRST = parseEnvelopeId('0f8b7c1e-5d0a-4c1b-9e55-6f0e6c7a9b01');
const SECOND = parseEnvelopeId('0f8b7c1e-5d0a-4c1b-9e55-6f0e6c7a9b02');
const USB: FolderExchange = {
  type: 'folder',
  name: 'usb',
  pollMs: 1_000,
  afterTaking: 'delete',
  settleMs: 0,
};
const unreachable = () => new GatewayError('PEER_UNREACHABLE', 'the folder cannot be reached: ENOENT');
const tooLarge = () => new GatewayError('ENVELOPE_TOO_LARGE', 'the envelope is too large');

let folder: string;
let layout: Layout;
let nowMs: number;
const board = () => createExchangeBoard(layout, () => nowMs);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-board-'));
  layout = createLayout(folder);
  await createSpool(layout);
  nowMs = 1_000;
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it('an exchange that nobody has looked into says no more than its name', async () => {
  expect(await viewExchange(layout, USB)).toEqual({
    name: 'usb',
    type: 'folder',
    waitingCount: 0,
    waitingBytes: 0,
    troubles: [],
  });
});

it('looks that fail are told with their first time, and what to do about such a place', async () => {
  const workers = board();
  await workers.failed('usb', unreachable());
  nowMs = 5_000;
  await workers.failed('usb', unreachable());
  expect(await viewExchange(layout, USB)).toMatchObject({
    lookedAtMs: 5_000,
    error: {
      code: 'PEER_UNREACHABLE',
      message: 'the folder cannot be reached: ENOENT',
      sinceMs: 1_000,
      advice: expect.stringContaining('mounted'),
    },
  });
  await workers.looked('usb', [{ id: FIRST, sizeBytes: 7 }]);
  const view = await viewExchange(layout, USB);
  expect(view).toMatchObject({ waitingCount: 1, waitingBytes: 7 });
  expect(view.error).toBeUndefined();
});

it('an envelope that was refused for good is told for two days, also when it is put aside there', async () => {
  const workers = board();
  await workers.looked(
    'usb',
    [FIRST, SECOND].map((id) => ({ id, sizeBytes: 1 })),
  );
  await workers.trouble('usb', FIRST, tooLarge());
  expect((await viewExchange(layout, USB)).troubles).toEqual([
    {
      id: FIRST,
      code: 'ENVELOPE_TOO_LARGE',
      message: 'the envelope is too large',
      atMs: 1_000,
      advice: 'raise https.maxEnvelopeBytes if it is legitimate',
    },
  ]);
  await workers.looked('usb', [{ id: SECOND, sizeBytes: 1 }]);
  expect((await viewExchange(layout, USB)).troubles).toHaveLength(1);
  nowMs += 2 * 24 * 3_600_000 - 1;
  await workers.looked('usb', [{ id: SECOND, sizeBytes: 1 }]);
  expect((await viewExchange(layout, USB)).troubles).toHaveLength(1);
  nowMs += 1;
  await workers.looked('usb', [{ id: SECOND, sizeBytes: 1 }]);
  expect((await viewExchange(layout, USB)).troubles).toEqual([]);
});

it('one that could not be fetched for now is told until it is there no more', async () => {
  const workers = board();
  await workers.looked('usb', [{ id: FIRST, sizeBytes: 1 }]);
  await workers.trouble('usb', FIRST, new GatewayError('PEER_UNREACHABLE', 'the line broke'));
  expect((await viewExchange(layout, USB)).troubles).toHaveLength(1);
  await workers.looked('usb', []);
  expect((await viewExchange(layout, USB)).troubles).toEqual([]);
});

it('what one process notes is not lost when another looks, nor when both notes come at once', async () => {
  const [one, other] = [board(), board()];
  const waiting = [FIRST, SECOND].map((id) => ({ id, sizeBytes: 1 }));
  await one.looked('usb', waiting);
  await other.trouble('usb', FIRST, tooLarge());
  await one.looked('usb', waiting);
  await Promise.all([one.trouble('usb', SECOND, tooLarge()), one.looked('usb', waiting)]);
  expect((await viewExchange(layout, USB)).troubles.map(({ id }) => id)).toEqual([SECOND, FIRST]);
});
