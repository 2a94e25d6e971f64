/** What a PACS refused, and a person has dealt with. */
import { describe, expect, it } from 'vitest';
import { parseEnvelopeId } from '../../../src/domain/envelope-id.js';
import {
  advanceReception,
  isReceptionEnded,
  type PacsOutcome,
  type Reception,
  receptionState,
} from '../../../src/domain/reception.js';
import { nextReceptionSteps } from '../../../src/domain/reception-steps.js';

const refused = (atMs: number): PacsOutcome => ({
  state: 'refused',
  storedCount: 0,
  refusedCount: 1,
  lastError: { code: 'PACS_REFUSED', message: 'no', stage: 'deliver', atMs, attempt: 0 },
});
const pending: PacsOutcome = { state: 'pending', storedCount: 0, refusedCount: 0 };
const late: Reception = {
  id: parseEnvelopeId('6ba7b811-9dad-41d1-80b4-00c04fd430c8'),
  revision: 2,
  senderId: 'b',
  senderName: 'B',
  manifestSha256: 'ab',
  sizeBytes: 1,
  receivedAtMs: 1,
  progress: 'confirmed',
  instanceCount: 1,
  pacs: { main: refused(2) },
  steps: [],
};
const dismiss = (record: Reception) => advanceReception(record, { type: 'dismissed', by: 'me' }, 3);
const hear = (record: Reception, outcome: PacsOutcome, name = 'main') =>
  advanceReception(record, { type: 'pacs', name, outcome }, 4);

describe('a reception that was dismissed', () => {
  it('has ended, and says so in one word', () => {
    expect([receptionState(late), isReceptionEnded(late)]).toEqual(['refused', false]);
    expect([receptionState(dismiss(late)), isReceptionEnded(dismiss(late))]).toEqual(['dismissed', true]);
  });

  it('needs attention again when a PACS refuses more, and not when it says the same', () => {
    expect(receptionState(hear(dismiss(late), refused(2)))).toBe('dismissed');
    expect(receptionState(hear(dismiss(late), refused(4)))).toBe('refused');
    expect(receptionState(hear(dismiss(late), refused(4), 'other'))).toBe('refused');
  });

  it('goes on where another PACS has not answered, and needs attention when that one refuses it', () => {
    const both = dismiss({ ...late, progress: 'verified', pacs: { main: refused(2), other: pending } });
    expect([receptionState(both), isReceptionEnded(both)]).toEqual(['verified', false]);
    expect(nextReceptionSteps(both)).toEqual([{ stage: 'deliver', pacs: 'other' }]);
    expect(receptionState(hear(both, refused(4), 'other'))).toBe('refused');
  });

  it('has not ended before its sender has been told', () => {
    const untold = dismiss({ ...late, progress: 'verified' });
    expect([nextReceptionSteps(untold), isReceptionEnded(untold)]).toEqual([[{ stage: 'confirm' }], false]);
    const told = advanceReception(untold, { type: 'refusal-confirmed' }, 4);
    expect([nextReceptionSteps(told), isReceptionEnded(told)]).toEqual([[], true]);
  });

  it('is not dismissed any more when it is tried again', () => {
    const again = advanceReception(dismiss(late), { type: 'retried' }, 4);
    expect([again.dismissed, receptionState(again)]).toEqual([undefined, 'verified']);
  });

  it('can be nothing that no PACS has been given', () => {
    const dismissing = () => dismiss({ ...late, progress: 'opened', pacs: {} });
    expect(dismissing).toThrow(expect.objectContaining({ code: 'FAULT' }));
  });
});
