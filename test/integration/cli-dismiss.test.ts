/** `drawbridge dismiss`: a refusal that was dealt with needs no attention, and is told no more by `status`. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { receptionState } from '../../src/domain/reception.js';
import { drawbridge, drawbridgeJson } from '../support/cli.js';
import { type CommandApi, startCommandApi } from '../support/command-api.js';
import { createFakeOperations, type FakeOperations, fakeReception } from '../support/fake-operations.js';

const REFUSED = { main: { state: 'refused', storedCount: 1, refusedCount: 1 } } as const;

let operations: FakeOperations;
let api: CommandApi;

beforeEach(async () => {
  operations = createFakeOperations();
  api = await startCommandApi(operations);
});
afterEach(async () => {
  await api.stop();
});

it('what a PACS refused is dismissed, and status tells it as that', async () => {
  const late = fakeReception({ progress: 'confirmed', instanceCount: 2, pacs: REFUSED });
  operations.records.receptions = [late];
  expect((await drawbridge('status', ...api.config)).stdout).toContain(`${late.id}  refused: PACS main`);
  expect(await drawbridgeJson('dismiss', late.id, ...api.config)).toEqual({ exit: 0, ok: true, id: late.id });
  expect(operations.records.receptions.map(receptionState)).toEqual(['dismissed']);
  const { stdout } = await drawbridge('status', ...api.config);
  expect(stdout).toContain('receptions  1 dismissed');
  expect(stdout).not.toContain(late.id);
});

it('an id that nothing has is told', async () => {
  const { code, stderr } = await drawbridge('dismiss', fakeReception().id, ...api.config);
  expect([code, stderr]).toEqual([1, expect.stringContaining('ENVELOPE_NOT_FOUND')]);
});
