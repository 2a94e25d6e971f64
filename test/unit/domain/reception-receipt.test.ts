import { describe, expect, it } from 'vitest';
import { parseEnvelopeId } from '../../../src/domain/envelope-id.js';
import { advanceReception, type Reception, receptionState } from '../../../src/domain/reception.js';
import { nextReceptionSteps } from '../../../src/domain/reception-steps.js';

const about = parseEnvelopeId('6ba7b810-9dad-41d1-80b4-00c04fd430c8');
const opened: Reception = {
  id: parseEnvelopeId('6ba7b811-9dad-41d1-80b4-00c04fd430c8'),
  revision: 2,
  senderId: 'b',
  senderName: 'B',
  manifestSha256: 'ab',
  sizeBytes: 1,
  receivedAtMs: 1,
  progress: 'opened',
  pacs: {},
  steps: [],
};

describe('an envelope that held a receipt', () => {
  it('is done, and nothing is owed for it', () => {
    const record = advanceReception(opened, { type: 'receipt', receiptFor: about }, 2);
    expect(receptionState(record)).toBe('confirmed');
    expect(nextReceptionSteps(record)).toEqual([]);
  });

  it('waits for an operator when it was a bad one, and still nothing is owed', () => {
    const problem = { code: 'RECEIPT_INVALID', message: 'm', stage: 'verify', atMs: 2 } as const;
    const record = advanceReception(opened, { type: 'receipt', receiptFor: about, problem }, 2);
    expect(receptionState(record)).toBe('quarantined');
    expect(nextReceptionSteps(record)).toEqual([]);
    const again = advanceReception(record, { type: 'retried' }, 3);
    expect(nextReceptionSteps(again)).toEqual([{ stage: 'open' }]);
  });

  it('is known for what it is only when it has been opened', () => {
    const received = { ...opened, progress: 'received' } as const;
    expect(() => advanceReception(received, { type: 'receipt', receiptFor: about }, 2)).toThrow(
      expect.objectContaining({ code: 'FAULT' }),
    );
  });
});

describe('the same envelope again', () => {
  const event = { type: 'reminded' } as const;

  it('makes the receipt due that was sent before', () => {
    const stored = advanceReception({ ...opened, progress: 'confirmed', pacs: {} }, event, 9);
    expect(nextReceptionSteps(stored)).toEqual([{ stage: 'confirm' }]);
    const quarantined = { code: 'SIGNER_NOT_PINNED', message: 'm', stage: 'open', atMs: 2 } as const;
    const refused = advanceReception({ ...opened, quarantined, refusalConfirmed: true }, event, 9);
    expect(nextReceptionSteps(refused)).toEqual([{ stage: 'confirm' }]);
  });
});
