import { describe, expect, it } from 'vitest';
import {
  formatFileMeta,
  IMPLEMENTATION_CLASS_UID,
  IMPLEMENTATION_VERSION_NAME,
  parseFileMeta,
} from '../../../src/dicom/part10.js';
import { element } from './element-builder.js';

const CONTENT = {
  sopClassUid: '1.2.840.10008.5.1.4.1.1.2',
  sopInstanceUid: '2.25.1',
  transferSyntaxUid: '1.2.840.10008.1.2.1',
};
const FULL = { ...CONTENT, sendingAe: 'CT_1', receivingAe: 'DRAWBRIDGE' };
const AN_ELEMENT = element('explicit-le', 0x00080005, 'CS', 'ISO_IR 100');

const meta = (number: number, vr: string, value: string | Buffer) =>
  element('explicit-le', 0x00020000 + number, vr, value);
const file = (...elements: Buffer[]) =>
  Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), ...elements, AN_ELEMENT]);
const MINIMUM = [
  meta(0x02, 'UI', CONTENT.sopClassUid),
  meta(0x03, 'UI', CONTENT.sopInstanceUid),
  meta(0x10, 'UI', CONTENT.transferSyntaxUid),
];

describe('parseFileMeta', () => {
  it('without DICM prefix: refused', () => {
    expect(() => parseFileMeta(Buffer.alloc(200))).toThrow(
      expect.objectContaining({
        code: 'DATASET_UNREADABLE',
        message: 'file is not DICOM: it has no DICM prefix',
      }),
    );
  });

  it.each([0, 1, 2])('without required UID number %i: refused', (missing) => {
    const broken = file(...MINIMUM.filter((_, at) => at !== missing));
    expect(() => parseFileMeta(broken)).toThrow(expect.objectContaining({ code: 'DATASET_UNREADABLE' }));
  });

  it('element that claims gigabytes: refused at once, not waited for', () => {
    const claim = element('explicit-le', 0x00020102, 'OB', Buffer.alloc(2), 0xfffffff0);
    expect(() => parseFileMeta(file(claim))).toThrow(expect.objectContaining({ code: 'DATASET_UNREADABLE' }));
  });

  it('every prefix of a header asks for more; the whole of it is read', () => {
    const header = formatFileMeta(FULL);
    for (let length = 0; length < header.length; length += 1) {
      expect(parseFileMeta(header.subarray(0, length))).toBeUndefined();
    }
    expect(parseFileMeta(Buffer.concat([header, AN_ELEMENT]))).toEqual({
      ...FULL,
      dataSetOffset: header.length,
    });
  });

  it('missing and wrong group lengths do not matter', () => {
    const wrong = Buffer.alloc(4);
    wrong.writeUInt32LE(4711);
    for (const elements of [MINIMUM, [meta(0x00, 'UL', wrong), ...MINIMUM]]) {
      const bytes = file(...elements);
      expect(parseFileMeta(bytes)).toEqual({
        ...CONTENT,
        dataSetOffset: bytes.length - AN_ELEMENT.length,
      });
    }
  });

  it('odd extras are passed over: private information, source AE, an element in Implicit VR', () => {
    const extras = [
      meta(0x16, 'AE', 'ARCHIVE'),
      meta(0x100, 'UI', '2.25.7'),
      meta(0x102, 'OB', Buffer.alloc(300, 2)),
    ];
    const implicit = element('implicit-le', 0x00020013, 'SH', 'OLD_1');
    expect(parseFileMeta(file(...MINIMUM, implicit, ...extras))).toMatchObject(CONTENT);
  });

  it.each([
    ['deflated', '1.2.840.10008.1.2.1.99'],
    ['explicit', '1.2.840.10008.1.2.1'],
  ])(
    'data set that begins like group 0002, %s: the group length ends the header',
    (_title, transferSyntaxUid) => {
      const header = formatFileMeta({ ...CONTENT, transferSyntaxUid });
      const looksLikeMeta = Buffer.from([0x02, 0x00, 0x03, 0x00, 0x55, 0x49, 0x00, 0x00, 1, 2, 3, 4]);
      expect(parseFileMeta(Buffer.concat([header, looksLikeMeta]))?.dataSetOffset).toBe(header.length);
    },
  );

  it('a long run of padding takes no noticeable time', () => {
    const value = Buffer.concat([Buffer.alloc(900_000, 0x20), Buffer.from('x ')]);
    const begun = performance.now();
    parseFileMeta(file(...MINIMUM, meta(0x102, 'OB', value)));
    expect(performance.now() - begun).toBeLessThan(500);
  });
});

describe('formatFileMeta', () => {
  it('the same content gives the same bytes, with an honest group length', () => {
    const header = formatFileMeta(FULL);
    expect(header.equals(formatFileMeta({ ...FULL }))).toBe(true);
    expect(header.readUInt32LE(140)).toBe(header.length - 144);
    expect(header.length % 2).toBe(0);
  });

  it('names this implementation', () => {
    const header = formatFileMeta(CONTENT).toString('latin1');
    expect(header).toContain(IMPLEMENTATION_CLASS_UID);
    expect(header).toContain(IMPLEMENTATION_VERSION_NAME);
    expect(IMPLEMENTATION_CLASS_UID.length).toBeLessThanOrEqual(64);
    expect(IMPLEMENTATION_VERSION_NAME.length).toBeLessThanOrEqual(16);
  });
});
