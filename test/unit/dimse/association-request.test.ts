import { describe, expect, it } from 'vitest';
import { readAssociationRequest, requestFault } from '../../../src/dimse/association-request.js';
import { addUserItems, readUserItems } from '../../../src/dimse/user-items.js';
import { associatePdu, item, proposedContext } from '../../support/associate-pdus.js';

const CT = '1.2.840.10008.5.1.4.1.1.2';
const IMPLICIT = '1.2.840.10008.1.2';
const context = (id: number) => proposedContext(id, CT, [IMPLICIT]);
const faultOf = (pdu: Buffer) => requestFault(readAssociationRequest(pdu));

describe('an association request is at fault', () => {
  it.each([
    ['without a presentation context', associatePdu([]), /no presentation context/],
    ['with an even context id', associatePdu([context(1), context(2)]), /id 2/],
    ['with the context id 0', associatePdu([context(0)]), /id 0/],
    ['with a context id that stands twice', associatePdu([context(1), context(3), context(1)]), /id 1 /],
    [
      'with a thousand contexts',
      associatePdu(Array.from({ length: 1000 }, (_, n) => context((n * 2 + 1) & 0xff))),
      /1000/,
    ],
    [
      'with a maximum length that holds no command',
      associatePdu([context(1), item(0x50, item(0x51, Buffer.from([0, 0, 0, 7])))]),
      /7 bytes/,
    ],
  ])('%s, which is said', (_title, pdu, words) => {
    expect(faultOf(pdu)).toMatchObject({ kind: 'malformed', message: expect.stringMatching(words) });
  });

  it('with another application context, or without one', () => {
    expect(faultOf(associatePdu([context(1)], '1.2.3'))?.kind).toBe('application-context');
    expect(faultOf(associatePdu([context(1)], ''))?.kind).toBe('application-context');
  });

  it('in a version of the protocol that there is not', () => {
    const pdu = associatePdu([context(1)]);
    pdu.writeUInt16BE(2, 6);
    expect(faultOf(pdu)?.kind).toBe('version');
  });

  it('that cannot be told, where it cannot be read', () => {
    const broken = [item(0x20, Buffer.from([1, 0])), item(0x20, Buffer.from([1, 0, 0, 0, 0x30, 0, 0, 9]))];
    for (const each of broken) {
      expect(() => readAssociationRequest(associatePdu([each]))).toThrow(
        expect.objectContaining({ code: 'PDU_TOO_LARGE' }),
      );
    }
  });
});

describe('an association request is served', () => {
  it('with 128 contexts, and with one that offers no transfer syntax, which gets its own result', () => {
    const all = Array.from({ length: 128 }, (_, n) => context(n * 2 + 1));
    expect(faultOf(associatePdu(all))).toBeUndefined();
    expect(faultOf(associatePdu([proposedContext(1, CT, [])]))).toBeUndefined();
  });

  it('of a peer that takes PDUs of any length', () => {
    expect(faultOf(associatePdu([context(1), item(0x50, item(0x51, Buffer.alloc(4)))]))).toBeUndefined();
  });

  it('with its titles trimmed, its padding dropped, and its transfer syntaxes in order', () => {
    const request = readAssociationRequest(
      associatePdu([proposedContext(5, `${CT}\0`, ['1.2.840.10008.1.2.4.70', IMPLICIT])]),
    );
    expect(request).toMatchObject({
      callingAe: 'CT1',
      calledAe: 'DRAWBRIDGE',
      contexts: [{ id: 5, abstractSyntaxUid: CT, transferSyntaxUids: ['1.2.840.10008.1.2.4.70', IMPLICIT] }],
    });
  });

  it('with titles that are padded, and never with what a line feed hides', () => {
    const pdu = associatePdu([context(1)]);
    pdu.write('  CT1\0\0\0'.padEnd(16), 26, 'latin1');
    pdu.write('DRAWBRIDGE\n'.padEnd(16), 10, 'latin1');
    expect(readAssociationRequest(pdu)).toMatchObject({ callingAe: 'CT1', calledAe: 'DRAWBRIDGE\n' });
  });
});

it('whatever bytes are changed, a request is read or refused, and nothing else happens', () => {
  const whole = associatePdu([
    proposedContext(1, CT, [IMPLICIT, '1.2.840.10008.1.2.1']),
    proposedContext(3, '1.2.840.10008.1.20.1', [IMPLICIT]),
    item(
      0x50,
      item(0x51, Buffer.alloc(4)),
      item(0x53, Buffer.from([0, 5, 0, 5])),
      item(0x54, Buffer.from([0, 3]), Buffer.from('1.2'), Buffer.from([1, 1])),
      item(0x57, Buffer.from([0, 1, 0x31, 0, 1, 0x32, 0, 3, 0, 1, 0x33])),
      item(0x58, Buffer.from([2, 1, 0, 1, 0x61, 0, 1, 0x62])),
    ),
  ]);
  let state = 1;
  const random = (below: number) => {
    state = (state * 48_271) % 0x7fffffff;
    return state % below;
  };
  let refused = 0;
  for (let round = 0; round < 5000; round += 1) {
    const changed = Buffer.from(whole.subarray(0, random(4) === 0 ? random(whole.length) : whole.length));
    for (let change = random(4); change >= 0 && changed.length > 74; change -= 1) {
      changed[74 + random(changed.length - 74)] = random(256);
    }
    try {
      const request = readAssociationRequest(changed);
      expect(readUserItems(addUserItems(changed, request.items))).toEqual(request.items);
      requestFault(request);
    } catch (error) {
      expect(error).toMatchObject({ code: 'PDU_TOO_LARGE' });
      refused += 1;
    }
  }
  expect(refused).toBeGreaterThan(500);
  expect(refused).toBeLessThan(4500);
});
