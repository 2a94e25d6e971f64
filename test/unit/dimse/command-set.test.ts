/** Command sets: what is written is read again, and what is none is refused. */
import { expect, it } from 'vitest';
import { COMMAND_FIELDS, formatCommandSet, parseCommandSet } from '../../../src/dimse/command-set.js';

it('a response is read as it was written, with a comment of at most 64 characters', () => {
  const bytes = formatCommandSet({
    commandField: COMMAND_FIELDS.nActionResponse,
    messageIdBeingRespondedTo: 7,
    hasDataSet: false,
    status: 0x0213,
    errorComment: 'x'.repeat(70),
    affectedSopClassUid: '1.2.840.10008.1.20.1',
    affectedSopInstanceUid: '1.2.840.10008.1.20.1.1',
    actionTypeId: 1,
  });
  expect(parseCommandSet(bytes)).toEqual({
    commandField: 0x8130,
    messageId: 0,
    messageIdBeingRespondedTo: 7,
    hasDataSet: false,
    sopClassUid: '1.2.840.10008.1.20.1',
    sopInstanceUid: '1.2.840.10008.1.20.1.1',
    status: 0x0213,
    errorComment: 'x'.repeat(64),
    actionTypeId: 1,
  });
});

it('the group length counts what follows it, elements ascend, and every value is even', () => {
  const bytes = formatCommandSet({
    requestedSopInstanceUid: '1.2.3',
    commandField: COMMAND_FIELDS.nActionRequest,
    messageId: 1,
    hasDataSet: true,
    requestedSopClassUid: '1.2',
  });
  expect(bytes.readUInt32LE(8)).toBe(bytes.length - 12);
  const numbers: number[] = [];
  for (let at = 0; at < bytes.length; at += 8 + bytes.readUInt32LE(at + 4)) {
    numbers.push(bytes.readUInt16LE(at + 2));
    expect(bytes.readUInt32LE(at + 4) % 2).toBe(0);
  }
  expect(numbers).toEqual([0x0000, 0x0003, 0x0100, 0x0110, 0x0800, 0x1001]);
});

it.each([
  ['nothing', ''],
  ['a header that is cut', '000000'],
  ['a length beyond its end', '000000010400000001'],
  ['another group', '0800000102000000 0100'.replaceAll(' ', '')],
  ['no command field', '0000100102000000 0100'.replaceAll(' ', '')],
])('%s is no command set', (_title, hex) => {
  expect(() => parseCommandSet(Buffer.from(hex, 'hex'))).toThrow(
    expect.objectContaining({ code: 'DATASET_UNREADABLE' }),
  );
});
