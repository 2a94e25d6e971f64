import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseEnvelopeId } from '../../../src/domain/envelope-id.js';
import {
  archiveName,
  claimName,
  parseExchangeName,
  partName,
  refusedName,
} from '../../../src/transport/exchange-names.js';

const ID = parseEnvelopeId('0f8b7c1e-5d0a-4c1b-9e55-6f0e6c7a9b01');

describe('exchange names', () => {
  it.each([
    '',
    ID,
    `${ID}.JMIX`,
    `${ID}.jmix.tar`,
    `${ID}.JMIX.tar.gz`,
    `${ID}.JMIX.tar.part.part`,
    `${ID}.JMIX.tar.PART`,
    `${ID}.JMIX.tar `,
    `${ID}.JMIX.tar\n`,
    `${ID}.JMIX.tar.JMIX.tar`,
    `.${ID}.JMIX.tar`,
    `../${ID}.JMIX.tar`,
    `${ID.toUpperCase()}.JMIX.tar`,
    `${ID}.JMIX.tar.taking-`,
    `${ID}.JMIX.tar.taking-0123456`,
    `${ID}.JMIX.tar.taking-${'0'.repeat(33)}`,
    `${ID}.JMIX.tar.taking-ABCDEF01`,
    `${ID}.JMIX.tar.taking-0123456/`,
    'holiday.JMIX.tar',
  ])('%j is none of ours', (name) => {
    expect(parseExchangeName(name)).toBeUndefined();
  });

  it('say what they are', () => {
    expect(parseExchangeName(archiveName(ID))).toEqual({ id: ID, state: 'waiting' });
    expect(parseExchangeName(partName(ID))).toEqual({ id: ID, state: 'part' });
    const message = 'application/pgp-encrypted';
    expect(archiveName(ID, message)).toBe(`${ID}.JMIX.tar.gpg`);
    expect(parseExchangeName(archiveName(ID, message))).toEqual({ id: ID, state: 'waiting' });
    expect(parseExchangeName(partName(ID, message))).toEqual({ id: ID, state: 'part' });
    expect(parseExchangeName(`${archiveName(ID, message)}.refused`)).toBeUndefined();
    expect(parseExchangeName(refusedName(ID))).toEqual({ id: ID, state: 'refused' });
    const claimed = { id: ID, state: 'claimed', claimer: '01ab45cd' };
    expect(parseExchangeName(claimName(ID, '01ab45cd'))).toEqual(claimed);
  });

  it('give the id and the claimer back, whatever they are', () => {
    const claimers = fc.stringMatching(/^[0-9a-f]{8,32}$/);
    fc.assert(
      fc.property(fc.uuid(), claimers, (uuid, claimer) => {
        const id = parseEnvelopeId(uuid);
        expect(parseExchangeName(claimName(id, claimer))).toEqual({ id, state: 'claimed', claimer });
        expect(parseExchangeName(archiveName(id))?.id).toBe(id);
      }),
    );
  });
});
