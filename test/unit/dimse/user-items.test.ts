import { describe, expect, it } from 'vitest';
import { readAssociatePdu, readItems } from '../../../src/dimse/associate-pdu.js';
import { addUserItems, readUserItems, type UserItems } from '../../../src/dimse/user-items.js';
import { associatePdu, item, userInformation } from '../../support/associate-pdus.js';

const CT = '1.2.840.10008.5.1.4.1.1.2';
const COMMITMENT = '1.2.840.10008.1.20.1';

const uid = (text: string) => {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(text.length);
  return Buffer.concat([length, Buffer.from(text)]);
};
const role = (sopClass: string, scu: number, scp: number) =>
  item(0x54, uid(sopClass), Buffer.from([scu, scp]));
const typesOf = (pdu: Buffer) => {
  const information = readAssociatePdu(pdu).items.filter(({ type }) => type === 0x50);
  expect(information).toHaveLength(1);
  return readItems(information[0]?.bytes ?? Buffer.alloc(0)).map(({ type }) => type);
};

describe('user information that is not the protocol is refused with PDU_TOO_LARGE', () => {
  it.each([
    ['a PDU that ends in its fixed fields', Buffer.from([1, 0, 0, 0, 0, 0])],
    ['an item header that is cut off', Buffer.concat([associatePdu([]), Buffer.from([0x50, 0])])],
    ['an item longer than the PDU', Buffer.concat([associatePdu([]), Buffer.from([0x50, 0, 0xff, 0xff])])],
    ['a sub-item longer than its item', userInformation(Buffer.from([0x54, 0, 0xff, 0xff, 0, 1]))],
    ['a maximum length of three bytes', userInformation(item(0x51, Buffer.alloc(3)))],
    ['a maximum length of five bytes', userInformation(item(0x51, Buffer.alloc(5)))],
    [
      'a maximum length that stands twice',
      userInformation(item(0x51, Buffer.alloc(4)), item(0x51, Buffer.alloc(4))),
    ],
    ['a window of three bytes', userInformation(item(0x53, Buffer.alloc(3)))],
    [
      'a role whose UID is longer than the item',
      userInformation(item(0x54, Buffer.from([0xff, 0xff, 0x31]))),
    ],
    ['a role without its roles', userInformation(item(0x54, uid(CT)))],
    ['a role with a byte too many', userInformation(item(0x54, uid(CT), Buffer.from([1, 1, 1])))],
    ['two roles that contradict each other', userInformation(role(CT, 1, 0), role(CT, 1, 1))],
    [
      'more roles than there can be contexts',
      userInformation(...Array.from({ length: 129 }, (_, n) => role(`1.2.${n}`, 1, 0))),
    ],
    ['extended negotiation without a UID', userInformation(item(0x56, Buffer.from([0])))],
    [
      'common extended negotiation whose list is cut off',
      userInformation(item(0x57, uid(CT), uid(CT), Buffer.from([0, 3, 0, 9, 0x31]))),
    ],
    ['a user identity without its length', userInformation(item(0x58, Buffer.from([1, 1, 0])))],
    [
      'a user identity without its second field',
      userInformation(item(0x58, Buffer.from([1, 1]), uid('ct1'))),
    ],
    ['user information that stands twice', associatePdu([item(0x50), item(0x50)])],
  ])('%s', (_title, pdu) => {
    expect(() => readUserItems(pdu)).toThrow(expect.objectContaining({ code: 'PDU_TOO_LARGE' }));
  });
});

describe('user information is read', () => {
  it('as empty where there is none, and past items of unknown types', () => {
    const empty = { roles: [], extended: [], commonExtended: [] };
    expect(readUserItems(associatePdu([]))).toEqual(empty);
    expect(readUserItems(userInformation(item(0x5f, Buffer.from('future'))))).toEqual(empty);
  });

  it('with all that an item holds', () => {
    const pdu = userInformation(
      item(0x51, Buffer.from([0, 1, 0, 0])),
      item(0x52, Buffer.from('1.2.3\0')),
      item(0x53, Buffer.from([0, 5, 0, 0])),
      role(COMMITMENT, 0, 1),
      item(0x55, Buffer.from('CT_1 ')),
      item(0x56, uid(CT), Buffer.from([3, 0, 0, 0, 2, 0])),
      item(0x57, uid('1.2.9'), uid('1.2.840.10008.4.2'), uid(`${uid(CT).toString('latin1')}`)),
      item(0x58, Buffer.from([2, 1]), uid('ct1'), uid('secret')),
    );
    expect(readUserItems(pdu)).toEqual({
      maxPduBytes: 65_536,
      implementationClassUid: '1.2.3',
      asyncOperations: { invoked: 5, performed: 0 },
      roles: [{ sopClassUid: COMMITMENT, scu: false, scp: true }],
      implementationVersionName: 'CT_1',
      extended: [{ sopClassUid: CT, information: Buffer.from([3, 0, 0, 0, 2, 0]) }],
      commonExtended: [
        { sopClassUid: '1.2.9', serviceClassUid: '1.2.840.10008.4.2', relatedSopClassUids: [CT] },
      ],
      userIdentity: {
        type: 2,
        responseRequested: true,
        primary: Buffer.from('ct1'),
        secondary: Buffer.from('secret'),
      },
    });
  });

  it('with the same role for each of 128 contexts as one role', () => {
    const roles = Array.from({ length: 128 }, () => role(CT, 1, 0));
    expect(readUserItems(userInformation(...roles)).roles).toEqual([
      { sopClassUid: CT, scu: true, scp: false },
    ]);
  });
});

describe('user information is written', () => {
  const items: UserItems = {
    maxPduBytes: 4096,
    asyncOperations: { invoked: 3, performed: 1 },
    roles: Array.from({ length: 128 }, (_, n) => ({
      sopClassUid: `1.2.840.${n}`,
      scu: n % 2 === 0,
      scp: n % 2 === 1,
    })),
    extended: [{ sopClassUid: CT, information: Buffer.from([2, 0, 3, 0, 0, 0]) }],
    commonExtended: [
      { sopClassUid: '1.2.9', serviceClassUid: '1.2.8', relatedSopClassUids: [CT, COMMITMENT] },
    ],
    userIdentity: {
      type: 2,
      responseRequested: false,
      primary: Buffer.from('ü'),
      secondary: Buffer.alloc(0),
    },
    userIdentityResponse: Buffer.alloc(0),
  };

  it('so that it is read as it was given, and the PDU is as long as it says', () => {
    const pdu = addUserItems(associatePdu([]), items);
    expect(pdu.readUInt32BE(2)).toBe(pdu.length - 6);
    expect(readUserItems(pdu)).toEqual(items);
  });

  it('in place of what stood there of the same kind, and after contexts that stay as they are', () => {
    const context = item(0x21, Buffer.from([1, 0, 0, 0]), item(0x40, Buffer.from('1.2.840.10008.1.2')));
    const information = item(
      0x50,
      item(0x51, Buffer.alloc(4)),
      item(0x52, Buffer.from('1.2.3')),
      item(0x53, Buffer.alloc(4)),
      role(CT, 1, 1),
      item(0x55, Buffer.from('V')),
      item(0x59, Buffer.from([0, 0])),
    );
    const pdu = associatePdu([context, information]);
    expect(typesOf(addUserItems(pdu, {}))).toEqual([0x51, 0x52, 0x55]);
    const answered = addUserItems(pdu, { ...items, roles: [], commonExtended: [] });
    expect(typesOf(answered)).toEqual([0x51, 0x52, 0x53, 0x55, 0x56, 0x58, 0x59]);
    expect(answered.includes(context)).toBe(true);
    expect(readUserItems(answered)).toMatchObject({ maxPduBytes: 4096, implementationVersionName: 'V' });
  });

  it('never longer than its length can say', () => {
    const primary = Buffer.alloc(0xffff);
    expect(() =>
      addUserItems(associatePdu([]), {
        userIdentity: { type: 5, responseRequested: false, primary, secondary: Buffer.alloc(0) },
      }),
    ).toThrow(expect.objectContaining({ code: 'REQUEST_INVALID' }));
  });
});
