/** The data sets of storage commitment, as kind and as hostile as they come. */
import { describe, expect, it } from 'vitest';
import {
  formatCommitmentReport,
  formatCommitmentRequest,
  MAX_COMMITMENT_BYTES,
  MAX_REFERENCES,
  readCommitmentDataSet,
} from '../../../src/dimse/commitment-data-set.js';

const IMPLICIT = '1.2.840.10008.1.2';
const EXPLICIT = '1.2.840.10008.1.2.1';
const BIG_ENDIAN = '1.2.840.10008.1.2.2';
const CT = '1.2.840.10008.5.1.4.1.1.2';
const TRANSACTION = '2.25.329800735698586629295641978511506172918';
const REFERENCES = [
  { sopClassUid: CT, sopInstanceUid: '1.2.3' },
  { sopClassUid: '1.2.840.10008.5.1.4.1.1.4', sopInstanceUid: '1.2.34.5' },
];

const UNDEFINED = 0xffffffff;
const u16 = (value: number) => Buffer.from([value & 0xff, value >> 8]);
const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const tagged = (group: number, element: number, length: number, ...value: Buffer[]) =>
  Buffer.concat([u16(group), u16(element), u32(length), ...value]);
const implicit = (element: number, value: Buffer) => tagged(0x0008, element, value.length, value);
const text = (value: string) => Buffer.from(value.length % 2 === 0 ? value : `${value}\0`);
const delimiter = (element: number) => tagged(0xfffe, element, 0);
const reference = () => Buffer.concat([implicit(0x1150, text(CT)), implicit(0x1155, text('1.2.3'))]);

describe('what is written is read back', () => {
  it.each([IMPLICIT, EXPLICIT, BIG_ENDIAN])('a request in %s', (syntax) => {
    const bytes = formatCommitmentRequest(TRANSACTION, REFERENCES, syntax);
    expect(readCommitmentDataSet(bytes, syntax)).toEqual({
      transactionUid: TRANSACTION,
      references: REFERENCES,
      failed: [],
    });
  });

  it.each([IMPLICIT, EXPLICIT, BIG_ENDIAN])('a report with failures in %s', (syntax) => {
    const result = {
      committed: REFERENCES.slice(0, 1),
      failed: REFERENCES.slice(1).map((each) => ({ ...each, reason: 0x0112 })),
    };
    const read = readCommitmentDataSet(formatCommitmentReport(TRANSACTION, result, syntax), syntax);
    expect(read).toEqual({
      transactionUid: TRANSACTION,
      references: result.committed,
      failed: result.failed,
    });
  });

  it('a request of as many instances as may be, with the longest UIDs, fits into what is taken', () => {
    const long = '1'.repeat(64);
    const references = Array.from({ length: MAX_REFERENCES }, () => ({
      sopClassUid: CT,
      sopInstanceUid: long,
    }));
    const bytes = formatCommitmentRequest(TRANSACTION, references, EXPLICIT);
    expect(bytes.length).toBeLessThan(MAX_COMMITMENT_BYTES);
    expect(readCommitmentDataSet(bytes, EXPLICIT).references).toHaveLength(MAX_REFERENCES);
    const more = formatCommitmentRequest(TRANSACTION, [...references, ...REFERENCES], EXPLICIT);
    expect(() => readCommitmentDataSet(more, EXPLICIT)).toThrow(
      expect.objectContaining({ code: 'STUDY_TOO_LARGE' }),
    );
  });
});

describe('what others write', () => {
  it('sequences and items of undefined length, and attributes that mean nothing here, are read', () => {
    const nested = tagged(0x0008, 0x1199, UNDEFINED, delimiter(0xe0dd));
    const item = tagged(0xfffe, 0xe000, UNDEFINED, reference(), nested, delimiter(0xe00d));
    const bytes = Buffer.concat([
      implicit(0x0054, text('ARCHIVE')),
      tagged(
        0x0008,
        0x1111,
        UNDEFINED,
        tagged(0xfffe, 0xe000, reference().length, reference()),
        delimiter(0xe0dd),
      ),
      implicit(0x1195, text(TRANSACTION)),
      tagged(0x0008, 0x1199, UNDEFINED, item, delimiter(0xe0dd)),
    ]);
    expect(readCommitmentDataSet(bytes, IMPLICIT)).toEqual({
      transactionUid: TRANSACTION,
      references: [{ sopClassUid: CT, sopInstanceUid: '1.2.3' }],
      failed: [],
    });
  });

  it('without transaction UID and sequence, both are told as missing', () => {
    expect(readCommitmentDataSet(Buffer.alloc(0), EXPLICIT)).toEqual({
      transactionUid: undefined,
      references: undefined,
      failed: [],
    });
  });

  it('a failure without a reason is a processing failure', () => {
    const item = tagged(0xfffe, 0xe000, reference().length, reference());
    const bytes = Buffer.concat([implicit(0x1195, text(TRANSACTION)), implicit(0x1198, item)]);
    expect(readCommitmentDataSet(bytes, IMPLICIT).failed).toEqual([
      { sopClassUid: CT, sopInstanceUid: '1.2.3', reason: 0x0110 },
    ]);
  });
});

describe('what cannot be read is refused', () => {
  const sequence = (...items: Buffer[]) => implicit(0x1199, Buffer.concat(items));
  const deep = Buffer.concat(
    Array.from({ length: 200 }, (_, at) =>
      at % 2 === 0 ? tagged(0x0008, 0x1111, UNDEFINED) : tagged(0xfffe, 0xe000, UNDEFINED),
    ),
  );

  it.each([
    ['an element beyond the end', tagged(0x0008, 0x1195, 1000)],
    ['an element cut off', implicit(0x1195, text(TRANSACTION)).subarray(0, 6)],
    ['an item beyond its sequence', sequence(tagged(0xfffe, 0xe000, 5000, reference()))],
    ['something else than an item in a sequence', sequence(reference())],
    ['an item without an end', sequence(tagged(0xfffe, 0xe000, UNDEFINED, reference()))],
    ['a sequence without an end', tagged(0x0008, 0x1199, UNDEFINED)],
    ['a delimiter without a sequence', delimiter(0xe00d)],
    ['a reference without UIDs', sequence(tagged(0xfffe, 0xe000, 0))],
    [
      'a reference to a path',
      sequence(
        tagged(
          0xfffe,
          0xe000,
          32,
          implicit(0x1150, text('1.2.3.')),
          implicit(0x1155, Buffer.from('../../etc/passwd').subarray(0, 10)),
        ),
      ),
    ],
    ['sequences nested without end', deep],
  ])('%s', (_what, bytes) => {
    expect(() => readCommitmentDataSet(bytes, IMPLICIT)).toThrow(
      expect.objectContaining({ code: 'DATASET_UNREADABLE' }),
    );
  });

  it('a deflated data set', () => {
    expect(() => readCommitmentDataSet(Buffer.alloc(0), '1.2.840.10008.1.2.1.99')).toThrow(
      expect.objectContaining({ code: 'DATASET_UNREADABLE' }),
    );
  });
});
