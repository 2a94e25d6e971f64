/** Files of one payload by their first bytes: another instance than they say, or the same twice. */
import { deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { createHeadInspector, INSTANCE_HEAD_BYTES } from '../../../src/dicom/instance-head.js';
import { formatFileMeta } from '../../../src/dicom/part10.js';

const SOP_CLASS = '1.2.840.10008.5.1.4.1.1.7';
const HERE = '1.2.826.0.1.3680043.10.9999.1';
const OTHER = '1.2.826.0.1.3680043.10.9999.2';

const explicitLe = (element: number, vr: string, value: string): Buffer => {
  const text = value.length % 2 === 0 ? value : `${value}\0`;
  const head = Buffer.from([8, 0, element, 0, 0, 0, text.length & 0xff, text.length >> 8]);
  head.write(vr, 4, 'latin1');
  return Buffer.concat([head, Buffer.from(text)]);
};
const explicitBe = (element: number, vr: string, value: string): Buffer => {
  const bytes = explicitLe(element, vr, value);
  for (const at of [0, 2, 6]) bytes.subarray(at, at + 2).swap16();
  return bytes;
};
const implicitLe = (element: number, _vr: string, value: string): Buffer => {
  const bytes = explicitLe(element, 'UI', value);
  bytes.writeUInt32LE(bytes.length - 8, 4);
  return bytes;
};
type Element = typeof explicitLe;
const dataSet = (uid: string, element: Element = explicitLe, sopClass = SOP_CLASS): Buffer =>
  Buffer.concat([element(0x16, 'UI', sopClass), element(0x18, 'UI', uid), element(0x60, 'CS', 'CT')]);

const SYNTAXES: readonly (readonly [string, string, (uid: string) => Buffer])[] = [
  ['implicit', '1.2.840.10008.1.2', (uid) => dataSet(uid, implicitLe)],
  ['explicit', '1.2.840.10008.1.2.1', (uid) => dataSet(uid)],
  ['big endian', '1.2.840.10008.1.2.2', (uid) => dataSet(uid, explicitBe)],
  ['deflated', '1.2.840.10008.1.2.1.99', (uid) => deflateRawSync(dataSet(uid))],
  ['compressed', '1.2.840.10008.1.2.4.50', (uid) => dataSet(uid)],
];
const fileOf = (metaUid: string, bytes: Buffer, transferSyntaxUid = '1.2.840.10008.1.2.1'): Buffer =>
  Buffer.concat([
    formatFileMeta({ sopClassUid: SOP_CLASS, sopInstanceUid: metaUid, transferSyntaxUid }),
    bytes,
  ]);
const codeOf = (name: string, file: Buffer) => createHeadInspector('refuse')(name, file)?.code;

describe.each(SYNTAXES)('%s', (_, syntax, encode) => {
  it('a data set of another instance than its file meta information is PAYLOAD_INCONSISTENT', () => {
    expect(codeOf(`dicom/${HERE}.dcm`, fileOf(HERE, encode(OTHER), syntax))).toBe('PAYLOAD_INCONSISTENT');
    expect(codeOf('dicom/IM0001', fileOf(HERE, encode(OTHER), syntax))).toBe('PAYLOAD_INCONSISTENT');
  });

  it('a file that is what it says is taken', () => {
    expect(codeOf(`dicom/${HERE}.dcm`, fileOf(HERE, encode(HERE), syntax))).toBeUndefined();
  });
});

describe('PAYLOAD_INCONSISTENT', () => {
  it('for a name of another instance, and for another class', () => {
    expect(codeOf(`dicom/${OTHER}.dcm`, fileOf(HERE, dataSet(HERE)))).toBe('PAYLOAD_INCONSISTENT');
    const otherClass = dataSet(HERE, explicitLe, '1.2.840.10008.5.1.4.1.1.2');
    expect(codeOf('dicom/a', fileOf(HERE, otherClass))).toBe('PAYLOAD_INCONSISTENT');
  });

  it('for one instance under two names, and not for two payloads that have it', () => {
    const inspect = createHeadInspector('refuse');
    const file = fileOf(HERE, dataSet(HERE));
    expect(inspect(`dicom/x/${HERE}.dcm`, file)).toBeUndefined();
    expect(inspect('dicom/other', fileOf(OTHER, dataSet(OTHER)))).toBeUndefined();
    expect(inspect(`dicom/y/${HERE}.dcm`, file)?.code).toBe('PAYLOAD_INCONSISTENT');
    expect(codeOf(`dicom/y/${HERE}.dcm`, file)).toBeUndefined();
  });

  it('where the instance is named behind the head', () => {
    const long = explicitLe(0x05, 'LO', ' '.repeat(0xfffe));
    const whole = fileOf(HERE, Buffer.concat([long, dataSet(OTHER)]));
    expect(codeOf('dicom/a', whole.subarray(0, INSTANCE_HEAD_BYTES))).toBe('PAYLOAD_INCONSISTENT');
  });
});

it('a file without a SOP Instance UID of its own, and one that is no DICOM, are taken', () => {
  expect(codeOf('dicom/DICOMDIR', fileOf(HERE, explicitLe(0x60, 'CS', 'CT')))).toBeUndefined();
  expect(codeOf(`dicom/${HERE}.dcm`, Buffer.from('no DICOM'))).toBeUndefined();
});
