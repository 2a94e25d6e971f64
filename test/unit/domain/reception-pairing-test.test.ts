import { expect, it } from 'vitest';
import { parseEnvelopeId } from '../../../src/domain/envelope-id.js';
import {
  advanceReception,
  type Progress,
  type Reception,
  receptionState,
} from '../../../src/domain/reception.js';
import { nextReceptionSteps } from '../../../src/domain/reception-steps.js';

const inProgress = (progress: Progress): Reception => ({
  id: parseEnvelopeId('6ba7b811-9dad-41d1-80b4-00c04fd430c8'),
  revision: 2,
  senderId: 'b',
  senderName: 'B',
  manifestSha256: 'ab',
  sizeBytes: 1,
  receivedAtMs: 1,
  progress,
  pacs: {},
  steps: [],
});

it('what was not opened, or held a study, cannot turn out to be a test', () => {
  for (const progress of ['received', 'verified', 'delivered', 'confirmed'] as const) {
    expect(() => advanceReception(inProgress(progress), { type: 'tested' }, 2)).toThrow(
      expect.objectContaining({ code: 'FAULT' }),
    );
  }
});

it('a test waits for no PACS: its sender gets the receipt, and it is done', () => {
  const tested = advanceReception(inProgress('opened'), { type: 'tested' }, 2);
  expect(tested).toMatchObject({ purpose: 'pairing-test', instanceCount: 0 });
  expect(nextReceptionSteps(tested)).toEqual([{ stage: 'confirm' }]);
  const confirmed = advanceReception(tested, { type: 'confirmed' }, 3);
  expect(receptionState(confirmed)).toBe('confirmed');
  expect(nextReceptionSteps(confirmed)).toEqual([]);
});
