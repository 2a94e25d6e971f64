/** What `drawbridge status` says of storage commitment. */
import { expect, it } from 'vitest';
import { describeCommitment } from '../../../src/cli/commitment-status.js';
import { pacsRefusalOf } from '../../../src/cli/status.js';
import { viewCommitment } from '../../../src/compose/commitment-view.js';
import type { CommitmentRequest } from '../../../src/domain/commitment-request.js';
import type { ReceptionView } from '../../../src/http/ports.js';

const NOW_MS = Date.UTC(2026, 10, 21, 12);

function request(more: Partial<CommitmentRequest>): CommitmentRequest {
  return {
    id: 'a5d2b9e0-0000-8000-8000-000000000001' as CommitmentRequest['id'],
    revision: 1,
    transactionUid: '2.25.1',
    callingAe: 'CT1',
    calledAe: 'DRAWBRIDGE',
    remoteAddress: '10.1.2.3',
    referenceCount: 1,
    referencesSha256: '',
    askedAtMs: NOW_MS - 7_200_000,
    progress: 'judged',
    judgedAtMs: NOW_MS - 3_600_000,
    ...more,
  };
}

it('a modality that was just decided about is no news; one that cannot be told is named, since when and why', () => {
  const failed = { code: 'PACS_UNREACHABLE', message: 'nobody listens', attempt: 1, atMs: NOW_MS } as const;
  const view = viewCommitment(
    [
      request({}),
      request({ judgedAtMs: NOW_MS - 7_000_000, lastError: failed }),
      request({ callingAe: 'MR1', judgedAtMs: NOW_MS - 1_000 }),
      request({ callingAe: 'US1' }),
      request({ progress: 'asked' }),
    ],
    NOW_MS,
  );
  expect(describeCommitment(view, [])).toEqual([
    'commitment  1 asked by modalities, waiting for receipts',
    'commitment  CT1 could not be told about 2 since 2026-11-21T10:03:20.000Z: nobody listens',
    expect.stringMatching(/US1 could not be told about 1 .* has no reportTo/),
  ]);
});

it('what the PACS said is counted by PACS', () => {
  const stored = { state: 'stored', storedCount: 1, refusedCount: 0 } as const;
  const of = (state?: 'committed' | 'unreported') =>
    ({
      pacs: {
        main: { ...stored, ...(state === undefined ? {} : { commitment: { state, atMs: NOW_MS } }) },
      },
    }) as unknown as ReceptionView;
  expect(describeCommitment(undefined, [of('committed'), of('committed'), of('unreported'), of()])).toEqual([
    'commitment  PACS main: 2 committed to, 1 without, because it did not report',
  ]);
});

it('a reception that a PACS refused names the PACS and its reason', () => {
  const lastError = { code: 'PACS_REFUSED', message: 'PACS answers 0xC000', stage: 'deliver', atMs: NOW_MS };
  const stored = { state: 'stored', storedCount: 3, refusedCount: 0 };
  const refused = { state: 'refused', storedCount: 2, refusedCount: 1 };
  const of = (pacs: object) => pacsRefusalOf({ pacs, instanceCount: 3 } as unknown as ReceptionView);
  expect(of({ main: { ...refused, lastError }, other: stored })).toBe('PACS main: PACS answers 0xC000');
  expect(of({ main: refused })).toBe('PACS main: 1 of 3 instances were refused');
});
