import { expect, it } from 'vitest';
import { GatewayError } from '../../../../src/errors/gateway-error.js';
import { refusalOf, statusRefusal } from '../../../../src/http/tus/tus-request.js';

it.each([
  [404, 'ENVELOPE_NOT_FOUND', undefined],
  [410, 'ENVELOPE_NOT_FOUND', undefined],
  [409, 'STATE_INVALID', undefined],
  [413, 'ENVELOPE_TOO_LARGE', undefined],
  [400, 'REQUEST_INVALID', 400],
  [412, 'REQUEST_INVALID', 412],
  [501, 'REQUEST_INVALID', 501],
])('the protocol’s %i is %s', (status, code, answered) => {
  const refusal = statusRefusal(status);
  expect(refusal.error.code).toBe(code);
  expect(refusal.status).toBe(answered);
});

it('a failure of the protocol is told by its status, not by its words', () => {
  expect(refusalOf({ status_code: 409, body: 'not found' }).error.code).toBe('STATE_INVALID');
});

it('an upload that somebody else writes to is transient', () => {
  expect(refusalOf({ status_code: 500, body: '' }).error).toMatchObject({
    code: 'CANCELLED',
    kind: 'transient',
  });
});

it('an error of ours stays what it is, and anything else is a fault', () => {
  const error = new GatewayError('MANIFEST_INVALID', 'manifest.json has no id');
  expect(refusalOf(error)).toEqual({ error });
  expect(refusalOf(new TypeError('broken')).error.code).toBe('FAULT');
});
