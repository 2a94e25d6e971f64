/** What each code becomes over HTTP. The statuses are those of the error table, written out here a second time. */
import { describe, expect, it } from 'vitest';
import { CODES, type ErrorCode } from '../../../src/errors/codes.js';
import { HTTP_STATUS } from '../../../src/http/problem.js';

const EXPECTED: readonly (readonly [number, readonly ErrorCode[]])[] = [
  [
    400,
    ['ENVELOPE_MALFORMED', 'MANIFEST_INVALID', 'ARCHIVE_UNSAFE', 'DATASET_UNREADABLE', 'REQUEST_INVALID'],
  ],
  [400, ['ASSERTION_INVALID', 'ASSERTION_EXPIRED', 'SIGNER_NOT_PINNED', 'RECIPIENT_MISMATCH']],
  [400, ['ENVELOPE_TOO_OLD', 'ENVELOPE_FROM_FUTURE']],
  [403, ['NOT_AUTHORISED']],
  [404, ['ENVELOPE_NOT_FOUND', 'STUDY_NOT_FOUND']],
  [406, ['NOT_ACCEPTABLE']],
  [409, ['ENVELOPE_EXISTS', 'STATE_INVALID', 'ROUTE_MISSING']],
  [413, ['ENVELOPE_TOO_LARGE', 'INSTANCE_TOO_LARGE']],
  [415, ['MEDIA_TYPE_UNSUPPORTED']],
  [500, ['FAULT']],
  [503, ['SHUTTING_DOWN', 'SPOOL_ABOVE_WATERMARK', 'SPOOL_WRITE_FAILED', 'ASSOCIATION_LIMIT', 'CANCELLED']],
];

describe('the status of a code', () => {
  it.each(EXPECTED)('is %i', (status, codes) => {
    for (const code of codes) expect(HTTP_STATUS[code], code).toBe(status);
  });

  it('never asks a caller to repeat what will never work', () => {
    for (const [code, { kind }] of Object.entries(CODES)) {
      if (kind === 'permanent')
        expect([408, 425, 429, 503], code).not.toContain(HTTP_STATUS[code as ErrorCode]);
    }
  });
});
