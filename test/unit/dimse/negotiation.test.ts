import { expect, it } from 'vitest';
import { answerUserItems, operationsWindow } from '../../../src/dimse/negotiation.js';

const CT = '1.2.840.10008.5.1.4.1.1.2';
const VERIFICATION = '1.2.840.10008.1.1';
const COMMITMENT = '1.2.840.10008.1.20.1';
const REFUSED = '1.2.840.10008.5.1.4.31';
const NOTHING = { roles: [], extended: [], commonExtended: [] };

const terms = {
  asyncOperations: 16,
  acceptedSopClassUids: new Set([CT, VERIFICATION, COMMITMENT]),
  serviceSopClassUids: new Set([COMMITMENT]),
};

it('what is not asked is not answered, and one operation at a time is allowed', () => {
  const answer = answerUserItems(NOTHING, terms);
  expect(answer).toEqual({ roles: [], extended: [] });
  expect(operationsWindow(answer)).toBe(1);
});

it.each([
  ['more than we allow', { invoked: 100, performed: 50 }, { invoked: 16, performed: 16 }],
  ['less than we allow', { invoked: 4, performed: 1 }, { invoked: 4, performed: 1 }],
  ['any number', { invoked: 0, performed: 0 }, { invoked: 16, performed: 16 }],
])('of a window, %s is answered with the smaller number, each way for itself', (_title, asked, expected) => {
  const answer = answerUserItems({ ...NOTHING, asyncOperations: asked }, terms);
  expect(answer.asyncOperations).toEqual(expected);
  expect(operationsWindow(answer)).toBe(expected.invoked);
});

it('the requestor may be the SCU of all that is accepted, and the SCP of services alone', () => {
  const roles = [CT, COMMITMENT, VERIFICATION, REFUSED].map((sopClassUid) => ({
    sopClassUid,
    scu: true,
    scp: true,
  }));
  expect(answerUserItems({ ...NOTHING, roles }, terms).roles).toEqual([
    { sopClassUid: CT, scu: true, scp: false },
    { sopClassUid: COMMITMENT, scu: true, scp: true },
    { sopClassUid: VERIFICATION, scu: true, scp: false },
  ]);
});

it('a role that is not proposed is not accepted', () => {
  const roles = [{ sopClassUid: COMMITMENT, scu: false, scp: true }];
  expect(answerUserItems({ ...NOTHING, roles }, terms).roles).toEqual(roles);
});

it('extended negotiation is answered for storage: all attributes, all signatures, nothing coerced', () => {
  const extended = [CT, COMMITMENT, VERIFICATION, REFUSED].map((sopClassUid) => ({
    sopClassUid,
    information: Buffer.from([3, 0, 0, 0, 2, 0]),
  }));
  expect(answerUserItems({ ...NOTHING, extended }, terms).extended).toEqual([
    { sopClassUid: CT, information: Buffer.from([2, 0, 3, 0, 0, 0]) },
  ]);
});
